"""The results of an evaluation, and their forms as table, JSON and CSV."""

import csv
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from vsrpp_cli.metrics import Channels
from vsrpp_cli.options import Precision
from vsrpp_cli.records import finite, to_json


@dataclass(frozen=True, kw_only=True)
class SequenceResult:
    """One method on one sequence: means over its frames."""

    sequence: str
    frames: int
    psnr: float | None
    """dB; None for the truth itself."""
    ssim: float | None
    warping: float | None
    """Warping error in pixels; None if a single frame is measured."""
    warping_squared: float | None
    """Mean squared warping error of values in [0, 1]."""


@dataclass(frozen=True, kw_only=True)
class MethodResult:
    """One method on all sequences."""

    method: str
    sequences: tuple[SequenceResult, ...]
    fps: float | None = None
    """Frames per second of computing alone; None for methods that are not timed."""
    published_psnr: float | None = None
    published_ssim: float | None = None
    events: tuple[str, ...] = ()
    """Sentences on slow settings and recomputed frames."""

    def mean(self, figure: str) -> float | None:
        """Return the mean of a figure over the sequences, each with the same weight."""
        return mean([getattr(result, figure) for result in self.sequences])


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """One evaluation."""

    dataset: str
    protocol: str | None
    degradation: str
    channels: Channels
    border: int
    chunks: Literal["whole", "ordinary"]
    device: str
    precision: Precision
    threads: int
    methods: tuple[MethodResult, ...]
    notes: tuple[str, ...] = ()

    def record(self) -> dict[str, Any]:
        """Return everything as JSON values, means included; infinite PSNR is null."""
        data = to_json(self)
        for record, method in zip(data["methods"], self.methods, strict=True):
            record["mean"] = {name: method.mean(name) for name in FIGURES}
        values: dict[str, Any] = finite(data)
        return values

    def as_csv(self) -> str:
        """Return one line for each method and sequence, and one with the mean of each method."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(("method", "sequence", "frames", *FIGURES, "fps"))
        for method in self.methods:
            for result in method.sequences:
                figures = (getattr(result, name) for name in FIGURES)
                writer.writerow((method.method, result.sequence, result.frames, *figures, ""))
            frames = sum(result.frames for result in method.sequences)
            means = (method.mean(name) for name in FIGURES)
            writer.writerow((method.method, "mean", frames, *means, method.fps))
        return text.getvalue()

    def as_table(self) -> list[str]:
        """Return the lines of a table for people: methods across, sequences down."""
        shown = [m for m in self.methods if m.mean("psnr") is not None]
        heads = [
            ["", "", *(text for m in shown for text in ("", "", m.method))],
            ["sequence", "frames", *("PSNR", "SSIM", "warp") * len(shown)],
        ]
        rows = []
        for index, first in enumerate(shown[0].sequences):
            figures = [[getattr(m.sequences[index], name) for name in SHOWN] for m in shown]
            rows.append(_row(first.sequence, first.frames, figures))
        frames = sum(result.frames for result in shown[0].sequences)
        rows.append(_row("mean", frames, [[m.mean(name) for name in SHOWN] for m in shown]))
        if any(m.published_psnr is not None for m in shown):
            figures = [[m.published_psnr, m.published_ssim, None] for m in shown]
            rows.append(_row("published", None, figures))
        return [*_blocks([*heads, *rows]), *self._truth(), *self._speeds(), *self._noted()]

    def _noted(self) -> list[str]:
        return [f"note: {note}" for note in self.notes]

    def _truth(self) -> list[str]:
        """Return a line with the warping error of the truth itself, for comparison."""
        errors = [m.mean("warping") for m in self.methods if m.mean("psnr") is None]
        return [f"warp is in pixels; the truth's own: {e:.3f}" for e in errors if e is not None]

    def _speeds(self) -> list[str]:
        where = f"{self.device}, {self.precision}, {self.threads} threads, {self.chunks} sequences"
        lines = []
        for method in self.methods:
            if method.fps is not None:
                lines.append(f"{method.method}: {method.fps:.2f} frames/s ({where})")
            lines += [f"{method.method}: {event}" for event in method.events]
        return lines


FIGURES = ("psnr", "ssim", "warping", "warping_squared")
SHOWN = ("psnr", "ssim", "warping")
DIGITS = {"psnr": 4, "ssim": 4, "warping": 3}
METHODS_ACROSS = 3
"""Most methods side by side before the table starts a new block."""


def mean(values: Sequence[float | None]) -> float | None:
    """Return the mean of the values that are not None; None if there are none."""
    there = [value for value in values if value is not None]
    return math.fsum(there) / len(there) if there else None


def _row(name: str, frames: int | None, figures: Sequence[Sequence[float | None]]) -> list[str]:
    cells = [_text(v, f) for values in figures for v, f in zip(values, SHOWN, strict=True)]
    return [name, "" if frames is None else str(frames), *cells]


def _text(value: float | None, figure: str) -> str:
    return "-" if value is None else f"{value:.{DIGITS[figure]}f}"


def _blocks(rows: list[list[str]]) -> list[str]:
    """Return the aligned lines, a few methods at a time so that they fit a terminal."""
    lines = []
    step = METHODS_ACROSS * len(SHOWN)
    for first in range(2, len(rows[0]), step):
        columns = [0, 1, *range(first, min(first + step, len(rows[0])))]
        block = [[row[column] for column in columns] for row in rows]
        # A method's name may reach over the columns before its last.
        widths = [max(len(row[i]) for row in block[1:]) for i in range(len(columns))]
        names = _names(block[0], widths)
        lines += [names, *(_line(row, widths) for row in block[1:]), ""]
    return lines


def _names(row: list[str], widths: list[int]) -> str:
    """Return the methods' names, each ending where the last of its columns does."""
    line = ""
    for end, name in enumerate(row):
        if name:
            line += f"  {name}".rjust(sum(widths[: end + 1]) + 2 * end - len(line))
    return line


def _line(row: list[str], widths: list[int]) -> str:
    cells = [cell.rjust(width) for cell, width in zip(row, widths, strict=True)]
    return "  ".join([row[0].ljust(widths[0]), *cells[1:]])
