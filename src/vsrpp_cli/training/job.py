"""A whole training job: pack the material if that is not done, then train."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.distributed as dist

from vsrpp_cli.errors import OutputExistsError
from vsrpp_cli.records import to_json
from vsrpp_cli.training.curves import Row
from vsrpp_cli.training.material.prepare import Image, OnSource, PreparationSettings, prepare
from vsrpp_cli.training.material.sampler import Pack
from vsrpp_cli.training.material.sources import decode, find_material
from vsrpp_cli.training.processes import Processes, joined
from vsrpp_cli.training.recipe import Recipe
from vsrpp_cli.training.trainer import Places, Trainer, quick_arithmetic


@dataclass(frozen=True)
class TrainingOptions:
    """The options of a training command besides its recipe."""

    data: tuple[Path, ...]
    """Folders of videos, of folders of frames, and of photographs."""
    output: Path
    """Folder of the run."""
    stills: tuple[Path, ...] = ()
    """Folders in which every picture is a photograph."""
    pack: Path | None = None
    """Folder of the packed material; ``pack`` inside `output` unless given."""
    start: Path | None = None
    """Checkpoint to begin from."""
    finish: int | None = None
    """Let the rate decay over this many further steps, then end."""
    restart: bool = False
    """Start again in a folder that holds a run."""
    row_every: int = 50
    """Steps a row of the record averages."""


def train(
    recipe: Recipe,
    options: TrainingOptions,
    device: torch.device,
    *,
    on_row: Callable[[Row], None] | None = None,
    on_source: OnSource | None = None,
    stop: Callable[[], bool] | None = None,
) -> Path:
    """Run a recipe, or go on with it, and return the path of the averaged weights.

    Args:
        recipe: what to do.
        options: with what, and where.
        device: where to compute; with several processes each takes the GPU of its number.
        on_row: called with each row of the record.
        on_source: told about each video and each folder of photographs packed.
        stop: asked after each step; when it says yes the state is saved and the function returns.

    Raises:
        InputError: no material was found.
        ResumeRefusedError: the folder holds a run of another recipe.
        RunError: training diverged.
    """
    with joined(device.type) as processes:
        if device.type == "cuda" and processes.count > 1:
            device = torch.device("cuda", processes.local_rank)
            torch.cuda.set_device(device)
        pack = packed(recipe, options, processes, on_source)
        places = Places(options.output)
        if options.restart and processes.first:
            for path in (places.state, places.record, places.picture, places.weights):
                path.unlink(missing_ok=True)
        _wait(processes)
        trainer = Trainer(
            recipe, pack, options.output, start=options.start, device=device, processes=processes
        )
        if options.finish is not None:
            trainer.finish_in(options.finish)
        arithmetic = quick_arithmetic() if device.type == "cpu" else contextlib.nullcontext()
        with arithmetic:
            trainer.run(row_every=options.row_every, on_row=on_row, stop=stop)
        _wait(processes)
        return places.weights


def packed(
    recipe: Recipe,
    options: TrainingOptions,
    processes: Processes,
    on_source: OnSource | None,
) -> Pack:
    """Return the packed material, packing it first where that is not done.

    Raises:
        InputError: no material was found.
        OutputExistsError: it was packed with other settings than the recipe's.
    """
    folder = options.pack or options.output / "pack"
    if processes.first and not (folder / "pack.json").exists():
        material = find_material(options.data, options.stills)
        prepare(
            material.videos,
            folder,
            recipe.preparation,
            photographs=((p.name, map(_loader, p.files)) for p in material.photographs),
            held_out=recipe.held_out,
            on_source=on_source,
        )
    _wait(processes)
    pack = Pack(folder)
    wanted = to_json(recipe.preparation)
    # A pack of before a setting was there was packed with what is its default now.
    was = to_json(PreparationSettings()) | pack.settings
    if was != wanted:
        changed = [k for k in wanted if was[k] != wanted[k]]
        raise OutputExistsError(
            f"{folder} was packed with other settings ({', '.join(changed)}); remove it, "
            "or name another folder with `pack`"
        )
    return pack


def _loader(path: Path) -> tuple[str, Callable[[], Image]]:
    """Return a photograph's name, and what decodes it."""
    return path.name, lambda: next(decode(path))


def _wait(processes: Processes) -> None:
    if processes.count > 1:
        dist.barrier()
