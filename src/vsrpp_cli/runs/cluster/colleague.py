"""The driver's side of one worker: calls to a Ray actor that do not block other workers."""

import asyncio
from contextlib import suppress
from typing import Any

from vsrpp_cli.errors import VsrppError
from vsrpp_cli.runs.cluster.carrier import Carrier
from vsrpp_cli.runs.cluster.job import Job
from vsrpp_cli.runs.cluster.order import Facts
from vsrpp_cli.runs.cluster.remote_worker import RemoteWorker
from vsrpp_cli.runs.cluster.seats import Seat
from vsrpp_cli.runs.work.segment import Computed

THREADS = 4
"""Methods of a worker that may run at the same time: one computes, the others are short."""


class Colleague:
    """One worker, from its start to its end.

    Methods raise Ray's errors if the worker is lost, and the errors that the worker returned.
    """

    def __init__(self, ray: Any, seat: Seat, carrier: Carrier) -> None:
        place = ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy(seat.node, soft=False)
        self._ray, self.seat, self._carrier = ray, seat, carrier
        self._actor = (
            ray.remote(RemoteWorker)
            .options(scheduling_strategy=place, max_concurrency=THREADS, **seat.resources)
            .remote(seat.device, seat.threads)
        )
        self._sees_folder: dict[str, bool] = {}
        self.job: Job | None = None
        """The run whose segment it computes."""
        self.index = -1
        """Index of that segment."""

    async def introduce(self) -> None:
        """Wait until it has started, and ask for its facts."""
        self.facts: Facts = await self._ask("facts")

    async def accept(self, job: Job, order: Any) -> None:
        """Make it accept a job; send what it lacks.

        Args:
            job: the run.
            order: reference to its order.
        """
        if job.order.key not in self._sees_folder:
            seen = await self._carrier.supply(self._ask, self.seat.node, order, job.plan)
            self._sees_folder[job.order.key] = seen

    async def fetch(self, job: Job, computed: Computed) -> Computed:
        """Return a segment in the work folder; copy it there if the worker does not see that."""
        if self._sees_folder[job.order.key]:
            return computed
        return await self._carrier.fetch(self._ask, computed, job.folder)

    def discard(self, computed: Computed) -> None:
        """Make it remove a segment that is not needed."""
        self._actor.discard.remote(computed.partial)

    async def compute(self, job: Job, index: int) -> Computed | None:
        """Make it compute a segment; None if it was told to stop (`leave_off`)."""
        computed: Computed | None = await self._ask("compute", job.order.key, index)
        return computed

    async def progress(self) -> float:
        """Return how much of its segment is done, in units of frames."""
        return float(await self._ask("progress"))

    def leave_off(self) -> None:
        """Tell it that its segment is not needed any more."""
        if self.job is not None:
            self._actor.leave_off.remote(self.job.order.key, self.index)

    async def forget(self, job: Job) -> None:
        """Make it remove what it holds of a job that has ended."""
        if self._sees_folder.pop(job.order.key, None) is not None:
            await self._ask("forget", job.order.key)

    def dismiss(self) -> None:
        """End it, whatever it is doing."""
        with suppress(Exception):  # the worker or Ray may have ended already
            self._ray.kill(self._actor)

    async def _ask(self, method: str, *args: Any) -> Any:
        answer = getattr(self._actor, method).remote(*args)
        result = await asyncio.wrap_future(answer.future())
        if isinstance(result, VsrppError):
            raise result
        return result
