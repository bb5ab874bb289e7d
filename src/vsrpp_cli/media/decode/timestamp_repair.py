"""Repairs timestamps that are missing, repeated, wrong or jump; finds the last frame's duration.

A *count* is a part of the stream with one continuous clock; a *stray* is a timestamp far from those
around it, which agree.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median_low

from vsrpp_cli.media.types import ClockJump

BACKWARD_SECONDS = 1
"""A timestamp at least this far back begins a new count; a smaller step back is disorder."""

MOST_STRAYS = 8
"""Most consecutive strays; more wrong timestamps are a new count."""

JUMP_SECONDS = 10
"""A step forward of more seconds is a jump of a recording's clock, as in FFmpeg."""

WRAP, WRAP_UNIT = 2**33, 90000
"""Units after which the clock of transport and program streams starts again at 0, and units in a
second (ISO/IEC 13818-1)."""


def usual_step(pts: Sequence[int], fallback: int) -> int:
    """Return the median distance of increasing timestamps, at least 1; `fallback` for none."""
    steps = [b - a for a, b in pairwise(pts) if b > a]
    return max(1, median_low(steps) if steps else fallback)


@dataclass(frozen=True)
class Limits:
    """The limits of a count, in units of the timestamps."""

    step: int
    """Usual distance of two frames."""
    second: int
    """Units in a second."""
    back: int
    """A step back of at least this begins a new count."""
    forward: int | None = None
    """A step forward of more than this begins a new count; None if gaps are intended."""

    @classmethod
    def of(cls, *, step: int, second: int, jumpy: bool = False) -> "Limits":
        """Return the limits for a kind of file; `jumpy` for recordings, whose clock may jump."""
        second = max(1, second)
        if not jumpy:
            return cls(step, second, BACKWARD_SECONDS * second)
        # Within a recording timestamps go back by a few frames at most.
        back = min(BACKWARD_SECONDS * second, max(3 * second // 10, 3 * step))
        return cls(step, second, back, JUMP_SECONDS * second)


@dataclass(frozen=True)
class Repaired:
    """A strictly increasing timestamp for each frame, and what was repaired."""

    pts: tuple[int, ...]
    notes: tuple[str, ...] = ()
    jumps: tuple[ClockJump, ...] = ()
    strays: int = 0
    """Number of strays."""


def repair(
    stamps: Sequence[int | None],
    limits: Limits,
    *,
    gaps: Iterable[int] = (),
    end: int | None = None,
) -> Repaired:
    """Return strictly increasing timestamps, with sentences on what was repaired.

    A decoder returns pictures in presentation order, so the order of frames is kept, and their
    timestamps are changed to fit:

    1. A missing timestamp is the previous one plus the usual step (before the first one: minus).
    2. Up to `MOST_STRAYS` consecutive strays are spread between the timestamps around them.
    3. A timestamp far before the latest one, or in recordings far after it, begins a new count,
       which is shifted to continue one step after the latest.
    4. The rest is sorted: the timestamps are right, but belong to other pictures.
    5. Frames with the same timestamp divide the time until the next one evenly.

    Args:
        stamps: the decoder's timestamps, None for missing ones.
        limits: of a count.
        gaps: frames before which a step forward is no jump.
        end: end of the track, as its container states it.
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
    """Undo FFmpeg's correction of a wrap in a step of a recording's clock.

    FFmpeg takes every time before the first one for a time after the wrap.
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
    """Let the last frames continue those before them if they are after the end of the track."""
    first = max(1, len(stamps) - MOST_STRAYS)
    if stamps[first - 1] <= end:
        for index in range(first, len(stamps)):
            if stamps[index] > end and all(stamp > end for stamp in stamps[index:]):
                stamps[index] = stamps[index - 1] + step
                yield index


def _gather_strays(stamps: list[int], limits: Limits, end: int | None) -> list[int]:
    """Spread strays between their neighbours, in place; return their indices."""
    strays: list[int] = []
    if end is not None:
        strays += _draw_in(stamps, end + limits.second, limits.step)
    for index in range(1, len(stamps)):
        # Strays cause a step back: to the stray itself, or from it to the next timestamp.
        if stamps[index] <= stamps[index - 1] - limits.back:
            low, high = _around(stamps, index, limits)
            _interpolate(stamps, low, high, limits.step)
            strays += range(low + 1, high)
    return strays


def _around(stamps: Sequence[int], index: int, limits: Limits) -> tuple[int, int]:
    """Return the frames before and after the strays at a step back; neighbours if there are none.

    The frame before is -1 if the video begins with strays.
    """
    for count in range(1, MOST_STRAYS + 1):
        for low, high in ((index - 1, index + count), (index - count - 1, index)):
            if low >= -1 and high < len(stamps) and _are_strays(stamps, low, high, limits):
                return low, high
    return index - 1, index


def _are_strays(stamps: Sequence[int], low: int, high: int, limits: Limits) -> bool:
    """Return whether two frames agree while all those between them are strays."""
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
            # If there are fewer units than frames, later timestamps move on as little as possible.
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
    """Return the duration of the last frame, in units of `pts`, at least 1.

    Args:
        pts: timestamps of the frames.
        following: timestamp of the next frame, if it was left out.
        end: end of the track, as its container states it; None if its last packet is missing.
        own: duration of the frame, as its packet states it.
        step: usual distance of two frames.
        longest: longest duration that is believed.
    """
    if following is not None and following > pts[-1]:
        return following - pts[-1]
    if end is not None and 0 < end - pts[-1] <= longest:
        return end - pts[-1]
    return own if own is not None and step <= 4 * own <= 4 * longest else max(1, step)
