"""Corrects the timestamps of sound and subtitles as those of the pictures were corrected.

Where the scan found that the source's timestamps jump (`ClockJump`), packets after the jump are
shifted by as much as the pictures, so that both stay synchronous. Jumps and single wrong timestamps
in one track alone are repaired in that track.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING

from vsrpp_cli.media.types import Scan

if TYPE_CHECKING:
    import av
    from av.stream import Stream

BACK_SECONDS = Fraction(1)
"""A sound packet that begins this much before the previous one's end is a step: a jump or a wrong
timestamp."""

SMALL_BACK_SECONDS = Fraction(1, 5)
"""The same while a jump of the pictures' timestamps is still to come."""

AHEAD_SECONDS = 10
"""A sound packet that begins more than this after the previous one's end is a step: a gap, a jump
or a wrong timestamp."""

SKEW_SECONDS = 3
"""How much the steps of sound and pictures may differ at the same jump."""

NEAR_SECONDS = 10
"""How far sound and subtitles may lie outside the pictures of their part."""


@dataclass(frozen=True)
class Count:
    """A part of the source between two jumps of its timestamps."""

    begin: Fraction | None
    """Source time of its first picture in seconds; None in the first part."""
    end: Fraction | None
    """Source time of its last picture in seconds; None in the last part if it is cut."""
    shift: Fraction
    """Seconds subtracted from all times in it."""

    def holds(self, seconds: Fraction) -> bool:
        """Return whether a packet with this source time may belong to it."""
        late = self.begin is None or seconds >= self.begin - NEAR_SECONDS
        return late and (self.end is None or seconds <= self.end + NEAR_SECONDS)


class SourceClock:
    """The parts between jumps of the pictures' timestamps; shared by all streams of a file.

    Args:
        scan: the pictures.
        time_base: seconds per unit of their timestamps.
        whole: whether they reach to the end of the source.

    Attributes:
        counts: the parts, in order.
        reached: index of the part that a sound stream has reached.
    """

    def __init__(self, scan: Scan, time_base: Fraction, *, whole: bool) -> None:
        jumps, last = scan.jumps, scan.in_source(scan.frames - 1) + scan.last_duration
        begins: list[Fraction | None] = [None, *(jump.first * time_base for jump in jumps)]
        ends = [*(jump.last * time_base for jump in jumps), last * time_base if whole else None]
        shifts = [Fraction(0), *(jump.shift * time_base for jump in jumps)]
        self.counts = [Count(*facts) for facts in zip(begins, ends, shifts, strict=True)]
        self.reached = 0


class StreamClock:
    """Shifts the timestamps of one stream's packets.

    Args:
        source: the pictures' parts.
        unit: the stream's time base, in seconds.
        sound: whether packets follow each other without gaps, so that steps can be detected.

    Attributes:
        strays: number of packets with a wrong timestamp.
        restarts: number of jumps that the pictures do not have.
    """

    def __init__(self, source: SourceClock, unit: Fraction, *, sound: bool) -> None:
        self._source, self._counts = source, source.counts
        self._unit, self._sound = unit, sound
        self._current = 0
        self._own = Fraction(0)
        """Seconds subtracted in addition, because of jumps of this stream alone."""
        self._end: Fraction | None = None
        """End of the latest packet, in source time."""
        self._stray_end: Fraction | None = None
        """End of the latest packet with a wrong timestamp."""
        self._filled: Fraction | None = None
        """End of the packets placed so far, in corrected time."""
        self._seam = False
        self.strays = self.restarts = 0

    def place(self, packet: av.Packet[Stream]) -> bool:
        """Shift a packet; return False if it must be left out.

        After a jump or an edit, packets are left out that overlap the previous ones by more than
        half.
        """
        begin = packet.pts if packet.pts is not None else packet.dts
        if begin is None:
            return True
        if packet.is_discard:
            self._seam = True
            return True
        time, length = begin * self._unit, (packet.duration or 0) * self._unit
        moved = self._moved(time, length)
        if self._seam and self._sound:
            if self._filled is not None and moved + length / 2 < self._filled:
                return False
            self._seam = False
        self._move(packet, moved - time)
        self._filled = max(self._filled or moved, moved + length)
        return True

    def _move(self, packet: av.Packet[Stream], by: Fraction) -> None:
        units = round(by / self._unit)
        if packet.pts is not None:
            packet.pts += units
        if packet.dts is not None:
            packet.dts += units

    def _moved(self, time: Fraction, length: Fraction) -> Fraction:
        """Return the corrected time of a packet in seconds."""
        if not self._sound:
            self._current = self._count_of(time, max(self._current, self._source.reached))
            return time - self._counts[self._current].shift
        if self._stray_end is not None and abs(time - self._stray_end) < BACK_SECONDS:
            self._begin_anew(time)  # it continues there: the last timestamp was right
            self.strays -= 1
        elif self._end is None:
            self._current = self._count_of(time, 0)
        elif self._is_step(time - self._end) and not self._enter_next(time):
            self.strays += 1
            self._stray_end = time + length
            moved = self._end - self._shift
            self._end += length
            return moved
        self._stray_end = None
        self._end = time + length
        return time - self._shift

    @property
    def _shift(self) -> Fraction:
        return self._counts[self._current].shift + self._own

    def _is_step(self, ahead: Fraction) -> bool:
        jumpy = len(self._counts) > self._current + 1
        back = SMALL_BACK_SECONDS if jumpy else BACK_SECONDS
        return ahead <= -back or ahead > AHEAD_SECONDS

    def _enter_next(self, time: Fraction) -> bool:
        """Move on to the later part that this time belongs to; return False if there is none."""
        assert self._end is not None
        here = self._counts[self._current]
        for index in range(self._current + 1, len(self._counts)):
            there = self._counts[index]
            assert here.end is not None
            assert there.begin is not None
            step = there.begin - here.end
            alike = abs(time - self._end - step) <= SKEW_SECONDS
            if alike or (there.holds(time) and not here.holds(time)):
                self._current, self._own, self._seam = index, Fraction(0), True
                self._source.reached = max(self._source.reached, index)
                return True
        return False

    def _begin_anew(self, time: Fraction) -> None:
        """Accept a step of this stream alone: a gap, or a jump, which is closed."""
        assert self._end is not None
        count = self._counts[self._current]
        if time > self._end and count.holds(time):
            return
        self.restarts += 1
        self._own = time - self._end + self._own

    def _count_of(self, time: Fraction, first: int) -> int:
        """Return the index of the part that holds a time, those from `first` on preferred."""
        order = [*range(first, len(self._counts)), *range(first)]
        return next((index for index in order if self._counts[index].holds(time)), first)

    def notes(self, index: int) -> Iterator[str]:
        """Yield sentences on what was repaired in track `index`."""
        if self.strays:
            yield f"{self.strays} packets of track {index} have times far off: put behind the last"
        if self.restarts:
            yield (
                f"the times of track {index} start again {self.restarts} times, alone: "
                "continued where they had ended, it may be out of step from there"
            )
