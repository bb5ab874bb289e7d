"""Timestamps that are missing, repeated or out of order, and how long the last frame stays."""

from collections.abc import Iterable, Sequence
from itertools import pairwise
from statistics import median_low

BACKWARD_SECONDS = 1
"""A timestamp that lies so far back begins a new count; less is disorder."""


def usual_step(pts: Sequence[int], fallback: int) -> int:
    """Return the median distance of increasing timestamps, at least 1; `fallback` for none."""
    steps = [b - a for a, b in pairwise(pts) if b > a]
    return max(1, median_low(steps) if steps else fallback)


def repair(
    stamps: Sequence[int | None], *, step: int, second: int
) -> tuple[tuple[int, ...], tuple[str, ...]]:
    """Return one strictly increasing timestamp per frame, and sentences on what was done.

    Pictures come out of a decoder in order of presentation, so the order of frames is trusted and
    their timestamps are made to fit, frames in equal frames out:

    1. A missing timestamp continues from the one before by `step` (before the first: backwards).
    2. One that lies `BACKWARD_SECONDS` or more behind the latest begins a new count, which is
       shifted to continue `step` after the latest.
    3. What is still out of order is sorted: the timestamps are right, but on the wrong pictures.
    4. Frames with the same timestamp share the time until the next one evenly.

    Args:
        stamps: the decoder's timestamps, None where it gave none.
        step: usual distance of two frames.
        second: units of a second.
    """
    if all(p is not None for p in stamps):
        known = [p for p in stamps if p is not None]
        if all(b > a for a, b in pairwise(known)):
            return tuple(known), ()
    filled = _fill(stamps, step)
    continued, jumps = _continue(filled, step, second * BACKWARD_SECONDS)
    ordered = _spread(sorted(continued), step)
    return tuple(ordered), tuple(_notes(stamps, continued, jumps))


def _notes(
    stamps: Sequence[int | None], continued: Sequence[int], jumps: Sequence[int]
) -> Iterable[str]:
    if missing := sum(p is None for p in stamps):
        every = "frames have no timestamps" if missing == len(stamps) else "timestamps are missing"
        yield f"{missing} {every}: made from the frame rate"
    for index in jumps[:3]:
        yield (
            f"timestamps start again at frame {index}: continued from the frame before, "
            "sound may be out of step from there"
        )
    if len(jumps) > 3:
        yield f"and {len(jumps) - 3} times more"
    if wrong := sum(b <= a for a, b in pairwise(continued)):
        yield f"{wrong} timestamps are repeated or out of order: put in order"


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


def _continue(stamps: Sequence[int], step: int, far: int) -> tuple[list[int], list[int]]:
    continued: list[int] = []
    jumps = []
    latest, offset = stamps[0] if stamps else 0, 0
    for index, stamp in enumerate(stamps):
        if stamp + offset <= latest - far:
            offset = latest + step - stamp
            jumps.append(index)
        continued.append(stamp + offset)
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
    pts: Sequence[int], following: int | None, end: int | None, own: int | None, step: int
) -> int:
    """Return how long the last frame stays on screen, in the unit of `pts`, at least 1.

    Args:
        pts: timestamps of the frames.
        following: the next frame's, where frames behind were left out.
        end: where the track ends, as its container says.
        own: the frame's own duration, as its packet says.
        step: usual distance of two frames.
    """
    if following is not None and following > pts[-1]:
        return following - pts[-1]
    if end is not None and 0 < end - pts[-1] <= max(20 * step, 1):
        return end - pts[-1]
    return own if own is not None and step <= 4 * own <= 80 * step else max(1, step)
