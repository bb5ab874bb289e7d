"""Timestamps that are missing, repeated, astray or jump, and how long the last frame stays."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median_low

from vsrpp_cli.media.types import ClockJump

BACKWARD_SECONDS = 1
"""A timestamp at least this far back begins a new count; less is disorder."""

MOST_STRAYS = 8
"""Timestamps in a row that may be wrong while those around them agree; more are a new count."""

JUMP_SECONDS = 10
"""A step forward of more seconds is a jump of a recording's clock, as FFmpeg has it."""


WRAP, WRAP_UNIT = 2**33, 90000
"""Units after which the clock of transport and program streams begins again, and how many are a
second (ISO/IEC 13818-1)."""


def usual_step(pts: Sequence[int], fallback: int) -> int:
    """Return the median distance of increasing timestamps, at least 1; `fallback` for none."""
    steps = [b - a for a, b in pairwise(pts) if b > a]
    return max(1, median_low(steps) if steps else fallback)


@dataclass(frozen=True)
class Limits:
    """What is still taken for one clock, in the unit of the timestamps."""

    step: int
    """Usual distance of two frames."""
    second: int
    back: int
    """A step back of this much begins a new count."""
    forward: int | None = None
    """A step forward of more than this does, too; None where gaps are meant."""

    @classmethod
    def of(cls, *, step: int, second: int, jumpy: bool = False) -> "Limits":
        """Return the limits for a kind of file; `jumpy` for recordings, whose clock may jump."""
        second = max(1, second)
        if not jumpy:
            return cls(step, second, BACKWARD_SECONDS * second)
        # A recording never goes back by more than disorder does: a few frames.
        back = min(BACKWARD_SECONDS * second, max(3 * second // 10, 3 * step))
        return cls(step, second, back, JUMP_SECONDS * second)


@dataclass(frozen=True)
class Repaired:
    """One strictly increasing timestamp per frame, and what was done for it."""

    pts: tuple[int, ...]
    notes: tuple[str, ...] = ()
    jumps: tuple[ClockJump, ...] = ()
    strays: int = 0
    """How many lay far off."""


def repair(
    stamps: Sequence[int | None],
    limits: Limits,
    *,
    gaps: Iterable[int] = (),
    end: int | None = None,
) -> Repaired:
    """Return timestamps that increase strictly, with sentences on what was done.

    Pictures come out of a decoder in order of presentation, so the order of frames is trusted and
    their timestamps are made to fit, frames in equal frames out:

    1. A missing timestamp continues from the one before by the usual step (before the first:
       backwards).
    2. Up to `MOST_STRAYS` in a row that lie far off while those around them agree are spread
       between these.
    3. One that lies far behind the latest, or in recordings far ahead of it, begins a new count,
       which is shifted to continue a step after the latest.
    4. What is still out of order is sorted: the timestamps are right, but on the wrong pictures.
    5. Frames with the same timestamp share the time until the next one evenly.

    Args:
        stamps: the decoder's timestamps, None where it gave none.
        limits: what is taken for one clock.
        gaps: frames in front of which a step forward is no jump.
        end: where the track ends, as its container says.
    """
    known = [p for p in stamps if p is not None]
    if len(known) == len(stamps) and _is_regular(known, limits, end):
        return Repaired(tuple(known))
    filled = _fill(stamps, limits.step)
    strays = _gather_strays(filled, limits, end)
    continued, jumps = _close_jumps(filled, limits, frozenset(gaps))
    ordered = _spread(sorted(continued), limits.step)
    notes = _notes(stamps, strays, continued, jumps, limits.second)
    return Repaired(tuple(ordered), tuple(notes), tuple(jumps), len(strays))


def _is_regular(stamps: Sequence[int], limits: Limits, end: int | None) -> bool:
    """Return whether there is nothing to repair."""
    longest = limits.forward or max(stamps, default=0) - min(stamps, default=0)
    late = end is not None and bool(stamps) and stamps[-1] > end + limits.second
    return not late and all(0 < b - a <= longest for a, b in pairwise(stamps))


def _notes(
    stamps: Sequence[int | None],
    strays: Sequence[int],
    continued: Sequence[int],
    jumps: Sequence[ClockJump],
    second: int,
) -> Iterator[str]:
    if missing := sum(p is None for p in stamps):
        every = "frames have no timestamps" if missing == len(stamps) else "timestamps are missing"
        yield f"{missing} {every}: made from the frame rate"
    if strays:
        those = "timestamp is" if len(strays) == 1 else "timestamps are"
        yield (
            f"{len(strays)} {those} far off (the first at frame {strays[0]}): "
            "put between those around"
        )
    for jump in jumps[:3]:
        ahead = _unwrapped(jump.first - jump.last, second) / second
        way = "back" if ahead < 0 else "forward"
        yield (
            f"the clock jumps {way} by {abs(ahead):.2f} s at frame {jump.frame}: "
            "closed, so that the frame before is followed at once"
        )
    if len(jumps) > 3:
        yield f"and {len(jumps) - 3} jumps of the clock more"
    if wrong := sum(b <= a for a, b in pairwise(continued)):
        yield f"{wrong} timestamps are repeated or out of order: put in order"


def _unwrapped(step: int, second: int) -> int:
    """Return a step of a recording's clock without FFmpeg's guess that it began again.

    It takes a time that is smaller than the first for one after the wrap.
    """
    if second != WRAP_UNIT or abs(step) < WRAP // 2:
        return step
    return step - WRAP if step > 0 else step + WRAP


def _fill(stamps: Sequence[int | None], step: int) -> list[int]:
    first = next((i for i, p in enumerate(stamps) if p is not None), None)
    last = 0 if first is None else stamps[first]
    assert last is not None
    last -= step * ((first or 0) + 1)
    filled = []
    for stamp in stamps:
        last = last + step if stamp is None else stamp
        filled.append(last)
    return filled


def _draw_in(stamps: list[int], end: int, step: int) -> Iterator[int]:
    """Let the last frames continue those before them if they lie behind the end of the track."""
    first = max(1, len(stamps) - MOST_STRAYS)
    if stamps[first - 1] <= end:
        for index in range(first, len(stamps)):
            if stamps[index] > end and all(stamp > end for stamp in stamps[index:]):
                stamps[index] = stamps[index - 1] + step
                yield index


def _gather_strays(stamps: list[int], limits: Limits, end: int | None) -> list[int]:
    """Put strays between their neighbours, in place; return their indices."""
    strays: list[int] = []
    if end is not None:
        strays += _draw_in(stamps, end + limits.second, limits.step)
    for index in range(1, len(stamps)):
        # Both kinds show by a step back: to the stray itself, or from it to what follows.
        if stamps[index] <= stamps[index - 1] - limits.back:
            low, high = _around(stamps, index, limits)
            _interpolate(stamps, low, high, limits.step)
            strays += range(low + 1, high)
    return strays


def _around(stamps: Sequence[int], index: int, limits: Limits) -> tuple[int, int]:
    """Return the frames around the strays next to a step back; neighbours where there are none.

    The frame before is -1 where the video begins with them.
    """
    for count in range(1, MOST_STRAYS + 1):
        for low, high in ((index - 1, index + count), (index - count - 1, index)):
            if low >= -1 and high < len(stamps) and _are_strays(stamps, low, high, limits):
                return low, high
    return index - 1, index


def _are_strays(stamps: Sequence[int], low: int, high: int, limits: Limits) -> bool:
    """Return whether two frames agree while all those between them are far off."""
    begin = stamps[low] if low >= 0 else stamps[high] - (high - low) * limits.step
    agree = 0 < stamps[high] - begin <= (high - low) * limits.step + limits.second
    most = low >= 0 or len(stamps) > 2 * high
    far = limits.back
    return (
        agree and most
        and all(not begin - far < s < stamps[high] + far for s in stamps[low + 1 : high])
    )  # fmt: skip


def _interpolate(stamps: list[int], low: int, high: int, step: int) -> None:
    """Spread the timestamps of the frames between two others evenly."""
    begin = stamps[low] if low >= 0 else stamps[high] - step * (high - low)
    for index in range(low + 1, high):
        stamps[index] = begin + (stamps[high] - begin) * (index - low) // (high - low)


def _close_jumps(
    stamps: Sequence[int], limits: Limits, gaps: frozenset[int]
) -> tuple[list[int], list[ClockJump]]:
    continued: list[int] = []
    jumps = []
    latest, shift = stamps[0] if stamps else 0, 0
    for index, stamp in enumerate(stamps):
        moved = stamp - shift - latest
        ahead = limits.forward is not None and moved > limits.forward and index not in gaps
        if moved <= -limits.back or ahead:
            shift = stamp - latest - limits.step
            jumps.append(ClockJump(frame=index, last=stamps[index - 1], first=stamp, shift=shift))
        continued.append(stamp - shift)
        latest = max(latest, continued[-1])
    return continued, jumps


def _spread(ordered: list[int], step: int) -> list[int]:
    start = 0
    while start < len(ordered):
        stop = start + 1
        while stop < len(ordered) and ordered[stop] <= ordered[start]:
            stop += 1
        if (count := stop - start) > 1:
            room = ordered[stop] - ordered[start] if stop < len(ordered) else step * count
            for i in range(1, count):
                ordered[start + i] = max(
                    ordered[start] + room * i // count, ordered[start + i - 1] + 1
                )
        if stop < len(ordered):
            # Fewer units than frames: what follows moves on by as little as it must.
            ordered[stop] = max(ordered[stop], ordered[stop - 1] + 1)
        start = stop
    return ordered


def last_duration(
    pts: Sequence[int],
    following: int | None,
    end: int | None,
    own: int | None,
    step: int,
    longest: int,
) -> int:
    """Return how long the last frame stays on screen, in the unit of `pts`, at least 1.

    Args:
        pts: timestamps of the frames.
        following: the next frame's, where frames behind were left out.
        end: where the track ends, as its container says; None where its last packet is missing.
        own: the frame's own duration, as its packet says.
        step: usual distance of two frames.
        longest: what is believed at most.
    """
    if following is not None and following > pts[-1]:
        return following - pts[-1]
    if end is not None and 0 < end - pts[-1] <= longest:
        return end - pts[-1]
    return own if own is not None and step <= 4 * own <= 4 * longest else max(1, step)
