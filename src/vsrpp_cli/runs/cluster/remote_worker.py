"""The worker on a node of a cluster: it computes segments and commits nothing.

Files of the plan that this node has, checked by their content, are used where they are; others are
received in pieces, and segments are sent in pieces.

It is a Ray actor. Its methods run in several threads, so that it can report progress and be told to
stop while it computes.
"""

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
    """An accepted order, with the paths on this node."""

    plan: Plan
    folder: WorkFolder
    engine: Engine
    sees_folder: bool

    def clean_up(self) -> None:
        """Remove the folder, unless it is the driver's."""
        if not self.sees_folder:
            remove(self.folder.path)


class RemoteWorker:
    """One worker on one device, for all runs of the driver."""

    def __init__(self, device: str, threads: int) -> None:
        self._device, self._threads = device, threads
        self._jobs: dict[str, _Job] = {}
        self._parcels: dict[Path, Parcel] = {}
        self._store = Store(cache_root() / "received")
        self._store.tidy()
        self._progress = 0.0
        self._wanted = True
        self._now = ("", -1)
        """The run and the segment being computed."""

    def facts(self) -> Facts:
        """Return host, software and device of this worker."""
        return Facts(platform.node(), software(), device_name(torch.device(self._device)))

    def accept(self, order: Order) -> Accepted | VsrppError:
        """Prepare to compute for a run, if all that it needs is on this node.

        Weights are loaded once, even for several runs that use them.
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
        """Return the plan with this node's paths, and the paths that this node lacks."""
        lacking = []
        source = self._found(plan.source.path, source_key(plan), plan.was_made_for)
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
        """Return the path of a file of the plan on this node; only its content is compared."""
        places = Path(path), self._store.find(key, Path(path).name)
        return next((str(p) for p in places if p is not None and is_right(p)), None)

    def forget(self, key: str) -> None:
        """Free what a run needed."""
        job = self._jobs.pop(key, None)
        if job is not None and key != self._now[0]:
            job.clean_up()

    def expect(self, key: str, parcel: Parcel) -> VsrppError | None:
        """Prepare to receive a parcel from the driver."""
        return _failure(self._store.expect, key, parcel)

    def take_in(self, key: str, number: int, data: bytes) -> VsrppError | None:
        """Receive a piece of the parcel."""
        return _failure(self._store.take_in, key, number, data)

    def keep(self, key: str) -> None:
        """Record that all pieces of a parcel were received."""
        self._store.keep(key)

    def pack(self, made: Path) -> Parcel:
        """Prepare to send a segment."""
        self._parcels[made] = pack_whole(made)
        return self._parcels[made]

    def piece(self, made: Path, number: int) -> bytes:
        """Return a piece of a packed segment."""
        return read_piece(made.parent, self._parcels[made], number)

    def discard(self, made: Path) -> None:
        """Remove a segment that was sent or is not needed."""
        self._parcels.pop(made, None)
        remove(made)

    def compute(self, key: str, index: int) -> Computed | VsrppError | None:
        """Compute segment `index` of an accepted run; None if it was cancelled.

        Errors of the run are returned, not raised: Ray would wrap them.
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
        """Return how much of the current segment is done, in units of frames."""
        return self._progress

    def leave_off(self, key: str, index: int) -> None:
        """Stop computing a segment, if this worker is computing it."""
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
    """Call a function; return its error, which Ray would wrap if it were raised."""
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


def _is_model(sha256: str, path: Path) -> bool:
    try:
        return sha256_of(path) == sha256
    except OSError:
        return False
