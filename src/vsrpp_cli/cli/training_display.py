"""What `vsrpp train` does once its options are read: connect, show rows, stop when asked."""

import math
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numba
import torch

from vsrpp_cli.checkpoints.download import resolve
from vsrpp_cli.cli.signals import STOPPING
from vsrpp_cli.cli.text import echo
from vsrpp_cli.errors import Interrupted
from vsrpp_cli.inference.device import resolve_device
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
    quiet: bool,
    offline: bool,
) -> None:
    """Run the command; see its options."""
    recipe = load_recipe(path)
    if threads is not None:
        torch.set_num_threads(threads)
        numba.set_num_threads(min(threads, numba.get_num_threads()))
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
    say = _silent if quiet or os.environ.get("RANK", "0") != "0" else _say
    with _asked_to_stop() as asked:
        weights = train(
            recipe,
            options,
            resolve_device(device),
            on_row=lambda row: say(_line(row, recipe)),
            on_source=lambda name, count, unit: say(f"packed {name}: {count} {unit}"),
            stop=asked,
        )
        if asked():
            raise Interrupted(f"stopped; the same command goes on from {output}")
    say(f"done: {weights}")


def _say(text: str) -> None:
    echo(text, err=True)


def _silent(_text: str) -> None:
    pass


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
