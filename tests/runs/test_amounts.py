"""Numbers as people read them, and what is said to who wants to stop a run."""

import pytest

from vsrpp_cli.runs import counter
from vsrpp_cli.runs.amounts import about, counted, duration, size
from vsrpp_cli.runs.counter import Counter
from vsrpp_cli.runs.stop import BRIEFLY, StopToken


def test_one_thing_is_no_plural():
    assert [counted(n, "frame") for n in (0, 1, 2)] == ["0 frames", "1 frame", "2 frames"]


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 bytes"),
        (1, "1 byte"),
        (999, "999 bytes"),
        (1000, "1.0 kB"),
        (43_210, "43 kB"),
        (4_321_000, "4.3 MB"),
        (12.5e9, "12 GB"),
        (3e12, "3.0 TB"),
    ],
)
def test_sizes_have_two_or_three_digits(count, text):
    assert size(count) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "less than a second"),
        (12.4, "12 s"),
        (60, "1 min"),
        (185, "3 min 5 s"),
        (7200, "2 h"),
        (7501, "2 h 5 min"),
    ],
)
def test_times_leave_out_what_does_not_matter(seconds, text):
    assert duration(seconds) == text


@pytest.mark.parametrize(("seconds", "text"), [(0.3, "less than a second"), (7, "about 7 s")])
def test_a_guess_is_about_so_much_or_less_than_a_second(seconds, text):
    assert about(seconds) == text


@pytest.fixture
def clock(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(counter.time, "monotonic", lambda: now[0])
    return now


@pytest.mark.parametrize(
    ("workers", "done", "left", "lost"), [(1, 4, "6 s", "4 s"), (2, 8, "12 s", "8 s")]
)
def test_a_run_under_way_says_how_long_until_it_is_safe(clock, workers, done, left, lost):
    count = Counter(lambda _: None, 40, {1: 10, 2: 10, 3: 10})
    count.workers = workers
    assert "in about" not in count.outlook()
    clock[0] = float(done)
    count(done)
    assert f"is safe, in about {left};" in count.outlook()
    assert count.outlook().endswith(f"stops now and loses the work of {lost}")


def test_what_is_finished_is_not_lost(clock):
    count = Counter(lambda _: None, 20, {0: 10, 1: 10})
    clock[0] = 12.0
    count(12)
    count.finished(0)
    assert "in about 8 s; Ctrl-C again stops now and loses the work of 2 s" in count.outlook()


def test_outside_of_computing_there_is_nothing_to_lose():
    token = StopToken()
    with token.foreseeing(lambda: "wait"):
        assert token.outlook() == "wait"
    assert token.outlook() == BRIEFLY
