"""Runs many items of a batch at once: some are planned or joined while others are computed."""

import queue
import threading
import time
from collections.abc import Callable

from vsrpp_cli.errors import VsrppError
from vsrpp_cli.runs.stop import TEXT, StopToken

OPEN = 128
"""Most items at the same time. Each has a thread, which mostly waits."""
GRACE = 10.0
"""Seconds that threads have to end when a batch is stopped at once."""


def do_together(
    count: int,
    do: Callable[[int], None],
    *,
    stop: StopToken,
    abort: Callable[[VsrppError], None],
) -> None:
    """Call `do(0)`, `do(1)`, ... from threads, many at the same time, begun in this order.

    Args:
        count: number of calls.
        do: does one item.
        stop: when set, no further item is begun.
        abort: called to make all current calls end soon.

    Raises:
        Exception: the first that a call raised, once the other current calls have ended.
        Interrupted, Terminated: `stop` was set; if it was set twice, current calls are aborted.
    """
    crowd = _Crowd(count, do, stop)
    try:
        with stop.stopping_now():
            crowd.wait()
    except VsrppError as error:
        abort(error)
        crowd.wait(GRACE)
        raise
    if crowd.errors:
        raise crowd.errors[0]
    if stop.requested:
        raise stop.error(TEXT)


class _Crowd:
    """Threads that do items until there are none left, or one has raised."""

    def __init__(self, count: int, do: Callable[[int], None], stop: StopToken) -> None:
        self.errors: list[Exception] = []
        self._do, self._stop = do, stop
        self._numbers: queue.SimpleQueue[int] = queue.SimpleQueue()
        for number in range(count):
            self._numbers.put(number)
        # Daemons, so that they do not keep a process alive that ends at once.
        self._threads = [
            threading.Thread(target=self._work, daemon=True) for _ in range(min(OPEN, count))
        ]
        for thread in self._threads:
            thread.start()

    def _work(self) -> None:
        try:
            while not self.errors and not self._stop.requested:
                self._do(self._numbers.get_nowait())
        except queue.Empty:
            pass
        except Exception as error:
            self.errors.append(error)

    def wait(self, seconds: float | None = None) -> None:
        """Wait for all threads to end, at most `seconds`."""
        end = None if seconds is None else time.monotonic() + seconds
        for thread in self._threads:
            thread.join(None if end is None else max(0.0, end - time.monotonic()))
