"""Reads and writes `timestamps.txt`, the timestamps of a folder of frames.

The format is mkvmerge's "timestamp format v2": one time in milliseconds a line. A comment with the
time base, which other programs ignore, allows exact integers to be restored.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

from vsrpp_cli.errors import InputError
from vsrpp_cli.media.types import ASSUMED_RATE

NAME = "timestamps.txt"
FIRST_LINE = "# timestamp format v2"
TIME_BASE_LINE = "# time base "
FOREIGN_TIME_BASE = Fraction(1, 1_000_000)
"""Time base for files that do not state one and are not in whole milliseconds, seconds."""


@dataclass(frozen=True)
class Timestamps:
    """Times of frames: `pts[i] * time_base` seconds."""

    pts: tuple[int, ...]
    time_base: Fraction
    last_duration: int


def format_timestamps(pts: Sequence[int], last_duration: int, time_base: Fraction) -> str:
    """Return the text of a file: one line a frame, and one more for the end of the last."""
    lines = [FIRST_LINE, f"{TIME_BASE_LINE}{time_base.numerator}/{time_base.denominator}"]
    for value in [*pts, pts[-1] + last_duration]:
        nanoseconds = round(value * time_base * 10**9)
        sign = "-" if nanoseconds < 0 else ""
        lines.append(f"{sign}{abs(nanoseconds) // 10**6}.{abs(nanoseconds) % 10**6:06d}")
    return "\n".join(lines) + "\n"


def read_timestamps(path: Path, frames: int) -> Timestamps:
    """Return the times of `frames` frames; one more line is the end of the last frame.

    Raises:
        InputError: the format is wrong, there are too few or too many lines, or times do not
            increase.
    """
    try:
        lines = path.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read: {error}") from error
    if not lines or not re.match(r"#\s*time(code|stamp) format v2", lines[0]):
        raise InputError(f"{path}: its first line is not {FIRST_LINE!r}")
    times = _times(path, lines)
    if len(times) not in (frames, frames + 1):
        raise InputError(f"{path}: {len(times)} times for {frames} frames")
    time_base = _time_base(lines, times)
    pts = [round(time / time_base) for time in times]
    if any(b <= a for a, b in pairwise(pts)):
        raise InputError(f"{path}: times do not increase")
    if len(pts) > frames:
        return Timestamps(tuple(pts[:-1]), time_base, pts[-1] - pts[-2])
    return Timestamps(tuple(pts), time_base, _usual_step(pts, time_base))


def _times(path: Path, lines: Sequence[str]) -> list[Fraction]:
    """Return the times in seconds."""
    times = []
    for number, line in enumerate(lines, 1):
        if line.strip() and not line.startswith("#"):
            try:
                times.append(Fraction(line.strip()) / 1000)
            except (ValueError, ZeroDivisionError):
                raise InputError(f"{path}, line {number}: {line!r} is not a time") from None
    return times


def _time_base(lines: Sequence[str], times: Sequence[Fraction]) -> Fraction:
    for line in lines:
        if match := re.fullmatch(TIME_BASE_LINE + r"([1-9]\d*/[1-9]\d*)\s*", line):
            return Fraction(match[1])
    if all((time * 1000).denominator == 1 for time in times):
        return Fraction(1, 1000)
    return FOREIGN_TIME_BASE


def _usual_step(pts: Sequence[int], time_base: Fraction) -> int:
    steps = sorted(b - a for a, b in pairwise(pts))
    return steps[len(steps) // 2] if steps else max(1, round(1 / ASSUMED_RATE / time_base))


def usual_rate(times: Timestamps) -> Fraction | None:
    """Return the usual frames per second; None for a single frame."""
    if len(times.pts) < 2:
        return None
    span = (times.pts[-1] - times.pts[0]) * times.time_base
    mean = Fraction(len(times.pts) - 1) / span
    for unit in (Fraction(1), Fraction(1000, 1001)):
        rate = round(mean / unit) * unit
        if rate and abs(rate / mean - 1) < Fraction(1, 5000):
            return rate
    return mean.limit_denominator(1001)
