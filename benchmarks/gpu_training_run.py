"""The command `train` of gpu_training.py."""

import argparse
import math
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path

import torch

from vsrpp_cli.checkpoints import registry
from vsrpp_cli.errors import UsageError
from vsrpp_cli.training import curves
from vsrpp_cli.training.curves import Row
from vsrpp_cli.training.material.small_pack import unpack
from vsrpp_cli.training.recipe import Recipe, load_recipe
from vsrpp_cli.training.shipped_recipes import find_recipe
from vsrpp_cli.training.trainer import Trainer
from vsrpp_cli.training.validation import validate

WEIGHTS = Path(__file__).parents[1] / "weights"
EVERY = 500
"""Steps between two saved states, and between two validations."""
SAFETY = 0.95
"""Share of the remaining time that the decay is planned to use."""


def train(given: argparse.Namespace) -> None:
    """Train, and write the summary."""
    begin = time.monotonic()
    recipe = adapted(load_recipe(find_recipe(given.recipe)), given.batch, given.rate)
    if recipe.data.degradation == "real" and find_spec("av") is None:
        raise UsageError(f"{given.recipe} compresses clips, with PyAV, which is not installed here")
    start = start_of(recipe, given.start)
    pack = unpack(given.file, given.output / "pack")
    trainer = Trainer(recipe, pack, given.output, start=start, device=device_of(given.device))
    kept = first_row(trainer)
    seconds = 60 * given.minutes - (time.monotonic() - begin)
    clock = Clock(trainer, seconds, given.decay, kept, stop_wish())
    try:
        trainer.run(row_every=given.row_every, on_row=show, stop=clock)
    except torch.OutOfMemoryError as error:
        batch = recipe.stages[0].batch
        raise UsageError(f"no memory for {batch} clips together: give a smaller --batch") from error
    (given.output / "card.md").write_text(card(trainer, given.file, start), encoding="utf-8")
    done = trainer.step == trainer.last_step
    print(f"{'done' if done else 'stopped: the same command goes on'}: {trainer.places.weights}")


@dataclass
class Clock:
    """Divides the time: first steps at the full learning rate, then a decay in as many as fit."""

    trainer: Trainer
    seconds: float
    """All there are, from now on."""
    share: float
    """For the decay."""
    kept: float
    """Seconds for what follows the last step."""
    asked: Callable[[], bool] = lambda: False
    """Whether to stop before the time is over."""

    def __post_init__(self) -> None:
        self._end = self.now() + self.seconds - self.kept
        self._after_first: tuple[int, float] | None = None

    def now(self) -> float:
        """Return the time in seconds."""
        return time.monotonic()

    def __call__(self) -> bool:
        """Begin the decay when it is time; return whether to stop. To be called after each step."""
        now, step = self.now(), self.trainer.step
        left = self._end - now
        if self._after_first is None:  # the first takes longer: code is compiled
            self._after_first = step, now
        elif self.trainer.decay is None and left <= self.share * self.seconds and self.share:
            steps, seconds = step - self._after_first[0], now - self._after_first[1]
            self.trainer.finish_in(max(1, int(SAFETY * left * steps / seconds)))
        return left <= 0 or self.asked()


def adapted(recipe: Recipe, batch: int | None, rate: float | None) -> Recipe:
    """Return a recipe for going on from trained weights: its last stage alone, on the pack."""
    last = recipe.stages[-1]
    stage = replace(last, batch=batch or last.batch, rate=rate or last.rate)
    validation = replace(recipe.validation, every=EVERY)
    return replace(recipe, stages=(stage,), held_out=(), save_every=EVERY, validation=validation)


def start_of(recipe: Recipe, given: Path | None) -> Path | None:
    """Return the weights to begin with: those given, or the shipped ones of the recipe's name."""
    row = registry.MODELS.get(recipe.name)
    if given is None and row is not None and row.embedded:
        return WEIGHTS / row.file
    return given


def device_of(name: str) -> torch.device:
    """Return a device.

    Raises:
        UsageError: it does not exist.
    """
    if name.startswith("cuda") and not torch.cuda.is_available():
        raise UsageError(f"--device {name}: torch finds no GPU here")
    return torch.device(name)


def stop_wish() -> Callable[[], bool]:
    """Return a function that returns whether an interrupt or SIGTERM was received."""
    wishes: list[int] = []
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda got, _: wishes.append(got))
    return lambda: bool(wishes)


def first_row(trainer: Trainer) -> float:
    """Record the validation of a run's first weights; return the seconds it takes."""
    if not trainer.pack.held_out_rows:
        return 0.0
    begin = time.monotonic()
    psnr, bicubic = validate(
        trainer.trained, trainer.average.weights, trainer.pack, trainer.sampler.degrade
    )
    if not curves.read(trainer.places.record):
        none = math.nan
        row = Row(0, 0.0, "restore", 0.0, none, none, none, none, none, psnr, bicubic)
        curves.append(trainer.places.record, row)
        show(row)
    return time.monotonic() - begin


def show(row: Row) -> None:
    """Print a row of the record."""
    parts = [f"step {row.step}", f"{row.seconds:.0f} s"]
    if row.step:
        parts += [f"loss {row.loss:.5f}", f"rate {row.rate:.1e}"]
        parts.append(f"{row.pixels_per_second:,.0f} LR pixels/s")
    if not math.isnan(row.psnr):
        parts.append(f"held out {row.psnr:.3f} dB (bicubic {row.bicubic:.3f})")
    print("  ".join(parts), flush=True)


def card(trainer: Trainer, material: Path, start: Path | None) -> str:
    """Return a summary of a run as Markdown."""
    stage, rows = trainer.recipe.stages[0], curves.read(trainer.places.record)
    measured = [row for row in rows if not math.isnan(row.psnr)]
    index, on = trainer.pack, trainer.device
    device = torch.cuda.get_device_name(on) if on.type == "cuda" else "CPU"
    decay = f"the last {trainer.decay[1]}" if trainer.decay else "none"
    cells = {
        "recipe": f"{trainer.recipe.name}, seed {trainer.recipe.seed}",
        "begun with": start.name if start else "random weights",
        "material": f"{material.name}: {len(index.clip_rows)} clips, {len(index.still_rows)} "
        "stills",
        "steps": f"{trainer.step}, {decay} at a falling rate",
        "a step": f"{stage.batch} clips of {stage.frames} frames of {stage.patch}x{stage.patch}, "
        f"rate {stage.rate:g}",
        "time": f"{trainer.seconds / 60:.1f} minutes, {device}, torch {torch.__version__}",
    }
    if measured:
        cells["held out, PSNR-Y"] = (
            f"{measured[0].psnr:.3f} dB before, {measured[-1].psnr:.3f} after, "
            f"bicubic {measured[-1].bicubic:.3f}"
        )
    lines = [f"| {name} | {text} |" for name, text in cells.items()]
    return "\n".join(["# Weights of a training run", "", "| | |", "|---|---|", *lines, ""])
