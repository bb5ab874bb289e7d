"""Workers on all nodes of a cluster, for one run or for many at once.

They are managed by one event loop in its own thread, with a coroutine for each worker. That thread
does not write journals: it passes results to the runs, which commit them in their own threads.
"""

import asyncio
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any, Self

from vsrpp_cli.errors import WorkerError
from vsrpp_cli.options import UpscaleOptions
from vsrpp_cli.runs.cluster.connection import connected
from vsrpp_cli.runs.cluster.dispatch import Dispatch, last_line
from vsrpp_cli.runs.cluster.job import Job
from vsrpp_cli.runs.cluster.staff import Staff

HARD_AT_WORK = 1
"""Number of runs that may read, join or verify in this process at the same time.

More could deadlock: probing a video turns FFmpeg's log on for the whole process. PyAV's log handler
needs the GIL, which PyAV holds while it closes a decoder and waits for the decoder's threads. A
thread of that decoder that logs something would wait for ever."""


class Crew:
    """The workers of one cluster: a context manager, whose methods any thread may call.

    Args:
        ray: the module, connected.
        workers: the largest number; None for as many as the cluster has room for.
        mixed: whether to accept workers whose frames may differ from those of the plan's machine.
    """

    def __init__(self, ray: Any, *, workers: int | None = None, mixed: bool = False) -> None:
        self._ray, self._workers, self._mixed = ray, workers, mixed
        self.turn = threading.BoundedSemaphore(HARD_AT_WORK)
        """Held by a run while this process itself works for it."""
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="crew", daemon=True)
        self._tasks: list[asyncio.Task[None]] = []
        self._staff: Staff | None = None

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.run_coroutine_threadsafe(self._close(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def begin(self, job: Job) -> None:
        """Begin to compute a run's segments; the first run decides the resources of workers."""
        self._loop.call_soon_threadsafe(self._begin, job)

    def abandon(self, job: Job) -> None:
        """Compute nothing more for a run, and forget it."""
        asyncio.run_coroutine_threadsafe(self._abandon(job), self._loop).result()

    def abort(self, error: Exception) -> None:
        """End all runs with an error."""
        self._loop.call_soon_threadsafe(self._fail_all, error)

    def _fail_all(self, error: Exception) -> None:
        if self._staff is not None:
            for job in list(self._dispatch.jobs):
                self._dispatch.fail(job, error)

    def _begin(self, job: Job) -> None:
        if self._staff is None:
            self._dispatch = Dispatch(self._ray, mixed=self._mixed)
            self._staff = Staff(self._ray, self._dispatch, job.needs(self._workers))
            self._dispatch.begin(job)
            self._keep(self._dispatch.watch)
            self._keep(self._staff.manage)
        else:
            self._dispatch.begin(job)

    def _keep(self, coroutine: Callable[[], Awaitable[None]]) -> None:
        """Run a coroutine that never ends by itself; if it fails, all runs fail."""

        async def kept() -> None:
            try:
                await coroutine()
            except Exception as error:
                self._fail_all(WorkerError(f"lost the cluster: {last_line(error)}"))
                raise

        self._tasks.append(self._loop.create_task(kept()))

    async def _abandon(self, job: Job) -> None:
        self._dispatch.abandon(job)
        await self._dispatch.settle()

    async def _close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._staff is not None:
            await self._staff.close()


@contextmanager
def crew_for(options: UpscaleOptions) -> Iterator[Crew]:
    """Yield workers of the cluster that the options name.

    Raises:
        UsageError: Ray is not installed.
        DeviceError: there is no such cluster.
    """
    assert options.cluster is not None
    with (
        connected(options.cluster) as ray,
        Crew(ray, workers=options.workers, mixed=options.mixed) as crew,
    ):
        yield crew
