"""The worker on a node of a cluster: it computes what it is told and commits nothing.

Ray makes an actor of it. Its methods run in several threads, so that it can be asked how far it is,
and told to leave off, while it computes.
"""

import json
import platform
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from vsrpp_cli.checkpoints.cache import sha256_of
from vsrpp_cli.errors import VsrppError
from vsrpp_cli.inference.device import device_name
from vsrpp_cli.inference.engine import Engine
from vsrpp_cli.records import to_json
from vsrpp_cli.runs.cluster.order import Facts, Order
from vsrpp_cli.runs.plan import Plan
from vsrpp_cli.runs.planner import software
from vsrpp_cli.runs.segment import Computed, compute, measure
from vsrpp_cli.runs.workers.serial import load_engine
from vsrpp_cli.runs.workfolder import WorkFolder


class _LeftOff(Exception):  # noqa: N818 - not a failure
    """Raised amid a segment that another worker has computed meanwhile."""


@dataclass(frozen=True)
class _Job:
    """An accepted order, with the paths that hold here."""

    plan: Plan
    folder: WorkFolder
    engine: Engine


class RemoteWorker:
    """One engine on one device, for whichever runs the driver has."""

    def __init__(self, device: str, threads: int) -> None:
        self._device, self._threads = device, threads
        self._jobs: dict[str, _Job] = {}
        self._progress = 0.0
        self._index: int | None = None
        self._left_off: int | None = None

    def facts(self) -> Facts:
        """Return what this worker is."""
        return Facts(platform.node(), software(), device_name(torch.device(self._device)))

    def accept(self, order: Order) -> list[str] | VsrppError:
        """Make ready to compute for a run; return what of it cannot be seen from here.

        Weights are loaded once, also for several runs with the same.
        """
        try:
            unseen = _unseen(order)
            if not unseen:
                engine = load_engine(order.plan, self._device, self._threads)
                self._jobs[order.key] = _Job(order.plan, WorkFolder(Path(order.folder)), engine)
        except VsrppError as error:
            return error
        return unseen

    def forget(self, key: str) -> None:
        """Let go of what a run needed."""
        self._jobs.pop(key, None)

    def compute(self, key: str, index: int) -> Computed | VsrppError | None:
        """Compute segment `index` of an accepted run; None if told to leave off.

        What is wrong with the run is returned rather than raised: Ray would wrap it.
        """
        job = self._jobs[key]
        self._progress, self._index = 0.0, index
        try:
            computed = compute(job.plan, job.folder, index, job.engine, self._note)
            return replace(computed, measured=measure(computed.partial))
        except _LeftOff:
            return None
        except VsrppError as error:
            return error
        finally:
            self._index = None

    def progress(self) -> float:
        """Return how many frames' worth of work are done of the segment under way."""
        return self._progress

    def leave_off(self, index: int) -> None:
        """Stop computing a segment, if that is what this worker does."""
        self._left_off = index

    def _note(self, frames: float) -> None:
        self._progress += frames
        if self._left_off == self._index:
            self._left_off = None
            raise _LeftOff


def _unseen(order: Order) -> list[str]:
    """Return which files of a run are not here: what counts is what is in them."""
    plan, unseen = order.plan, []
    if not _sees_folder(order):
        unseen.append(order.folder)
    if not _sees_source(plan):
        unseen.append(plan.source.path)
    unseen += [m.path for m in plan.models if not _sees_model(Path(m.path), m.sha256)]
    return unseen


def _sees_folder(order: Order) -> bool:
    try:
        marker = WorkFolder(Path(order.folder)).segments / order.marker
        return marker.read_text(encoding="utf-8") == order.marker
    except OSError:
        return False


def _sees_source(plan: Plan) -> bool:
    try:
        found = plan.decoding.open(Path(plan.source.path)).fingerprint()
    except (VsrppError, OSError):
        return False
    # Through JSON, as the plan's own copy went: tuples become lists.
    return bool(json.loads(json.dumps(to_json(found))) == plan.source_fingerprint)


def _sees_model(path: Path, sha256: str) -> bool:
    try:
        return sha256_of(path) == sha256
    except OSError:
        return False
