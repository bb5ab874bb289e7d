"""Workers of one plan in many places: who does what, without locks, and when to stop."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from support.clips import tiny_checkpoint, write_clip
from support.commands import ENVIRONMENT, VSRPP, frame_hashes
from support.hosts import can_be_hosts, start_on_host
from vsrpp_cli.cli.main import execute
from vsrpp_cli.errors import WorkerError, WorkFolderBusyError
from vsrpp_cli.runs import distributed
from vsrpp_cli.runs.stop import StopToken
from vsrpp_cli.runs.work import locks, segment
from vsrpp_cli.runs.work.workfolder import WorkFolder
from vsrpp_cli.runs.workers.serial import load_engine


def vsrpp(*args):
    return execute(list(map(str, args)))


@pytest.fixture(scope="module")
def planned(tmp_path_factory):
    """Input, options and a written plan of four segments; and the frames due."""
    place = tmp_path_factory.mktemp("planned")
    clip, model = write_clip(place / "in.mp4", 12), tiny_checkpoint(place / "tiny.pth")
    common = ["-m", model, "--threads", 1, "--segment", 3]
    assert vsrpp("upscale", clip, place / "all.mp4", *common) == 0
    assert vsrpp("plan", clip, place / "o.mp4", "--write", *common) == 0
    return place, common, frame_hashes(place / "all.mp4")


@pytest.fixture
def folder(planned, tmp_path):
    """A copy of the plan in a place of its own; its input and model are where they were."""
    place, _, _ = planned
    shutil.copytree(place / "o.mp4.vsrpp", tmp_path / "o.mp4.vsrpp")
    plan = json.loads((tmp_path / "o.mp4.vsrpp" / "plan.json").read_text())
    plan["output"]["path"] = str(tmp_path / "o.mp4")
    (tmp_path / "o.mp4.vsrpp" / "plan.json").write_text(json.dumps(plan))
    return tmp_path / "o.mp4.vsrpp"


def done(folder):
    return sorted(int(path.stem) for path in (folder / "segments").glob("*.done"))


def test_a_worker_writes_nothing_that_others_write(folder):
    assert vsrpp("worker", folder, 2) == 0
    assert done(folder) == [2]
    assert not (folder / "journal.jsonl").exists()
    mark = json.loads((folder / "segments" / "000002.done").read_text())
    assert mark["index"] == 2
    assert (folder / "segments" / mark["name"]).stat().st_size == mark["size"]


def test_two_processes_at_the_same_segment_do_each_other_no_harm(planned, folder):
    command = [VSRPP, "worker", str(folder), "0", "1"]
    both = [subprocess.Popen(command, env=ENVIRONMENT) for _ in range(2)]
    assert [process.wait(250) for process in both] == [0, 0]
    assert vsrpp("worker", folder, 2, 3) == 0
    assert vsrpp("join", folder) == 0
    assert frame_hashes(folder.with_name("o.mp4")) == planned[2]


@pytest.mark.skipif(not can_be_hosts(), reason="needs namespaces")
def test_two_hosts_that_know_nothing_of_each_other_s_locks_may_do_the_same(planned, folder):
    command = [VSRPP, "worker", folder, 0, 1, 2, 3]
    with WorkFolder(folder).locked():  # which a worker that knew of it would respect
        assert vsrpp(*command[1:]) == 2
        both = [start_on_host(name, folder / "lock", *command, env=ENVIRONMENT) for name in "ab"]
        assert [process.wait(250) for process in both] == [0, 0]
    names = [json.loads(path.read_text())["name"] for path in folder.glob("segments/*.done")]
    assert len(names) == 4
    assert all(re.match(r"00000\d-[ab]-\d+-", name) for name in names)
    assert not list(folder.glob("segments/*.part*"))
    assert vsrpp("join", folder) == 0
    assert frame_hashes(folder.with_name("o.mp4")) == planned[2]


def test_of_two_that_commit_the_same_segment_the_later_counts_and_both_are_whole(folder):
    mine = distributed.share(str(folder), [0])
    engine = load_engine(mine.plan)
    computed = [segment.compute(mine.plan, mine.folder, 0, engine) for _ in range(2)]
    for one in computed:
        committed = segment.commit_among(mine.folder, one)
        assert segment.finished_segments(mine.plan, mine.folder) == {0: committed}
    assert len(list(mine.folder.segments.iterdir())) == 3


def test_several_are_committed_with_contents_before_names_before_notes(folder, monkeypatch):
    mine, steps = distributed.share(str(folder), [0]), []
    engine = load_engine(mine.plan)
    batch = [segment.compute(mine.plan, mine.folder, k, engine) for k in (0, 2, 3)]
    paths = {p.stat().st_ino: what for p, what in [
        *((computed.partial, "content") for computed in batch), (mine.folder.segments, "names"),
    ]}  # fmt: skip

    def noted(name, function, what):
        def wrapped(*args):
            steps.append((name, what(args[0])))
            return function(*args)

        return wrapped

    of_handle = lambda handle: paths.get(os.fstat(handle).st_ino, "notes")  # noqa: E731
    monkeypatch.setattr(os, "fsync", noted("fsync", os.fsync, of_handle))
    monkeypatch.setattr(Path, "replace", noted("replace", Path.replace, lambda _: "names"))
    committed = segment.commit_together(mine.plan, mine.folder, batch)
    assert steps[:7] == [("fsync", "content")] * 3 + [("replace", "names")] * 3 + [
        ("fsync", "names")
    ]
    assert set(steps[7:]) == {("fsync", "notes")}
    assert segment.finished_segments(mine.plan, mine.folder) == {
        one.index: one for one in committed
    }


def test_a_worker_whose_folder_was_taken_over_says_so(folder):
    mine = distributed.share(str(folder), [0])
    computed = segment.compute(mine.plan, mine.folder, 0, load_engine(mine.plan))
    segment.remove_partial(mine.folder)
    with pytest.raises(WorkerError, match="taken the work folder over"):
        segment.commit_among(mine.folder, computed)
    assert not list(mine.folder.segments.iterdir())


@pytest.mark.parametrize("damage", ["torn mark", "segment gone", "segment cut"])
def test_a_mark_alone_makes_no_segment(folder, capsys, damage):
    assert vsrpp("worker", folder, 1) == 0
    mark = folder / "segments" / "000001.done"
    file = folder / "segments" / json.loads(mark.read_text())["name"]
    if damage == "torn mark":
        mark.write_bytes(mark.read_bytes()[:20])
    elif damage == "segment gone":
        file.unlink()
    else:
        file.write_bytes(file.read_bytes()[:-1])
    assert vsrpp("join", folder) == 2
    assert "segments are missing: 0, 1, 2, 3" in capsys.readouterr().err
    assert vsrpp("worker", folder, 1) == 0
    assert "done already" not in capsys.readouterr().err
    assert list(segment.finished_segments(*reversed(distributed.open_folder(str(folder))))) == [1]


def test_the_run_itself_goes_on_from_what_workers_did(planned, tmp_path):
    place, common, frames = planned
    output = tmp_path / "o.mp4"
    assert vsrpp("plan", place / "in.mp4", output, "--write", *common) == 0
    assert vsrpp("worker", f"{output}.vsrpp", 1, 3) == 0
    report = tmp_path / "report.json"
    assert vsrpp("upscale", place / "in.mp4", output, *common, "--report", report) == 0
    account = json.loads(report.read_text())
    assert (account["segments_reused"], account["frames_computed"]) == (2, 6)
    assert frame_hashes(output) == frames


def test_a_join_waits_for_workers_that_are_not_at_their_end(planned, folder):
    assert vsrpp("worker", folder, 0, 1, 2) == 0
    join = [VSRPP, "join", str(folder), "--wait"]
    with WorkFolder(folder).locked(shared=True):
        waiting = subprocess.Popen(join, env=ENVIRONMENT, stderr=subprocess.PIPE, text=True)
        assert waiting.stderr is not None
        assert "3 of 4 segments are done" in waiting.stderr.readline()
        assert vsrpp("worker", folder, 3) == 0
        assert "all 4 segments are done, some are" in waiting.stderr.readline()
    waiting.communicate(timeout=250)
    assert waiting.returncode == 0
    assert frame_hashes(folder.with_name("o.mp4")) == planned[2]


def test_a_worker_s_progress_moves_by_frames_also_those_that_another_has_done(folder, monkeypatch):
    steps, worker = [], distributed.worker

    def overtaken(plan, place, index, engine, *args, **kwargs):
        if index == 3:
            worker(plan, place, index, engine, alone=False)
        return worker(plan, place, index, engine, *args, **kwargs)

    monkeypatch.setattr(distributed, "worker", overtaken)
    mine, stop = distributed.share(str(folder), [1, 3]), StopToken()
    distributed.compute(mine, print, device="auto", on_progress=steps.append, stop=stop)
    assert [(step.done, step.segment) for step in steps[:4]] == [(0, 1), (1, 1), (2, 1), (3, 1)]
    assert [(step.done, step.segment) for step in steps[4:]] == [(6, None)]
    assert {(step.phase, step.total) for step in steps} == {("compute", 6)}


@pytest.mark.parametrize("name", ["SLURM_ARRAY_TASK_ID", "JOB_COMPLETION_INDEX"])
def test_schedulers_say_which_segment(folder, monkeypatch, name):
    monkeypatch.setenv(name, "2")
    assert vsrpp("worker", folder) == 0
    assert done(folder) == [2]
    assert vsrpp("worker", folder, 0) == 0
    assert done(folder) == [0, 2]


def test_a_task_of_several_has_every_so_many_th_segment(folder, monkeypatch, capsys):
    monkeypatch.setenv("SLURM_ARRAY_TASK_ID", "1")
    assert vsrpp("worker", folder, "--of", 2, "--progress", "json") == 0
    assert json.loads(capsys.readouterr().err.splitlines()[-1])["segments"] == [1, 3]
    assert vsrpp("worker", folder, 0, "--of", 3) == 0
    assert done(folder) == [0, 1, 3]


@pytest.mark.parametrize(
    ("args", "environment", "text"),
    [
        ((), {}, "which segment? Give K, or set SLURM_ARRAY_TASK_ID or JOB_COMPLETION_INDEX"),
        ((), {"SLURM_ARRAY_TASK_ID": "1-3"}, "SLURM_ARRAY_TASK_ID is '1-3': must be a number"),
        ((), {"JOB_COMPLETION_INDEX": "4"}, "segment 4: the plan has 0 to 3"),
        ((2, "--of", 2), {}, "task 2: the plan has 0 to 1"),
        ((0, "--of", 0), {}, "--of '0': must be a whole number, at least 1"),
        ((0, "--device", "cuda:7"), {}, "--device cuda:7: not on this machine"),
        ((0, "--grace", -1), {}, "-1.0 is not in the range x>=0"),
    ],
)
def test_what_means_no_segment_is_refused(folder, monkeypatch, capsys, args, environment, text):
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert vsrpp("worker", folder, *args) == 2
    assert text in capsys.readouterr().err
    assert done(folder) == []


def test_a_device_of_another_kind_than_the_plan_s_is_refused(folder, capsys):
    plan = json.loads((folder / "plan.json").read_text())
    plan["compute"]["device"] = "cuda:1"
    (folder / "plan.json").write_text(json.dumps(plan))
    assert vsrpp("worker", folder, 0, "--device", "cpu") == 2
    assert "the plan is made for cuda, on cpu frames would differ" in capsys.readouterr().err


@pytest.mark.parametrize(("planned_for", "there", "found"), [
    ("cuda:1", ["cpu", "cuda:0"], "cuda:0"),
    ("cuda:1", ["cpu", "cuda:0", "cuda:1"], "cuda:1"),
    ("cpu", ["cpu", "cuda:0"], "cpu"),
])  # fmt: skip
def test_a_worker_takes_what_its_machine_has_of_the_plan_s_kind(
    folder, monkeypatch, planned_for, there, found
):
    _, plan = distributed.open_folder(str(folder))
    plan = replace(plan, compute=replace(plan.compute, device=planned_for))
    monkeypatch.setattr(distributed, "available_devices", lambda: there)
    monkeypatch.setattr("vsrpp_cli.inference.machine.device.available_devices", lambda: there)
    assert distributed._place(plan, "auto") == found


def test_a_worker_that_is_terminated_finishes_its_segment(folder, monkeypatch, capsys):
    encode = segment._encode

    def terminated_amid(*args):
        os.kill(os.getpid(), signal.SIGTERM)
        return encode(*args)

    monkeypatch.setattr(segment, "_encode", terminated_amid)
    assert vsrpp("worker", folder, 1, 3, "--grace", 600) == 143
    told = capsys.readouterr().err
    assert "stops now; in 600 s it stops in any case" in told
    assert "stopped with 1 of 2 segments done" in told
    assert done(folder) == [1]
    # The last one is done, and so is the work.
    assert vsrpp("worker", folder, 1, 3, "--grace", 600) == 0
    assert done(folder) == [1, 3]
    assert signal.getitimer(signal.ITIMER_REAL) == (0, 0)


@pytest.mark.parametrize("grace", [0, 0.2])
def test_a_worker_gives_its_segment_back_when_the_grace_ends(folder, monkeypatch, grace):
    encode = segment._encode

    def terminated_and_slow(*args):
        encode(*args)
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(600)

    monkeypatch.setattr(segment, "_encode", terminated_and_slow)
    assert vsrpp("worker", folder, 0, "--grace", grace) == 143
    assert not list((folder / "segments").iterdir())


SEVERAL = """
/dev/sda1 / ext4 rw
server:/films /mnt/films nfs4 rw,relatime
s3fs /mnt/bucket fuse.s3fs rw
/dev/sdb1 /mnt/films/local xfs rw
//nas/a Z: CIFS rw,remote
"""


@pytest.mark.parametrize(("path", "expected"), [
    ("/home/film.mp4.vsrpp", False),
    ("/mnt/films/new/film.mp4.vsrpp", True),
    ("/mnt/films/local/film.mp4.vsrpp", False),
    ("/mnt/films2/film.mp4.vsrpp", False),
    ("/mnt/bucket", True),
])  # fmt: skip
def test_file_systems_that_machines_share_are_known(monkeypatch, path, expected):
    fields = ("device", "mountpoint", "fstype", "opts")
    mounts = [
        SimpleNamespace(**dict(zip(fields, line.split(), strict=True)))
        for line in SEVERAL.strip().splitlines()
    ]
    monkeypatch.setattr("psutil.disk_partitions", lambda **_: mounts)
    assert locks.is_shared(path) == expected


@pytest.fixture
def over_the_network(monkeypatch):
    """Make every file system count as one that several machines see."""
    monkeypatch.setattr(locks, "is_shared", lambda path: True)
    monkeypatch.setattr(locks, "LEASE", 0.6)


def test_over_a_network_runs_exclude_each_other_and_workers_need_no_lock(
    over_the_network, planned, folder
):
    with WorkFolder(folder).locked():
        with pytest.raises(WorkFolderBusyError), WorkFolder(folder).locked():
            pass
        assert vsrpp("worker", folder, 0, 1, 2, 3) == 0
    assert vsrpp("join", folder) == 0
    assert frame_hashes(folder.with_name("o.mp4")) == planned[2]


def test_over_a_network_the_lock_of_a_process_that_died_is_not_heeded(over_the_network, folder):
    code = (
        "import os, sys; from pathlib import Path; from vsrpp_cli.runs.work import locks\n"
        "locks.is_shared = lambda path: True\n"
        "with locks.held(Path(sys.argv[1])): os.kill(os.getpid(), 9)"
    )
    dead = subprocess.run([sys.executable, "-c", code, folder / "lock"], check=False)
    assert dead.returncode == -signal.SIGKILL
    assert (folder / "lock.lease").read_text()
    with WorkFolder(folder).locked():
        pass


def test_over_a_network_the_lock_of_a_machine_that_died_ends(over_the_network, folder):
    with WorkFolder(folder).locked():
        record = (folder / "lock.lease").read_text()
    (folder / "lock.lease").write_text("".join(
        "host=elsewhere\n" if line.startswith("host=") else line
        for line in record.splitlines(keepends=True)
    ))  # fmt: skip
    with WorkFolder(folder).locked():
        pass
