"""Runs that are killed for real, wherever they are, end as if they had not been."""

import json
import os
import signal
import subprocess
import sys
import time

import psutil
import pytest

from support.clips import tiny_checkpoint, write_clip
from support.commands import ENVIRONMENT, assert_one_line, vsrpp
from support.faults import Victim, fingerprint
from support.places import TESTS
from vsrpp_cli.runs.work.workfolder import WorkFolder

SMALL = ("--precision", "fp32", "--threads", 1, "--segment", 4, "--chunk", 8, "--overlap", 2,
         "--preset", "ultrafast")  # fmt: skip
QUIET = ("--progress", "none")
"""Errors as text: the runs say events otherwise."""


@pytest.fixture(scope="module")
def case(tmp_path_factory):
    """A clip of six segments with sound, a tiny network, and the uninterrupted result."""
    folder = tmp_path_factory.mktemp("faults")
    clip = write_clip(folder / "clip.mp4", 24, cuts=(10,), audio=True)
    options = ("--model", tiny_checkpoint(folder / "tiny.pth"), *SMALL)
    vsrpp("upscale", clip, folder / "expected.mp4", *options, check=0, cold=True)
    return clip, folder / "expected.mp4", options


def victim(case, folder, seed):
    clip, expected, options = case
    return Victim(clip, folder / "out.mp4", expected, *options, seed=seed)


@pytest.mark.parametrize(
    ("phase", "done"),
    [("scan", 0), ("compute", 0), ("compute", 6), ("compute", 14), ("join", 0), ("verify", 0)],
)
def test_a_killed_run_ends_as_an_uninterrupted_one(case, tmp_path, phase, done):
    runs = victim(case, tmp_path, seed=0)
    runs.run(phase=phase, done=done, delay=0.02)
    assert runs.kills
    runs.assert_nothing_broken()
    runs.finish()


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_asked_run_stops_after_its_segment_and_goes_on(case, tmp_path, number, code):
    runs = victim(case, tmp_path, seed=1)
    assert runs.run(phase="compute", done=6, signal_number=number) == code
    assert not runs.output.exists()
    runs.finish()


def test_a_crash_at_every_step_of_the_commit_protocol_recovers(case, tmp_path):
    clip = write_clip(tmp_path / "short.mp4", 8)
    command = [sys.executable, str(TESTS / "support" / "crash_steps.py")]
    command += [str(clip), str(tmp_path / "out.mp4"), str(case[2][1])]
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        check=False,
        env={**ENVIRONMENT, "PYTHONPATH": str(TESTS)},
    )
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout.splitlines()[-1])
    assert result["operations"] > 20
    assert not result["failures"], result["failures"]


@pytest.fixture
def interrupted(case, tmp_path):
    """A run that was stopped after its first segments."""
    runs = victim(case, tmp_path, seed=2)
    assert runs.run(phase="compute", done=6, signal_number=signal.SIGINT) == 130
    folder = runs.output.with_name("out.mp4.vsrpp")
    assert list((folder / "segments").iterdir())
    return runs, folder


