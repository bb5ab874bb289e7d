"""A training job: pack the material unless that is done, then train."""

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
    """Folders that are searched for videos, folders of frames, and photographs."""
    output: Path
    """Folder of the run."""
    stills: tuple[Path, ...] = ()
    """Folders in which every picture is a photograph."""
    pack: Path | None = None
    """Folder of the packed material; ``pack`` inside `output` by default."""
    start: Path | None = None
    """Checkpoint to begin from."""
    finish: int | None = None
    """Number of further steps over which the rate decays; the run then ends."""
    restart: bool = False
    """Start anew in a folder that holds a run."""
    row_every: int = 50
    """Number of steps averaged in a row of the record."""


def train(
    recipe: Recipe,
    options: TrainingOptions,
    device: torch.device,
    *,
    on_row: Callable[[Row], None] | None = None,
    on_source: OnSource | None = None,
    stop: Callable[[], bool] | None = None,
) -> Path:
    """Run a recipe, or continue the run, and return the path of the averaged weights.

    Args:
        recipe: what to do.
        options: material and folders.
        device: where to compute; each of several processes takes the GPU of its local rank.
        on_row: called with each row of the record.
        on_source: called for each video and each folder of photographs that was packed.
        stop: called after each step; if it returns True, the state is saved and training stops.

    Raises:
        InputError: no material was found.
        UsageError, CheckpointError: see `Trainer`.
        OutputExistsError: the material was packed with other settings.
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
    """Return the packed material; pack it first unless that is done.

    Raises:
        InputError: no material was found.
        OutputExistsError: it was packed with settings other than the recipe's.
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
    # Packs of older versions lack newer settings; they were packed with their defaults.
    was = to_json(PreparationSettings()) | pack.settings
    if was != wanted:
        changed = [k for k in wanted if was[k] != wanted[k]]
        raise OutputExistsError(
            f"{folder} was packed with other settings ({', '.join(changed)}); remove it, "
            "or name another folder with `pack`"
        )
    return pack


def _loader(path: Path) -> tuple[str, Callable[[], Image]]:
    """Return a photograph's name, and a function that decodes it."""
    return path.name, lambda: next(decode(path))


def _wait(processes: Processes) -> None:
    if processes.count > 1:
        dist.barrier()
