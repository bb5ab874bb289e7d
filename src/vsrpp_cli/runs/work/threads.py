"""Threads that read ahead of the network and write behind it, each with a bounded queue."""

import os
import queue
import sys
import threading
from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import Generic, Protocol, Self, TypeVar, cast

T = TypeVar("T")
U = TypeVar("U")
Item_contra = TypeVar("Item_contra", contravariant=True)
Result_co = TypeVar("Result_co", covariant=True)
_END = object()

BEHIND = 10
"""Increase of the nice value of these threads and of those that codecs start from them."""


def step_back() -> None:
    """Lower the priority of this thread below that of the network's threads.

    The network's threads work on parts of the same picture: if one of them has to wait for an
    encoder, all the others wait too.
    """
    if sys.platform == "linux" and hasattr(os, "setpriority"):  # elsewhere: of the whole process
        thread = threading.get_native_id()
        os.setpriority(os.PRIO_PROCESS, thread, os.getpriority(os.PRIO_PROCESS, thread) + BEHIND)


class ReadAhead(Generic[T]):
    """Iterates over `source` in its own thread, at most `depth` items ahead.

    An error of the source is raised where the items are consumed. Leaving the `with` block stops
    the thread and waits until it has ended.
    """

    def __init__(self, source: Iterable[T], depth: int) -> None:
        self._source = source
        self._queue: queue.Queue[object] = queue.Queue(depth)
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._fill, name="reader", daemon=True)

    def _fill(self) -> None:
        step_back()
        try:
            for item in self._source:
                if not self._put(item):
                    return
            self._put(_END)
        except BaseException as error:
            self._put(error)
        finally:
            close = getattr(self._source, "close", None)
            if close is not None:
                close()

    def _put(self, item: object) -> bool:
        while not self._stopped.is_set():
            with suppress(queue.Full):
                self._queue.put(item, timeout=0.1)
                return True
        return False

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __iter__(self) -> Iterator[T]:
        while (item := self._queue.get()) is not _END:
            if isinstance(item, BaseException):
                raise item
            yield cast("T", item)

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        self._thread.join()


class Sink(Protocol[Item_contra, Result_co]):
    """What `WriteBehind` writes to: a segment writer."""

    def write(self, item: Item_contra, /) -> None:
        """Take one item."""

    def close(self) -> Result_co:
        """Finish, and return what was written."""

    def abort(self) -> None:
        """Give up and remove what was written."""


class WriteBehind(Generic[T, U]):
    """Feeds `sink` in its own thread, at most `depth` items behind.

    An error of the sink is raised at the next `write` or at `close`. Leaving the `with` block
    without `close`, or by an error, aborts the sink.
    """

    def __init__(self, sink: Sink[T, U], depth: int) -> None:
        self._sink = sink
        self._queue: queue.Queue[object] = queue.Queue(depth)
        self._error: BaseException | None = None
        self._closed = False
        self._thread = threading.Thread(target=self._drain, name="writer", daemon=True)

    def _drain(self) -> None:
        step_back()
        while (item := self._queue.get()) is not _END:
            if self._error is None:
                try:
                    self._sink.write(cast("T", item))
                except BaseException as error:
                    self._error = error

    def write(self, item: T) -> None:
        """Add one item; wait while the queue is full."""
        if self._error is not None:
            raise self._error
        self._queue.put(item)

    def close(self) -> U:
        """Write what is queued, close the sink and return what it returns."""
        self._finish()
        if self._error is not None:
            raise self._error
        result = self._sink.close()
        self._closed = True
        return result

    def _finish(self) -> None:
        if self._thread.is_alive():
            self._queue.put(_END)
            self._thread.join()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._finish()
        if not self._closed:
            self._sink.abort()
