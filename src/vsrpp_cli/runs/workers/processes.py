"""Several worker processes on this machine, each with its own engine.

Workers compute, the driver commits. A worker whose driver has died commits nothing, and exits at
once because its pipe to the driver ends.
"""

import multiprocessing
import os
import signal
import sys
import threading
from collections import deque
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from types import ModuleType
from typing import Any, cast

import torch

from vsrpp_cli.errors import VsrppError, WorkerError
from vsrpp_cli.inference.progress import OnFrames
from vsrpp_cli.runs.plans.plan import Plan
from vsrpp_cli.runs.stop import INTERRUPTS, StopToken
from vsrpp_cli.runs.work.segment import (
    Computed,
    Finished,
    commit,
    compute,
    remove_partial,
)
from vsrpp_cli.runs.work.workfolder import WorkFolder
from vsrpp_cli.runs.workers.serial import load_engine

TRIES = 2
"""How often a segment is given out before the death of its worker fails the run."""


@dataclass(frozen=True)
class Place:
    """Where a worker computes."""

    device: str
    threads: int


def crew(devices: Sequence[torch.device], workers: int, threads: int) -> list[Place]:
    """Return a place for each of `workers`: devices in turn, and an equal share of the threads."""
    share = max(1, threads // workers)
    return [Place(str(devices[number % len(devices)]), share) for number in range(workers)]


@contextmanager
def _without_main() -> Iterator[None]:
    """Hide the main module, which a spawned process would import.

    Workers do not need it, and a script that calls `upscale()` without the guard
    `if __name__ == "__main__"` would call it again in each of them.
    """
    main = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main


class _Worker:
    """One process and the segment it is computing."""

    def __init__(self, plan: Plan, folder: WorkFolder, place: Place) -> None:
        context = multiprocessing.get_context("spawn")
        self.connection, theirs = context.Pipe()
        self.index: int | None = None
        self.process: SpawnProcess = context.Process(
            target=_serve, args=(theirs, plan, folder, place), daemon=True
        )
        with _without_main():
            self.process.start()
        theirs.close()

    def give(self, index: int) -> None:
        """Make it compute a segment."""
        self.index = index
        self.connection.send(index)

    def close(self) -> None:
        """End it, whatever it is doing."""
        self.connection.close()
        self.process.terminate()
        self.process.join()


class _Team:
    """The workers and the segments that wait for one."""

    def __init__(
        self, plan: Plan, folder: WorkFolder, indices: Sequence[int], places: Sequence[Place]
    ) -> None:
        self._plan, self._folder, self._places = plan, folder, places
        self._waiting = deque(indices)
        self._tries = dict.fromkeys(indices, 0)
        self.members = [self._hire(number) for number in range(len(places))]

    def _hire(self, number: int) -> _Worker:
        return _Worker(self._plan, self._folder, self._places[number])

    def hand_out(self) -> None:
        """Give a waiting segment to each worker that has none."""
        for worker in self.members:
            if worker.index is None and self._waiting:
                self._tries[self._waiting[0]] += 1
                worker.give(self._waiting.popleft())

    def collect(self, on_frames: OnFrames) -> Iterator[Computed]:
        """Wait for messages of busy workers and yield the segments that are computed."""
        busy = {worker.connection: worker for worker in self.members if worker.index is not None}
        for connection in wait(list(busy)):
            worker = busy[cast("Connection", connection)]
            try:
                result = _receive(worker, on_frames)
            except (EOFError, ConnectionError):
                self._replace(worker)
                continue
            if result is not None:
                worker.index = None
                yield result

    def _replace(self, worker: _Worker) -> None:
        """Put a new worker in the place of one that died, and its segment back in the queue."""
        lost = worker.index
        worker.close()
        if lost is None or self._tries[lost] >= TRIES:
            raise WorkerError(f"a worker died (exit {worker.process.exitcode}) on segment {lost}")
        self._waiting.appendleft(lost)
        number = self.members.index(worker)
        self.members[number] = self._hire(number)

    @property
    def busy(self) -> bool:
        """Whether anything is being computed."""
        return any(worker.index is not None for worker in self.members)

    def close(self) -> None:
        """End all workers."""
        for worker in self.members:
            worker.close()


def run(
    plan: Plan,
    folder: WorkFolder,
    indices: Sequence[int],
    places: Sequence[Place],
    stop: StopToken,
    on_frames: OnFrames,
) -> Generator[Finished, None, None]:
    """Compute the segments, a process at each place, committing and yielding each as it ends.

    When told to stop, no further segment is given out; those under way are finished.

    Raises:
        WorkerError: a worker died while computing, twice on the same segment.
        VsrppError: what a worker raised.
    """
    team = _Team(plan, folder, indices, places)
    try:
        team.hand_out()
        while team.busy:
            for computed in team.collect(on_frames):
                yield commit(plan, folder, computed)
            if not stop.requested:
                team.hand_out()
    finally:
        team.close()
        remove_partial(folder)  # of workers that were ended amid a segment


def _receive(worker: _Worker, on_frames: OnFrames) -> Computed | None:
    """Take one message; return the segment when it is computed."""
    message: Any = worker.connection.recv()
    if isinstance(message, VsrppError):
        raise message
    if isinstance(message, Computed):
        return message
    on_frames(message)
    return None


def _serve(connection: Connection, plan: Plan, folder: WorkFolder, place: Place) -> None:
    """Compute requested segments until the driver closes the connection; runs in the worker."""
    # Ctrl-C reaches the whole process group; only the driver handles it.
    for number in INTERRUPTS:
        signal.signal(number, signal.SIG_IGN)
    asked: deque[int] = deque()
    news = threading.Semaphore(0)
    threading.Thread(target=_listen, args=(connection, asked, news), daemon=True).start()
    with suppress(BrokenPipeError):
        try:
            engine = load_engine(plan, place.device, place.threads)
            while True:
                news.acquire()
                connection.send(compute(plan, folder, asked.popleft(), engine, connection.send))
        except VsrppError as error:
            connection.send(error)


def _listen(connection: Connection, asked: deque[int], news: threading.Semaphore) -> None:
    """Receive requests; exit at once when the driver has died."""
    try:
        while True:
            asked.append(connection.recv())
            news.release()
    except (EOFError, OSError):
        os._exit(1)
