"""Keeps a worker at each seat of a cluster; lost workers are started again."""

import asyncio
import time
from collections import Counter
from dataclasses import replace
from typing import Any

from vsrpp_cli.errors import DeviceError, ResumeRefusedError, WorkerError
from vsrpp_cli.runs.cluster.carrier import Carrier
from vsrpp_cli.runs.cluster.colleague import Colleague
from vsrpp_cli.runs.cluster.dispatch import Dispatch, RefusedError, last_line
from vsrpp_cli.runs.cluster.seats import Needs, Seat, idle_gpus, seats, share_of_cores

LOOK = 2.0
"""Seconds between queries for the nodes of the cluster."""
LONGEST_WAIT = 60.0
"""Longest wait in seconds before a lost worker is started again; it begins at 1 and doubles."""
PATIENCE = 600.0
"""Seconds without any worker after which runs fail: starting new nodes may take minutes."""
STARTS = 3
"""How often in a row a worker may fail to start before its node is given up."""


class Staff:
    """The workers of a cluster.

    Args:
        ray: the module, connected.
        dispatch: gives them work.
        needs: the resources of each.
    """

    def __init__(self, ray: Any, dispatch: Dispatch, needs: Needs) -> None:
        self._ray, self._dispatch, self._needs = ray, dispatch, needs
        self._carrier = Carrier()
        self._seated: dict[tuple[str, int], asyncio.Task[None]] = {}
        self._given_up: dict[str, str] = {}
        """Nodes on which no worker is started any more, and the reasons."""
        self._failures: Counter[tuple[str, int]] = Counter()
        self._working = 0
        self._last_worked = time.monotonic()

    async def manage(self) -> None:
        """Keep a worker at each seat of the cluster, as nodes come and go."""
        nodes = await asyncio.to_thread(self._ray.nodes)
        self._needs = replace(self._needs, threads=share_of_cores(nodes, self._needs))
        if not seats(nodes, self._needs) and self._needs.workers is None:
            text = f"no node of the cluster has {self._needs.text}: `workers` N waits for N of them"
            self._end(DeviceError(text))
        if gpus := idle_gpus(nodes, self._needs):
            self._dispatch.remark(
                f"the cluster's {gpus} GPUs are not used, as the plan is for a CPU: to use them, "
                "give the command on a machine that has a GPU"
            )
        while True:
            self._fill(seats(nodes, self._needs))
            await asyncio.sleep(LOOK)
            nodes = await asyncio.to_thread(self._ray.nodes)

    def _fill(self, wanted: list[Seat]) -> None:
        for seat in wanted:
            full = len(self._seated) >= (self._needs.workers or len(wanted))
            place = seat.node, seat.number
            if not full and place not in self._seated and seat.node not in self._given_up:
                self._seated[place] = asyncio.create_task(self._employ(seat))
        if wanted and all(seat.node in self._given_up for seat in wanted):
            reasons = "; ".join(dict.fromkeys(self._given_up.values()))
            self._end(ResumeRefusedError(f"all nodes were refused: {reasons}"))
        if self._working:
            self._last_worked = time.monotonic()
        elif time.monotonic() - self._last_worked > PATIENCE:
            self._end(WorkerError(f"no worker for {PATIENCE:.0f} seconds: see to the cluster"))

    def _end(self, error: Exception) -> None:
        for job in list(self._dispatch.jobs):
            self._dispatch.fail(job, error)

    async def _employ(self, seat: Seat) -> None:
        """Start a worker and let it work; when it is lost, wait, then free its seat."""
        place = seat.node, seat.number
        worker = Colleague(self._ray, seat, self._carrier)
        try:
            await self._work(worker, place)
        except RefusedError:
            self._given_up[seat.node] = self._dispatch.why_refused(seat.node)
        except self._ray.exceptions.RayError as error:
            await self._lost(seat, place, error)
        except Exception as error:  # a bug must fail the runs, not leave them waiting
            self._end(error)
            raise
        finally:
            worker.dismiss()
            del self._seated[place]

    async def _work(self, worker: Colleague, place: tuple[str, int]) -> None:
        await worker.introduce()
        self._failures[place] = 0
        self._working += 1
        try:
            await self._dispatch.work(worker)
        finally:
            self._working -= 1

    async def _lost(self, seat: Seat, place: tuple[str, int], error: Exception) -> None:
        self._failures[place] += 1
        if self._failures[place] > STARTS:
            self._given_up[seat.node] = last_line(error)
        await asyncio.sleep(min(LONGEST_WAIT, 2.0 ** (self._failures[place] - 1)))

    async def close(self) -> None:
        """End all workers."""
        for task in self._seated.values():
            task.cancel()
        await asyncio.gather(*self._seated.values(), return_exceptions=True)
