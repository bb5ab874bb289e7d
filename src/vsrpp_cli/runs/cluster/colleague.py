"""The driver's side of one worker: a Ray actor, asked without blocking the others."""

import asyncio
from contextlib import suppress
from typing import Any

from vsrpp_cli.errors import VsrppError
from vsrpp_cli.runs.cluster.job import Job
from vsrpp_cli.runs.cluster.order import Facts
from vsrpp_cli.runs.cluster.remote_worker import RemoteWorker
from vsrpp_cli.runs.cluster.seats import Seat
from vsrpp_cli.runs.segment import Computed

THREADS = 4
"""Methods of a worker that may run at once: one computes, the others are short."""


class Colleague:
    """One worker, from hiring to dismissal.

    Its methods raise Ray's errors when the worker is lost, and what the worker returned as error.
    """

    def __init__(self, ray: Any, seat: Seat) -> None:
        place = ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy(seat.node, soft=False)
        self._ray, self.seat = ray, seat
        self._actor = (
            ray.remote(RemoteWorker)
            .options(scheduling_strategy=place, max_concurrency=THREADS, **seat.resources)
            .remote(seat.device, seat.threads)
        )
        self._accepted: dict[str, list[str]] = {}
        self.job: Job | None = None
        """Whose segment it computes."""
        self.index = -1
        """Of that segment."""

    async def introduce(self) -> None:
        """Wait for it to be there, and ask what it is."""
        self.facts: Facts = await self._ask("facts")

    async def accept(self, job: Job, order: Any) -> list[str]:
        """Let it make ready for a job; return what it does not see of it.

        Args:
            job: the run.
            order: reference to its order.
        """
        if job.order.key not in self._accepted:
            self._accepted[job.order.key] = await self._ask("accept", order)
        return self._accepted[job.order.key]

    async def compute(self, job: Job, index: int) -> Computed | None:
        """Let it compute a segment; None if it was told to leave off."""
        computed: Computed | None = await self._ask("compute", job.order.key, index)
        return computed

    async def progress(self) -> float:
        """Ask how many frames' worth of work are done of the segment under way."""
        return float(await self._ask("progress"))

    def leave_off(self) -> None:
        """Tell it that what it computes is not needed any more."""
        self._actor.leave_off.remote(self.index)

    def forget(self, job: Job) -> None:
        """Tell it that a job is over."""
        if self._accepted.pop(job.order.key, None) is not None:
            self._actor.forget.remote(job.order.key)

    def dismiss(self) -> None:
        """End it, whatever it is doing."""
        with suppress(Exception):  # it may be gone, or Ray may
            self._ray.kill(self._actor)

    async def _ask(self, method: str, *args: Any) -> Any:
        answer = getattr(self._actor, method).remote(*args)
        result = await asyncio.wrap_future(answer.future())
        if isinstance(result, VsrppError):
            raise result
        return result
