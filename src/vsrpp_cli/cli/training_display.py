"""What `vsrpp train` does once its options are read: connect, show rows, stop when asked."""

import math
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from vsrpp_cli.checkpoints.download import resolve
from vsrpp_cli.cli.events import write_result
from vsrpp_cli.cli.progress import JsonLines
from vsrpp_cli.cli.signals import STOPPING
from vsrpp_cli.cli.text import echo
from vsrpp_cli.errors import Interrupted
from vsrpp_cli.inference.machine.device import resolve_device
from vsrpp_cli.records import to_json
from vsrpp_cli.runs.progress import Progress
from vsrpp_cli.training.curves import Row
from vsrpp_cli.training.job import TrainingOptions, train
from vsrpp_cli.training.recipe import Recipe, load_recipe


def run_training(  # noqa: PLR0913 - one argument an option
    path: Path,
    *,
    data: tuple[Path, ...],
    stills: tuple[Path, ...],
    output: Path,
    pack: Path | None,
    start: str | None,
    finish: int | None,
    restart: bool,
    row_every: int,
    device: str,
    threads: int | None,
    progress: str,
    offline: bool,
) -> None:
    """Run the command; see its options."""
    recipe = load_recipe(path)
    if threads is not None:
        torch.set_num_threads(threads)
    checkpoint = None if start is None else resolve(start, offline=offline).path
    options = TrainingOptions(
        data=data,
        stills=stills,
        output=output,
        pack=pack,
        start=checkpoint,
        finish=finish,
        restart=restart,
        row_every=row_every,
    )
    first = os.environ.get("RANK", "0") == "0"
    display = _DISPLAYS.get(progress, _Lines)(recipe) if first else _Silence(recipe)
    with _asked_to_stop() as asked:
        weights = train(
            recipe,
            options,
            resolve_device(device),
            on_row=display.row,
            on_source=display.packed,
            stop=asked,
        )
        if asked():
            raise Interrupted(f"stopped; the same command goes on from {output}")
    display.done(weights)


class _Silence:
    """Shows nothing: the main process shows the progress."""

    def __init__(self, recipe: Recipe) -> None:
        self._recipe = recipe

    def packed(self, name: str, count: int, unit: str) -> None:
        """Show that a video or a folder of photographs is part of the material."""

    def row(self, row: Row) -> None:
        """Show a row of the record."""

    def done(self, weights: Path) -> None:
        """Show where the result is."""


class _Lines(_Silence):
    """Lines for people."""

    def packed(self, name: str, count: int, unit: str) -> None:
        echo(f"packed {name}: {count} {unit}", err=True)

    def row(self, row: Row) -> None:
        echo(_line(row, self._recipe), err=True)

    def done(self, weights: Path) -> None:
        echo(f"done: {weights}", err=True)


class _Events(_Silence):
    """Events; see `vsrpp_cli.cli.events`."""

    def __init__(self, recipe: Recipe) -> None:
        super().__init__(recipe)
        self._display = JsonLines()

    def packed(self, name: str, count: int, unit: str) -> None:
        self._display.tell("packed", f"{name}: {count} {unit}")

    def row(self, row: Row) -> None:
        step = Progress(phase="train", done=row.step, total=self._recipe.steps)
        self._display.step(step, row=to_json(row))

    def done(self, weights: Path) -> None:
        write_result(str(weights.absolute()), None)


_DISPLAYS = {"none": _Silence, "json": _Events}


def _line(row: Row, recipe: Recipe) -> str:
    """Return the progress line of a row."""
    parts = [f"step {row.step}/{recipe.steps}", row.stage, f"loss {row.loss:.5f}"]
    if not math.isnan(row.flow_error):
        parts.append(f"flow {row.flow_error:.3f} px")
    parts += [f"rate {row.rate:.1e}", f"{row.pixels_per_second:,.0f} LR px/s"]
    if not math.isnan(row.psnr):
        parts.append(f"held out {row.psnr:.3f} dB (bicubic {row.bicubic:.3f})")
    return "  ".join(parts)


@contextmanager
def _asked_to_stop() -> Iterator[Callable[[], bool]]:
    """Turn the first SIGINT or SIGTERM into a wish that the loop looks at between two steps."""
    wishes: list[int] = []
    before = [signal.signal(number, lambda got, _: wishes.append(got)) for number in STOPPING]
    try:
        yield lambda: bool(wishes)
    finally:
        for number, handler in zip(STOPPING, before, strict=True):
            signal.signal(number, handler)
