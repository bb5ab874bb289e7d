"""Interprets a file's timestamps: where its clock begins and jumps, and when the video ends."""

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
"""A file whose clock begins later than this was cut from a longer recording."""

SILENCE_SECONDS, SOUND_SECONDS = 2, 5
"""A gap between pictures is intended if sound begins in it at least 2 s after the last picture, and
within the 5 s that follow."""

LONGEST_STAY_SECONDS = 24 * 3600
"""Longest duration of a last frame that is believed, even if the file states it."""


def is_jumpy(container: str) -> bool:
    """Return whether the clock of files in this format may begin anywhere and jump (recordings)."""
    flag = cast("int", FormatFlags.ts_discont.value)
    return bool(ContainerFormat(container, "r").flags & flag)


def packet_times(path: str, streams: Sequence[int]) -> Iterator[Fraction]:
    """Yield the times of packets of some streams, in seconds, in the order of the file."""
    with open_container(path) as container:
        for packet in container.demux([container.streams[index] for index in streams]):
            if packet.pts is not None and packet.time_base:
                yield packet.pts * Fraction(packet.time_base)


def nominal_step(info: SourceInfo) -> int:
    """Return the distance of frames in units of the time base by the header's frame rate."""
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
        """Return the limits for jumps of the clock, by the frames seen so far."""
        nominal = nominal_step(self._info)
        known = [p for p in survey.stamps if p is not None]
        step = nominal if len(known) < len(survey.stamps) // 2 else usual_step(known, nominal)
        return Limits.of(step=step, second=round(1 / self._unit), jumpy=self.is_jumpy)

    def repaired(self, survey: Survey) -> Repaired:
        """Return the repaired timestamps of the frames seen; intended gaps are kept."""
        limits = self.limits(survey)
        repaired = repair(survey.stamps, limits, end=survey.end)
        if gaps := self._gaps_with_sound(repaired.jumps):
            return repair(survey.stamps, limits, end=survey.end, gaps=gaps)
        return repaired

    def _gaps_with_sound(self, jumps: Sequence[ClockJump]) -> set[int]:
        """Return the frames after a long gap during which there is sound."""
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
        """Return whether all requested frames are among those seen so far."""
        step, longest = nominal_step(self._info), survey.longest_step
        limits = Limits.of(step=step, second=round(1 / self._unit), jumpy=self.is_jumpy)
        if survey.in_order and longest <= (limits.forward or longest):
            return window.passed(survey.stamps)
        if len(survey.stamps) < self._next_look:
            return False
        self._next_look = len(survey.stamps) * 9 // 8 + BEYOND
        return window.passed(repair(survey.stamps, self.limits(survey)).pts)

    def jumps_before(self, aim: int) -> bool:
        """Return whether the clock jumps before the timestamp `aim`."""
        if not self.is_jumpy:
            return False
        times = packet_times(self._info.path, [self._info.stream_index])
        for before, time in pairwise(times):
            # Packets are in decoding order, which differs by less than a second.
            if not -1 < time - before <= JUMP_SECONDS:
                return True
            if time > aim * self._unit:
                return False
        return False

    def origin(self, first: int) -> int:
        """Return the time by the clock that becomes zero; 0 to keep the clock as it is.

        Recordings begin at any time of their clock, and so do files that were cut from them.

        Args:
            first: timestamp of the video's first frame.
        """
        begin = self._info.begin
        if begin is None or not (self.is_jumpy or begin > LATE_SECONDS):
            return 0
        origin = round(begin / self._unit)
        return origin if abs(first - origin) * self._unit <= LATE_SECONDS else first

    def origin_note(self, origin: int) -> Iterator[str]:
        """Yield a note if the beginning is moved."""
        if origin:
            yield (
                f"the clock of this file begins at {float(origin * self._unit):.3f} s: "
                "everything is moved to begin at 0"
            )

    def last_duration(
        self, pts: Sequence[int], following: int | None, survey: Survey, repaired: Repaired
    ) -> int:
        """Return the duration of the last requested frame, in units of the time base.

        Args:
            pts: timestamps of the requested frames.
            following: timestamp of the next frame, if it was not requested.
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
    """Return the end of a track in its time base; None if unknown or if packets are missing.

    Args:
        decoder: after its last frame.
        whole: whether it has read the whole track.
    """
    stream = decoder.stream
    if not stream.duration or stream.start_time is None:
        return None
    if decoder.errors or (whole and decoder.packets < stream.frames):
        return None
    return stream.start_time + stream.duration
