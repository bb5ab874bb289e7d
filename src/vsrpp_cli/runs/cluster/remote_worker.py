"""The worker on a node of a cluster: it computes what it is told and commits nothing.

Files that stand here as the plan says, by their content, are used where they are; others are
received, and segments handed over, piece by piece.

Ray makes an actor of it. Its methods run in several threads, so that it can be asked how far it is,
and told to leave off, while it computes.
"""

import json
import os
import platform
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch

from vsrpp_cli.checkpoints.cache import cache_root, sha256_of
from vsrpp_cli.durable import disk_errors, remove
from vsrpp_cli.errors import VsrppError
from vsrpp_cli.inference.engine import Engine
from vsrpp_cli.inference.machine.device import device_name
from vsrpp_cli.records import to_json
from vsrpp_cli.runs.cluster.order import Accepted, Facts, Order, source_key
from vsrpp_cli.runs.cluster.parcels import Parcel, pack_whole, read_piece
from vsrpp_cli.runs.cluster.store import Store
from vsrpp_cli.runs.plans.plan import Plan
from vsrpp_cli.runs.plans.planner import software
from vsrpp_cli.runs.work.segment import Computed, compute, measure
from vsrpp_cli.runs.work.workfolder import WorkFolder
from vsrpp_cli.runs.workers.serial import load_engine


class _LeftOff(Exception):  # noqa: N818 - not a failure
    """Raised during a segment that another worker has finished meanwhile."""


@dataclass(frozen=True)
class _Job:
    """An accepted order, with the paths that hold here."""

    plan: Plan
    folder: WorkFolder
    engine: Engine
    sees_folder: bool

    def clean_up(self) -> None:
        """Remove the folder, unless it is the driver's."""
        if not self.sees_folder:
            remove(self.folder.path)


class RemoteWorker:
    """One engine on one device, for whichever runs the driver has."""

    def __init__(self, device: str, threads: int) -> None:
        self._device, self._threads = device, threads
        self._jobs: dict[str, _Job] = {}
        self._parcels: dict[Path, Parcel] = {}
        self._store = Store(cache_root() / "received")
        self._store.tidy()
        self._progress = 0.0
        self._wanted = True
        self._now = ("", -1)
        """The run and the segment under way."""

    def facts(self) -> Facts:
        """Return what this worker is."""
        return Facts(platform.node(), software(), device_name(torch.device(self._device)))

    def accept(self, order: Order) -> Accepted | VsrppError:
        """Make ready to compute for a run, if all that it needs is here.

        Weights are loaded once, also for several runs with the same.
        """
        try:
            plan, lacking = self._with_paths_of_here(order.plan)
            sees_folder = _sees_folder(order)
            if not lacking and order.key not in self._jobs:
                folder = order.folder if sees_folder else self._store.scratch(order.key)
                engine = load_engine(plan, self._device, self._threads)
                self._jobs[order.key] = _Job(plan, _work_folder(folder), engine, sees_folder)
        except VsrppError as error:
            return error
        return Accepted(lacking, sees_folder)

    def _with_paths_of_here(self, plan: Plan) -> tuple[Plan, tuple[str, ...]]:
        """Return the plan with paths that hold here, and those for which there is none."""
        lacking = []
        source = self._found(plan.source.path, source_key(plan), partial(_is_source, plan))
        if source is None:
            lacking.append(plan.source.path)
        models = []
        for model in plan.models:
            path = self._found(model.path, model.sha256, partial(_is_model, model.sha256))
            if path is None:
                lacking.append(model.path)
            models.append(replace(model, path=path or model.path))
        there = replace(plan.source, path=source or plan.source.path)
        return replace(plan, source=there, models=tuple(models)), tuple(lacking)

    def _found(self, path: str, key: str, is_right: Callable[[Path], bool]) -> str | None:
        """Return where a file of the plan is here: what counts is what is in it."""
        places = Path(path), self._store.find(key, Path(path).name)
        return next((str(p) for p in places if p is not None and is_right(p)), None)

    def forget(self, key: str) -> None:
        """Let go of what a run needed."""
        job = self._jobs.pop(key, None)
        if job is not None and key != self._now[0]:
            job.clean_up()

    def expect(self, key: str, parcel: Parcel) -> VsrppError | None:
        """Make room for something the driver sends."""
        return _failure(self._store.expect, key, parcel)

    def take_in(self, key: str, number: int, data: bytes) -> VsrppError | None:
        """Take a piece of it."""
        return _failure(self._store.take_in, key, number, data)

    def keep(self, key: str) -> None:
        """Record that all pieces are there."""
        self._store.keep(key)

    def pack(self, made: Path) -> Parcel:
        """Make ready to hand over a segment."""
        self._parcels[made] = pack_whole(made)
        return self._parcels[made]

    def piece(self, made: Path, number: int) -> bytes:
        """Hand over a piece of it."""
        return read_piece(made.parent, self._parcels[made], number)

    def discard(self, made: Path) -> None:
        """Remove a segment that was handed over, or that nobody wants."""
        self._parcels.pop(made, None)
        remove(made)

    def compute(self, key: str, index: int) -> Computed | VsrppError | None:
        """Compute segment `index` of an accepted run; None if it was cancelled.

        What is wrong with the run is returned rather than raised: Ray would wrap it.
        """
        job = self._jobs[key]
        self._now, self._progress, self._wanted = (key, index), 0.0, True
        try:
            computed = compute(job.plan, job.folder, index, job.engine, self._note)
            return replace(computed, measured=measure(computed.partial))
        except _LeftOff:
            return None
        except VsrppError as error:
            return error
        finally:
            self._now = ("", -1)
            if key not in self._jobs:
                job.clean_up()

    def progress(self) -> float:
        """Return how many frames' worth of work are done of the segment under way."""
        return self._progress

    def leave_off(self, key: str, index: int) -> None:
        """Stop computing a segment, if that is what this worker does."""
        if self._now == (key, index):
            self._wanted = False

    def _note(self, frames: float) -> None:
        self._progress += frames
        if not self._wanted:
            raise _LeftOff


def _work_folder(path: str | Path) -> WorkFolder:
    folder = WorkFolder(Path(path))
    with disk_errors(folder.path):
        folder.segments.mkdir(parents=True, exist_ok=True)
    return folder


def _failure(function: Callable[..., None], *args: Any) -> VsrppError | None:
    """Call a function and return what goes wrong, which Ray would wrap if it were raised."""
    try:
        function(*args)
    except VsrppError as error:
        return error
    return None


def _sees_folder(order: Order) -> bool:
    try:
        marker = WorkFolder(Path(order.folder)).segments / order.marker
        seen = marker.read_text(encoding="utf-8") == order.marker
        return seen and os.access(marker.parent, os.W_OK)
    except OSError:
        return False


def _is_source(plan: Plan, path: Path) -> bool:
    """Whether the file at `path` is the plan's input."""
    try:
        found = plan.decoding.open(path).fingerprint()
    except (VsrppError, OSError):
        return False
    # Through JSON, as the plan's own copy went: tuples become lists.
    return bool(json.loads(json.dumps(to_json(found))) == plan.source_fingerprint)


def _is_model(sha256: str, path: Path) -> bool:
    try:
        return sha256_of(path) == sha256
    except OSError:
        return False
