"""One worker in this process: computes the segments one after another on one device."""

from collections.abc import Generator, Iterable
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

from vsrpp_cli.checkpoints.cache import sha256_of
from vsrpp_cli.checkpoints.load import load_network
from vsrpp_cli.errors import ResumeRefusedError
from vsrpp_cli.inference.engine import Engine
from vsrpp_cli.inference.progress import OnFrames
from vsrpp_cli.inference.session import make_engine
from vsrpp_cli.network.base import VideoNetwork
from vsrpp_cli.runs.plans.plan import Plan
from vsrpp_cli.runs.stop import StopToken
from vsrpp_cli.runs.work.segment import Finished, worker
from vsrpp_cli.runs.work.workfolder import WorkFolder


def load_engine(plan: Plan, device: str | None = None, threads: int | None = None) -> Engine:
    """Load the plan's networks onto the plan's device, or onto `device` of the same kind.

    Args:
        plan: the run.
        device: replaces the plan's.
        threads: replaces the plan's.

    Raises:
        ResumeRefusedError: a checkpoint is not the one with which the plan was made.
        CheckpointError: it cannot be loaded.
    """
    for model in plan.models:
        if sha256_of(Path(model.path)) != model.sha256:
            raise ResumeRefusedError(
                f"{model.path} has changed since: start anew with `resume='restart'`"
            )
    compute = replace(
        plan.compute, device=device or plan.compute.device, threads=threads or plan.compute.threads
    )
    networks = [_network(model.path, model.sha256) for model in plan.models]
    return make_engine(networks, compute, plan.geometry)


@lru_cache(maxsize=4)
def _network(path: str, _sha256: str) -> VideoNetwork:
    """Return the network of a file; several runs in one process (a batch) load it once.

    Engines do not modify the networks that they are given.
    """
    return load_network(Path(path))


def run(
    plan: Plan,
    folder: WorkFolder,
    indices: Iterable[int],
    engine: Engine,
    stop: StopToken,
    on_frames: OnFrames | None = None,
) -> Generator[Finished, None, None]:
    """Compute and commit the segments until asked to stop, yielding each when it is committed."""
    for index in indices:
        if stop.requested:
            return
        yield worker(plan, folder, index, engine, on_frames)
