"""Threads beside the network: order, bounds, errors, and nobody left behind."""

import os
import sys
import threading

import pytest

from vsrpp_cli.runs.work.threads import ReadAhead, WriteBehind


def reader_threads():
    return [t for t in threading.enumerate() if t.name in ("reader", "writer")]


def test_items_come_in_order():
    with ReadAhead(range(50), 3) as ahead:
        assert list(ahead) == list(range(50))
    assert not reader_threads()


def test_reading_ahead_is_bounded():
    taken = []

    def source():
        for k in range(100):
            taken.append(k)
            yield k

    with ReadAhead(source(), 2) as ahead:
        items = iter(ahead)
        for expected in range(10):
            assert next(items) == expected
            assert len(taken) <= expected + 1 + 2 + 1  # consumed, queued, in the thread's hand
    assert not reader_threads()


def test_an_error_of_the_source_is_raised_where_items_are_consumed():
    def source():
        yield 1
        raise ValueError("broken source")

    with pytest.raises(ValueError, match="broken source"), ReadAhead(source(), 2) as ahead:
        list(ahead)
    assert not reader_threads()


def test_leaving_early_closes_the_source():
    closed = threading.Event()

    def source():
        try:
            while True:
                yield 0
        finally:
            closed.set()

    with ReadAhead(source(), 1) as ahead:
        next(iter(ahead))
    assert closed.is_set()


class Collector:
    def __init__(self, fail_at=None):
        self.items, self.state, self.fail_at = [], "open", fail_at

    def write(self, item):
        if item == self.fail_at:
            raise OSError("broken sink")
        self.items.append(item)

    def close(self):
        self.state = "closed"
        return len(self.items)

    def abort(self):
        self.state = "aborted"


def test_what_is_written_arrives_in_order_and_close_returns_the_result():
    sink = Collector()
    with WriteBehind(sink, 2) as output:
        for k in range(20):
            output.write(k)
        assert output.close() == 20
    assert (sink.items, sink.state) == (list(range(20)), "closed")
    assert not reader_threads()


def test_an_error_of_the_sink_reaches_the_producer_and_aborts():
    sink = Collector(fail_at=3)
    with pytest.raises(OSError, match="broken sink"), WriteBehind(sink, 1) as output:
        for k in range(100):
            output.write(k)
    assert sink.state == "aborted"
    assert sink.items == [0, 1, 2]


def test_an_error_of_the_sink_at_the_last_item_is_not_lost():
    sink = Collector(fail_at=3)
    with pytest.raises(OSError, match="broken sink"), WriteBehind(sink, 8) as output:
        for k in range(4):
            output.write(k)
        output.close()
    assert sink.state == "aborted"


def test_an_error_of_the_producer_aborts_the_sink():
    sink = Collector()
    with pytest.raises(RuntimeError), WriteBehind(sink, 2) as output:
        output.write(1)
        raise RuntimeError
    assert sink.state == "aborted"
    assert not reader_threads()


def priority():
    """Return how little urgent this thread, on Linux, or this process is."""
    return os.getpriority(os.PRIO_PROCESS, threading.get_native_id())


@pytest.mark.skipif(sys.platform != "linux", reason="threads have priorities of their own on Linux")
def test_both_threads_are_less_urgent_than_the_one_that_computes():
    before, seen = priority(), []

    def source():
        seen.append(priority())
        yield 1

    sink = Collector()
    sink.write = lambda _: seen.append(priority())
    with ReadAhead(source(), 1) as ahead, WriteBehind(sink, 1) as output:
        for item in ahead:
            output.write(item)
        output.close()
    assert priority() == before
    assert all(value > before or value == 19 for value in seen)
    assert len(seen) == 2
