"""Putting sound and subtitles on the clock that the pictures were put on.

Where the scan found that the clock jumps, what is heard behind the jump is moved by as much as what
is seen there, so that both stay in step. What jumps or strays in one track alone is repaired there.
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
"""Sound that begins so much before the end of what came is a new count, or astray."""

SMALL_BACK_SECONDS = Fraction(1, 5)
"""The same where the pictures' clock is known to jump."""

AHEAD_SECONDS = 10
"""Sound that begins later by more is behind a gap, on a new count, or astray."""

SKEW_SECONDS = 3
"""By how much the steps of sound and pictures may differ at a jump of their clock."""

NEAR_SECONDS = 10
"""How far sound and subtitles may lie outside of the pictures of their count."""


@dataclass(frozen=True)
class Count:
    """A part of the source between two jumps of its clock."""

    begin: Fraction | None
    end: Fraction | None
    """Seconds in the source's clock of its first and last picture; None where open."""
    shift: Fraction
    """Seconds that are taken off all times in it."""

    def holds(self, seconds: Fraction) -> bool:
        """Return whether something at this time may belong to it."""
        late = self.begin is None or seconds >= self.begin - NEAR_SECONDS
        return late and (self.end is None or seconds <= self.end + NEAR_SECONDS)


class SourceClock:
    """The clock of the pictures.

    Args:
        scan: the pictures.
        time_base: seconds of a unit.
        whole: whether they go on to the end of the source.

    Attributes:
        reached: which part the sound has come to.
    """

    def __init__(self, scan: Scan, time_base: Fraction, *, whole: bool) -> None:
        jumps, last = scan.jumps, scan.in_source(scan.frames - 1) + scan.last_duration
        begins: list[Fraction | None] = [None, *(jump.first * time_base for jump in jumps)]
        ends = [*(jump.last * time_base for jump in jumps), last * time_base if whole else None]
        shifts = [Fraction(0), *(jump.shift * time_base for jump in jumps)]
        self.counts = [Count(*facts) for facts in zip(begins, ends, shifts, strict=True)]
        self.reached = 0


class StreamClock:
    """Moves the packets of one stream.

    Args:
        source: the clock of the pictures.
        unit: seconds of the stream's time base.
        sound: whether packets follow each other without gaps, so that steps mean something.

    Attributes:
        strays: packets whose own time was far off.
        restarts: how often the stream began a new count that the pictures do not have.
    """

    def __init__(self, source: SourceClock, unit: Fraction, *, sound: bool) -> None:
        self._source, self._counts = source, source.counts
        self._unit, self._sound = unit, sound
        self._current = 0
        self._own = Fraction(0)
        """Seconds that are taken off in addition, where the stream jumps alone."""
        self._end: Fraction | None = None
        """Where the latest packet ends, in the source's clock."""
        self._stray_end: Fraction | None = None
        self._filled: Fraction | None = None
        """Where the sound placed so far ends, in the output's clock."""
        self._seam = False
        self.strays = self.restarts = 0

    def place(self, packet: av.Packet[Stream]) -> bool:
        """Move a packet; return False if it must be left out.

        That is one of which more than half overlaps with what comes before a jump or an edit.
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
        """Return when something is to be heard or seen, in seconds of the pictures' clock."""
        if not self._sound:
            self._current = self._count_of(time, max(self._current, self._source.reached))
            return time - self._counts[self._current].shift
        if self._stray_end is not None and abs(time - self._stray_end) < BACK_SECONDS:
            self._begin_anew(time)  # it goes on there, so it was no stray
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
        """Go over to the part behind a jump of the pictures' clock that this time belongs to."""
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
        """Take a step of this stream alone as what it is: a gap, or a new count to be continued."""
        assert self._end is not None
        count = self._counts[self._current]
        if time > self._end and count.holds(time):
            return
        self.restarts += 1
        self._own = time - self._end + self._own

    def _count_of(self, time: Fraction, first: int) -> int:
        """Return the part of the source that something stands in by its time alone."""
        order = [*range(first, len(self._counts)), *range(first)]
        return next((index for index in order if self._counts[index].holds(time)), first)

    def notes(self, index: int) -> Iterator[str]:
        """Say what was repaired in track `index`."""
        if self.strays:
            yield f"{self.strays} packets of track {index} have times far off: put behind the last"
        if self.restarts:
            yield (
                f"the times of track {index} start again {self.restarts} times, alone: "
                "continued where they had ended, it may be out of step from there"
            )
