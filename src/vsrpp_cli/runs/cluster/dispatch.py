"""The current runs of a cluster, and which segment a worker computes next."""

import asyncio
import time
from collections import Counter
from contextlib import suppress
from itertools import islice
from typing import Any

from vsrpp_cli.durable import remove
from vsrpp_cli.errors import ResourceError, VsrppError, WorkerError
from vsrpp_cli.runs.cluster.board import TRIES
from vsrpp_cli.runs.cluster.colleague import Colleague
from vsrpp_cli.runs.cluster.job import Job
from vsrpp_cli.runs.cluster.order import differences
from vsrpp_cli.runs.work.segment import Computed

TICK = 1.0
"""Seconds between polls for slow segments, requests to stop, and progress."""

FAREWELL = 2.0
"""Seconds that a run waits at its end for workers to clean up."""

ASKED = 10
"""Workers asked for progress at each tick; a constant, so that large clusters cost no more."""


class RefusedError(Exception):
    """A worker's frames would differ from those of all current runs."""


class Dispatch:
    """Runs, in the order they came, and the workers that compute for them.

    All methods are called in one event loop.

    Args:
        ray: the module, connected.
        mixed: whether workers may compute whose software or instruction set is not the plan's.
    """

    def __init__(self, ray: Any, *, mixed: bool) -> None:
        self._ray, self._mixed = ray, mixed
        self.jobs: list[Job] = []
        self._orders: dict[str, Any] = {}
        self._workers: dict[Colleague, None] = {}
        self._memory: Counter[str] = Counter()
        """Bytes that the segments being computed on each node may use."""
        self._farewells: list[asyncio.Future[None]] = []
        self._changed = asyncio.Event()

    def begin(self, job: Job) -> None:
        """Add a run."""
        self._orders[job.order.key] = self._ray.put(job.order)
        self.jobs.append(job)
        self._changed.set()

    def abandon(self, job: Job) -> None:
        """Remove a run, finished or not."""
        job.closed = True
        if job in self.jobs:
            self.jobs.remove(job)
            del self._orders[job.order.key]
        for worker in self._workers:
            if worker.job is job:
                worker.leave_off()
            self._farewells.append(asyncio.ensure_future(worker.forget(job)))
        self._changed.set()

    async def settle(self) -> None:
        """Give workers a moment to clean up after runs that have ended."""
        farewells, self._farewells = self._farewells, []
        if farewells:
            _, late = await asyncio.wait(farewells, timeout=FAREWELL)
            for farewell in late:
                farewell.cancel()
            await asyncio.gather(*farewells, return_exceptions=True)

    def remark(self, text: str) -> None:
        """Pass a sentence for the user to all runs."""
        for job in self.jobs:
            job.remark(text)

    def fail(self, job: Job, error: Exception) -> None:
        """Fail a run with an error."""
        job.tell(error)
        self.abandon(job)

    def why_refused(self, node: str) -> str:
        """Return the reason why a node was refused."""
        reasons = (job.refused[node] for job in self.jobs if node in job.refused)
        return next(reasons, "")

    async def watch(self) -> None:
        """Poll for ended runs and slow segments, and ask some workers for progress."""
        while True:
            self._end_jobs()
            busy = [worker for worker in self._workers if worker.job is not None]
            await asyncio.gather(*map(self._ask_progress, islice(busy, ASKED)))
            self._to_the_end(busy[:ASKED])
            self._changed.set()
            await asyncio.sleep(TICK)

    def _end_jobs(self) -> None:
        for job in [job for job in self.jobs if job.over]:
            self.abandon(job)
            job.end()

    async def _ask_progress(self, worker: Colleague) -> None:
        job, index = worker.job, worker.index
        with suppress(self._ray.exceptions.RayError):
            frames = await worker.progress()
            if job is not None and (worker.job, worker.index) == (job, index):
                job.tell_progress(index, frames)

    def _to_the_end(self, asked: list[Colleague]) -> None:
        """Move these workers to the end of the order in which workers are asked."""
        for worker in asked:
            if worker in self._workers:
                self._workers[worker] = self._workers.pop(worker)

    async def work(self, worker: Colleague) -> None:
        """Give a worker one segment after another until it is lost.

        Raises:
            RefusedError: all runs refuse it.
            RayError: it is lost; its segment is given to another worker.
        """
        self._workers[worker] = None
        try:
            while True:
                await self._do(worker, *await self._next(worker))
        finally:
            del self._workers[worker]

    async def _next(self, worker: Colleague) -> tuple[Job, int]:
        """Wait for a segment that the worker may compute, and take it."""
        while True:
            jobs = [job for job in self.jobs if self._may(worker, job)]
            for job, slow in [*((job, False) for job in jobs), *((job, True) for job in jobs)]:
                index = job.board.take(worker, time.monotonic(), slow=slow)
                if index is not None:
                    return job, index
            if self.jobs and all(worker.seat.node in job.refused for job in self.jobs):
                raise RefusedError
            self._changed.clear()
            await self._changed.wait()

    def _may(self, worker: Colleague, job: Job) -> bool:
        if not job.gives or worker.seat.node in job.refused or self._is_refused(worker, job):
            return False
        used = self._memory[worker.seat.node]
        return not used or used + job.plan.geometry.memory <= worker.seat.node_memory

    def _is_refused(self, worker: Colleague, job: Job) -> bool:
        """Return whether a worker's frames would differ from the plan's; tell the user if so."""
        differing = differences(job.plan, job.device, worker.facts)
        if not differing:
            return False
        same_program = job.plan.software["vsrpp"] == worker.facts.software["vsrpp"]
        if self._mixed and same_program:
            job.remark(f"{worker.facts.host} computes too, where {differing}")
            return False
        job.refused[worker.seat.node] = differing
        job.remark(f"{worker.facts.host} was refused: {differing}")
        return True

    async def _do(self, worker: Colleague, job: Job, index: int) -> None:
        memory, node = job.plan.geometry.memory, worker.seat.node
        worker.job, worker.index = job, index
        self._memory[node] += memory
        try:
            await self._compute(worker, job, index)
        except VsrppError as error:
            await self._failed(worker, job, index, error)
        except Exception as error:  # the worker is lost, or in an unknown state
            self._give_back(worker, job, index, error, failed=await self._is_alive(node))
            raise
        finally:
            worker.job = None
            self._memory[node] -= memory
            self._end_jobs()
            self._changed.set()

    async def _compute(self, worker: Colleague, job: Job, index: int) -> None:
        await worker.accept(job, self._orders[job.order.key])
        computed = await worker.compute(job, index)
        if computed is None:
            job.board.give_back(worker, index, failed=False)
        elif job.closed or not job.board.is_wanted(index):
            worker.discard(computed)
        else:
            await self._deliver(worker, job, computed)

    async def _deliver(self, worker: Colleague, job: Job, computed: Computed) -> None:
        """Pass a segment to its run once it is in the work folder."""
        index = computed.record["index"]
        try:
            computed = await worker.fetch(job, computed)
        except VsrppError as error:  # there is no room here
            self.fail(job, error)
            return
        others = job.board.finish(index, time.monotonic())
        if others is None or job.closed:
            remove(computed.partial)
            return
        job.arrived(computed)
        for other in self._workers:
            if other in others and other.job is job and other.index == index:
                other.leave_off()

    async def _failed(self, worker: Colleague, job: Job, index: int, error: VsrppError) -> None:
        """Retry a segment after a lack of disk or memory on one node; fail the run otherwise."""
        if not isinstance(error, ResourceError):
            self.fail(job, error)
            return
        self._give_back(worker, job, index, error, failed=True)
        await asyncio.sleep(TICK)

    def _give_back(
        self, worker: Colleague, job: Job, index: int, error: Exception, *, failed: bool
    ) -> None:
        hope = job.board.give_back(worker, index, failed=failed)
        if job.closed:
            return
        reason = error if isinstance(error, VsrppError) else last_line(error)
        job.remark(f"segment {index} was lost on {worker.facts.host}: {reason}")
        if not hope:
            kind = type(error) if isinstance(error, VsrppError) else WorkerError
            self.fail(job, kind(f"segment {index} failed {TRIES} times, at last with: {reason}"))

    async def _is_alive(self, node: str) -> bool:
        nodes = await asyncio.to_thread(self._ray.nodes)
        return any(n["Alive"] for n in nodes if n["NodeID"] == node)


def last_line(error: BaseException) -> str:
    """Return the last line of an error's message: the cause, in errors of Ray."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__
