"""The record of a training run: a CSV with a row every few steps, and an SVG of its curves."""

from __future__ import annotations

import csv
import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from vsrpp_cli.training.recipe import StageKind


@dataclass(frozen=True)
class Row:
    """Means over the steps since the previous row."""

    step: int
    """Number of steps done."""
    seconds: float
    """Total time of training, over all interruptions."""
    stage: StageKind
    rate: float
    """Adam's learning rate at this step."""
    loss: float
    """The loss that was minimised."""
    restoration: float
    """The Charbonnier loss alone; nan where only flow is trained."""
    flow_error: float
    """Pixels, over clips whose motion is known; nan if there were none."""
    gradient: float
    """Norm of the gradient before clipping."""
    pixels_per_second: float
    """Low-resolution pixels trained on a second."""
    psnr: float = math.nan
    """PSNR on Y, dB, of the averaged weights on the held-out clips; nan where not measured."""
    bicubic: float = math.nan
    """PSNR of bicubic interpolation on the same clips."""


FIELDS = tuple(field.name for field in dataclasses.fields(Row))


def append(path: Path, row: Row) -> None:
    """Add a row, and the header to a new file."""
    new = not path.exists()
    with path.open("a", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        if new:
            writer.writerow(FIELDS)
        writer.writerow([_text(value) for value in dataclasses.astuple(row)])


def _text(value: object) -> str:
    if isinstance(value, float):
        return "" if math.isnan(value) else repr(value)
    return str(value)


def read(path: Path) -> list[Row]:
    """Return the rows of a CSV; an incomplete last line is ignored."""
    if not path.exists():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        lines = [line for line in csv.reader(file) if len(line) == len(FIELDS)]
    return [_parse(line) for line in lines[1:]]


def _parse(line: list[str]) -> Row:
    numbers = [math.nan if text == "" else float(text) for text in line[3:]]
    return Row(int(line[0]), float(line[1]), cast("StageKind", line[2]), *numbers)


def truncate(path: Path, step: int) -> None:
    """Remove the rows of steps after `step`, which will be repeated."""
    rows = [row for row in read(path) if row.step <= step]
    path.unlink(missing_ok=True)
    for row in rows:
        append(path, row)


WIDTH, HEIGHT, LEFT, TOP = 720, 200, 60, 28


def draw(path: Path, rows: Sequence[Row]) -> None:
    """Write the curves of losses and validation as an SVG picture."""
    panels = [
        ("restoration loss (Charbonnier)", [(r.step, r.restoration) for r in rows], "#1f5fa8"),
        ("flow error, pixels", [(r.step, r.flow_error) for r in rows], "#a83a1f"),
        ("held-out clips, PSNR-Y above bicubic, dB", [(r.step, r.psnr - r.bicubic) for r in rows],
         "#2a7d3a"),
    ]  # fmt: skip
    kept = [(title, _finite(points), color) for title, points, color in panels]
    kept = [panel for panel in kept if len(panel[1]) > 1]
    height = len(kept) * (HEIGHT + 2 * TOP)
    body = "".join(_panel(i, *panel) for i, panel in enumerate(kept))
    path.write_text(
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH + LEFT + 20} {height}" '
        f'font-family="sans-serif" font-size="12"><rect width="100%" height="100%" fill="#fff"/>'
        f"{body}</svg>\n",
        encoding="utf-8",
    )


def _finite(points: list[tuple[int, float]]) -> list[tuple[int, float]]:
    return [point for point in points if math.isfinite(point[1])]


def _panel(number: int, title: str, points: list[tuple[int, float]], color: str) -> str:
    """Return one plot with labels at the ends of its axes."""
    top = number * (HEIGHT + 2 * TOP) + TOP
    steps, values = [p[0] for p in points], [p[1] for p in points]
    low, high = min(values), max(values)
    span_x, span_y = (max(steps) - min(steps)) or 1, (high - low) or 1
    line = " ".join(
        f"{LEFT + (x - min(steps)) / span_x * WIDTH:.1f},{top + (high - y) / span_y * HEIGHT:.1f}"
        for x, y in points
    )
    return (
        f'<text x="{LEFT}" y="{top - 8}">{title}</text>'
        f'<rect x="{LEFT}" y="{top}" width="{WIDTH}" height="{HEIGHT}" fill="none" stroke="#bbb"/>'
        f'<polyline points="{line}" fill="none" stroke="{color}"/>'
        f'<text x="{LEFT - 6}" y="{top + 10}" text-anchor="end">{high:.4g}</text>'
        f'<text x="{LEFT - 6}" y="{top + HEIGHT}" text-anchor="end">{low:.4g}</text>'
        f'<text x="{LEFT}" y="{top + HEIGHT + 16}">step {min(steps)}</text>'
        f'<text x="{LEFT + WIDTH}" y="{top + HEIGHT + 16}" text-anchor="end">{max(steps)}</text>'
    )
