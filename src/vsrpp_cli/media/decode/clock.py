"""What a file's clock means: where it begins, jumps, and where the video ends by it."""

from collections.abc import Iterator, Sequence
from fractions import Fraction
from itertools import pairwise
from typing import cast

from av.format import ContainerFormat
from av.format import Flags as FormatFlags

from vsrpp_cli.media.decode.decoding import TrackDecoder, open_container
from vsrpp_cli.media.decode.scan import BEYOND, Survey, Window
from vsrpp_cli.media.decode.timestamp_repair import (
    JUMP_SECONDS,
    Limits,
    Repaired,
    last_duration,
    repair,
    usual_step,
)
from vsrpp_cli.media.demuxer_table import demuxer_row
from vsrpp_cli.media.types import ASSUMED_RATE, ClockJump, SourceInfo

LATE_SECONDS = 60
"""A file that begins later than this by its own clock was cut from a longer recording."""

SILENCE_SECONDS, SOUND_SECONDS = 2, 5
"""Sound that is heard so long after the last picture, in the seconds that follow, shows that a gap
between pictures is meant."""

LONGEST_STAY_SECONDS = 24 * 3600
"""Even where files state how long frames stay, a last frame is not believed to stay longer."""


def is_jumpy(container: str) -> bool:
    """Return whether files of this kind are recordings whose clock may begin and jump anywhere."""
    flag = cast("int", FormatFlags.ts_discont.value)
    return bool(ContainerFormat(container, "r").flags & flag)


def packet_times(path: str, streams: Sequence[int]) -> Iterator[Fraction]:
    """Yield when packets of some streams begin, in seconds and in the order of the file."""
    with open_container(path) as container:
        for packet in container.demux([container.streams[index] for index in streams]):
            if packet.pts is not None and packet.time_base:
                yield packet.pts * Fraction(packet.time_base)


def nominal_step(info: SourceInfo) -> int:
    """Return the usual distance of frames in units of the time base, as the header has it."""
    return max(1, round(1 / (info.frame_rate or ASSUMED_RATE) / info.time_base))


class Clock:
    """The clock of one video track.

    Args:
        info: the track.
    """

    def __init__(self, info: SourceInfo) -> None:
        self._info = info
        self._unit = info.time_base
        self.is_jumpy = is_jumpy(info.container)
        self._next_look = 0

    def limits(self, survey: Survey) -> Limits:
        """Return what is taken for one clock, by the frames seen so far."""
        nominal = nominal_step(self._info)
        known = [p for p in survey.stamps if p is not None]
        step = nominal if len(known) < len(survey.stamps) // 2 else usual_step(known, nominal)
        return Limits.of(step=step, second=round(1 / self._unit), jumpy=self.is_jumpy)

    def repaired(self, survey: Survey) -> Repaired:
        """Return the timestamps of the frames that were seen, with gaps kept that are meant."""
        limits = self.limits(survey)
        repaired = repair(survey.stamps, limits, end=survey.end)
        if gaps := self._gaps_with_sound(repaired.jumps):
            return repair(survey.stamps, limits, end=survey.end, gaps=gaps)
        return repaired

    def _gaps_with_sound(self, jumps: Sequence[ClockJump]) -> set[int]:
        """Return the frames before which nothing new is shown for long, but something is heard."""
        sound = [stream.index for stream in self._info.streams if stream.kind == "audio"]
        ahead = {
            jump.frame: (jump.last * self._unit, jump.first * self._unit)
            for jump in jumps
            if jump.first > jump.last
        }
        if not sound or not ahead:
            return set()
        return {
            frame
            for time in packet_times(self._info.path, sound)
            for frame, (begin, end) in ahead.items()
            if begin < time - SILENCE_SECONDS < min(begin + SOUND_SECONDS, end)
        }

    def has_seen_enough(self, survey: Survey, window: Window) -> bool:
        """Return whether the frames that were asked for are among those seen so far."""
        step, longest = nominal_step(self._info), survey.longest_step
        limits = Limits.of(step=step, second=round(1 / self._unit), jumpy=self.is_jumpy)
        if survey.in_order and longest <= (limits.forward or longest):
            return window.passed(survey.stamps)
        if len(survey.stamps) < self._next_look:
            return False
        self._next_look = len(survey.stamps) * 9 // 8 + BEYOND
        return window.passed(repair(survey.stamps, self.limits(survey)).pts)

    def jumps_before(self, aim: int) -> bool:
        """Return whether the clock jumps before a place in the file."""
        if not self.is_jumpy:
            return False
        times = packet_times(self._info.path, [self._info.stream_index])
        for before, time in pairwise(times):
            # Packets come in the order of decoding, which differs by less than a second.
            if not -1 < time - before <= JUMP_SECONDS:
                return True
            if time > aim * self._unit:
                return False
        return False

    def origin(self, first: int) -> int:
        """Return what the clock shows at the beginning of the file, if that means nothing.

        Recordings begin at any time, and so do files that were cut from them. Zero where the clock
        is to be kept.

        Args:
            first: timestamp of the video's first frame.
        """
        begin = self._info.begin
        if begin is None or not (self.is_jumpy or begin > LATE_SECONDS):
            return 0
        origin = round(begin / self._unit)
        return origin if abs(first - origin) * self._unit <= LATE_SECONDS else first

    def origin_note(self, origin: int) -> Iterator[str]:
        """Say that the beginning is moved."""
        if origin:
            yield (
                f"the clock of this file begins at {float(origin * self._unit):.3f} s: "
                "everything is moved to begin at 0"
            )

    def last_duration(
        self, pts: Sequence[int], following: int | None, survey: Survey, repaired: Repaired
    ) -> int:
        """Return how long the last of the chosen frames stays on screen.

        Args:
            pts: of the chosen frames.
            following: the next frame's, where frames behind were left out.
            survey: of all frames seen.
            repaired: their timestamps.
        """
        limits = self.limits(survey)
        exact = demuxer_row(self._info.container).exact_durations
        return last_duration(
            pts,
            following,
            None if repaired.jumps else survey.end,
            survey.duration,
            limits.step,
            LONGEST_STAY_SECONDS * limits.second if exact else 20 * limits.step,
        )


def end_of(decoder: TrackDecoder, *, whole: bool) -> int | None:
    """Return where a track ends, if its container says so and none of its packets is missing.

    Args:
        decoder: after its last frame.
        whole: whether it has read all of the track.
    """
    stream = decoder.stream
    if not stream.duration or stream.start_time is None:
        return None
    if decoder.errors or (whole and decoder.packets < stream.frames):
        return None
    return stream.start_time + stream.duration
