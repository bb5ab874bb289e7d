"""What is done once a run, or once a segment, does not cost more the longer the video is."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from fractions import Fraction

import pytest

from support.clips import tiny_checkpoint, write_clip
from support.commands import ENVIRONMENT, VSRPP
from support.lengthy import write_long_clip
from vsrpp_cli.media.decode.scan import Window
from vsrpp_cli.options import UpscaleOptions
from vsrpp_cli.planning.chunks import plan_segments
from vsrpp_cli.runs.plans.plan import Plan
from vsrpp_cli.runs.plans.planner import make_plan, open_input
from vsrpp_cli.runs.work.journal import Journal


def calls(action):
    """Return how many functions `action` calls, of Python's and of C's: work, without a clock."""
    count = 0

    def note(_frame, event, _arg):
        nonlocal count
        count += event in ("call", "c_call")

    sys.setprofile(note)
    try:
        action()
    finally:
        sys.setprofile(None)
    return count


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    return tiny_checkpoint(tmp_path_factory.mktemp("model") / "tiny.pth")


def peak_of_planning(clip, model):
    """Return the peak resident size of `vsrpp plan` in bytes."""
    command = [VSRPP, "plan", str(clip), "--model", str(model), "--threads", "1"]
    process = subprocess.Popen(command, env=ENVIRONMENT, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0
    return usage.ru_maxrss * 1024


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere ru_maxrss has other units")
def test_memory_of_planning_does_not_grow_with_the_length(tiny, tmp_path):
    short, long = (
        peak_of_planning(write_long_clip(tmp_path / f"{n}.mp4", n), tiny) for n in (300, 4300)
    )
    # If decoded frames were kept this would be 24 MB; of each 100 bytes are.
    assert long < short + (12 << 20)


@pytest.fixture(scope="module")
def plan(tiny, tmp_path_factory):
    folder = tmp_path_factory.mktemp("plan")
    options = UpscaleOptions(model=str(tiny), device="cpu")
    clip = write_clip(folder / "clip.mp4", 6)
    return make_plan(open_input(clip, options), folder / "out.mp4", options)


def lengthened(plan, frames):
    """Return a plan of one segment with so many frames."""
    scan = replace(plan.scan, pts=tuple(range(frames)), checks="0000" * frames)
    segments = plan_segments(frames, (), chunk=frames, overlap=2, segment=frames)
    return replace(plan, scan=scan, segments=segments)


def test_no_frame_of_a_plan_is_handled_by_itself(plan, tmp_path):
    counts = []
    for frames in (100, 10_000, 500_000):  # the first finds out what fields there are
        long, path = lengthened(plan, frames), tmp_path / f"{frames}.json"
        counts.append((calls(lambda: long.write(path)), calls(lambda: Plan.read(path))))  # noqa: B023
        assert Plan.read(path) == long
    assert counts[1] == pytest.approx(counts[2], abs=20)


def record(index):
    return {"event": "segment", "index": index, "digest": f"{index:032x}"}


def test_a_long_journal_takes_no_longer_to_add_to_or_to_look_at_again(tmp_path):
    journal, counts = Journal(tmp_path / "journal.jsonl"), []
    for length in (5, 500):
        for index in range(len(journal.read()), length):
            journal.append(record(index))
        added = calls(lambda: journal.append(record(length)))  # noqa: B023
        counts.append((added, calls(journal.read)))
    assert counts[0] == pytest.approx(counts[1], abs=5)
    assert Journal(journal.path).read() == journal.read() == [record(k) for k in range(501)]


def test_what_another_process_adds_to_a_journal_is_seen(tmp_path):
    one, other = (Journal(tmp_path / "journal.jsonl") for _ in range(2))
    for index in range(6):
        (one, other)[index % 2].append(record(index))
    assert one.read() == other.read() == [record(k) for k in range(6)]


def test_a_journal_that_was_replaced_is_read_anew(tmp_path):
    journal = Journal(tmp_path / "journal.jsonl")
    for index in range(3):
        journal.append(record(index))
    journal.path.write_text(f"{json.dumps(record(7))}\n{json.dumps(record(8))}\n" * 3)
    assert journal.read() == [record(7), record(8)] * 3
    journal.path.unlink()
    assert journal.read() == []
    journal.append(record(9))
    assert journal.read() == [record(9)]


def test_looking_for_the_end_of_a_part_takes_no_longer_late_in_a_video():
    window = Window(Fraction(1), Fraction(10_000), None, 1, Fraction(1, 25))
    stamps = [None, *range(1, 100_000)]
    assert calls(lambda: window.passed(stamps[:100])) == pytest.approx(
        calls(lambda: window.passed(stamps)), abs=5
    )