@pytest.mark.parametrize("damage", ["flip", "truncate", "delete"])
def test_a_damaged_segment_is_computed_again(interrupted, damage):
    runs, folder = interrupted
    segment = min((folder / "segments").iterdir())
    data = bytearray(segment.read_bytes())
    if damage == "flip":
        data[len(data) // 2] ^= 1
        segment.write_bytes(data)
    elif damage == "truncate":
        segment.write_bytes(data[:-10])
    else:
        segment.unlink()
    runs.finish()


def test_finished_segments_are_not_computed_again(interrupted, tmp_path):
    runs, folder = interrupted
    done = len(list((folder / "segments").iterdir()))
    report = tmp_path / "report.json"
    vsrpp(*runs.command()[1:], "--report", report, check=0)
    account = json.loads(report.read_text())
    assert account["segments_reused"] == done
    assert account["frames_computed"] < account["frames"]


def test_a_replaced_input_is_refused_and_the_work_stays(case, interrupted, tmp_path):
    runs, folder = interrupted
    other = write_clip(tmp_path / "clip.mp4", 24, cuts=(12,), audio=True)
    runs.source = other
    failed = vsrpp(*runs.command()[1:], *QUIET, check=2)
    assert "input" in assert_one_line(failed)
    assert list((folder / "segments").iterdir())
    runs.source = case[0]
    runs.finish()


def test_a_touched_or_copied_input_is_accepted(case, interrupted, tmp_path):
    runs, _ = interrupted
    copy = tmp_path / "copy.mp4"
    copy.write_bytes(case[0].read_bytes())
    os.utime(copy, (1, 1))
    runs.source = copy
    runs.finish()


@pytest.mark.parametrize(
    ("change", "named"), [(("--crf", 20), "--crf"), (("--model", "compact"), "--model")]
)
def test_a_changed_option_is_refused_by_name(interrupted, change, named):
    runs, _ = interrupted
    failed = vsrpp(*runs.command()[1:], *change, *QUIET, check=2)
    line = assert_one_line(failed)
    assert named in line
    assert "--restart" in line


def test_restart_begins_anew(interrupted, tmp_path):
    runs, _ = interrupted
    report = tmp_path / "report.json"
    vsrpp(*runs.command()[1:], "--restart", "--report", report, check=0)
    assert json.loads(report.read_text())["segments_reused"] == 0
    assert fingerprint(runs.output) == runs.expected


def test_resume_insists_on_something_to_resume(case, tmp_path):
    clip, _, options = case
    failed = vsrpp("upscale", clip, tmp_path / "new.mp4", *options, "--resume", check=2)
    assert "nothing to resume" in assert_one_line(failed)


def test_two_runs_on_one_work_folder_exclude_each_other(interrupted):
    runs, folder = interrupted
    with WorkFolder(folder).locked():
        failed = vsrpp(*runs.command()[1:], *QUIET, check=2)
        assert "another run" in assert_one_line(failed)
    runs.finish()


def test_workers_and_join_give_the_same_file(case, tmp_path):
    clip, expected, options = case
    output = tmp_path / "out.mp4"
    vsrpp("plan", clip, output, *options, "--write", check=0, cold=True)
    folder = tmp_path / "out.mp4.vsrpp"
    assert "segments are missing" in assert_one_line(vsrpp("join", folder, check=2))
    count = len(json.loads((folder / "plan.json").read_text())["segments"])
    vsrpp("worker", folder, *reversed(range(count)), check=0, cold=True)
    vsrpp("worker", folder, 0, check=0)
    vsrpp("join", folder, check=0, cold=True)
    assert fingerprint(output) == fingerprint(expected)
    assert not folder.exists()


def test_several_processes_give_the_same_file(case, tmp_path):
    clip, expected, options = case
    vsrpp("upscale", clip, tmp_path / "out.mp4", *options, "--workers", 2, check=0, cold=True)
    assert fingerprint(tmp_path / "out.mp4") == fingerprint(expected)


def ended(processes, *, within):
    """Return whether all processes end in that many seconds; whoever adopts them may not reap."""
    deadline = time.monotonic() + within
    while time.monotonic() < deadline:
        if not [p for p in processes if p.is_running() and p.status() != psutil.STATUS_ZOMBIE]:
            return True
        time.sleep(0.1)
    return False


def test_workers_end_with_their_driver_and_commit_nothing_more(case, tmp_path):
    clip, expected, options = case
    runs = Victim(clip, tmp_path / "out.mp4", expected, *options, "--workers", 2)
    process = psutil.Popen(runs.command(), stderr=subprocess.PIPE, text=True, env=ENVIRONMENT)
    for line in process.stderr:
        if json.loads(line).get("done", 0) and json.loads(line)["phase"] == "compute":
            break
    children = process.children(recursive=True)
    process.kill()
    process.wait()
    process.stderr.close()
    assert len(children) >= 2
    journal = runs.output.with_name("out.mp4.vsrpp") / "journal.jsonl"
    before = journal.read_bytes() if journal.exists() else b""
    assert ended(children, within=60)
    assert (journal.read_bytes() if journal.exists() else b"") == before
    victim(case, tmp_path, seed=0).finish()


def test_a_finished_run_that_kept_its_work_is_done_at_once_and_a_lost_output_rejoined(
    case, tmp_path
):
    clip, expected, options = case
    command = ("upscale", clip, tmp_path / "out.mp4", *options, "--keep-work")
    vsrpp(*command, check=0)
    (tmp_path / "out.mp4").unlink()
    report = tmp_path / "report.json"
    vsrpp(*command, "--report", report, check=0)
    assert fingerprint(tmp_path / "out.mp4") == fingerprint(expected)
    assert json.loads(report.read_text())["frames_computed"] == 0
