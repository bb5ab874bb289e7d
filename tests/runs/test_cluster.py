"""Runs on a real Ray cluster of several nodes, some of which do not live to see the end."""

import json
import shutil
import signal
from contextlib import suppress

import psutil
import pytest

from support.clips import tiny_checkpoint, write_clip
from support.commands import assert_one_line, frame_hashes, vsrpp
from support.faults import Victim
from support.rays import add_a_node, kill_a_worker, remove_a_node, small_cluster
from vsrpp_cli.cli.main import execute
from vsrpp_cli.errors import Interrupted, ResumeRefusedError
from vsrpp_cli.options import UpscaleOptions
from vsrpp_cli.runs.batch import run_batch
from vsrpp_cli.runs.batch_items import find_items
from vsrpp_cli.runs.plans.planner import software
from vsrpp_cli.runs.run import upscale
from vsrpp_cli.runs.stop import StopToken

pytest.importorskip("ray", reason="pip install 'vsrpp-cli[ray]'")
pytestmark = pytest.mark.slow

SEGMENTS = 6
OPTIONS = {"threads": 1, "segment": 4, "chunk": 4, "overlap": 0, "preset": "ultrafast"}
ARGS = [text for name, value in OPTIONS.items() for text in (f"--{name}", value)]


@pytest.fixture(scope="module")
def cluster():
    with small_cluster() as cluster:
        yield cluster


@pytest.fixture(scope="module")
def material(tmp_path_factory):
    """A clip, a model, and what a run in this process makes of them."""
    place = tmp_path_factory.mktemp("material")
    clip = write_clip(place / "clip.mp4", 4 * SEGMENTS, audio=True)
    model = str(tiny_checkpoint(place / "tiny.pth"))
    expected = place / "expected.mp4"
    upscale(clip, expected, UpscaleOptions(model=model, **OPTIONS))
    return clip, model, expected


@pytest.fixture
def run(cluster, material, tmp_path):
    """Return a function that runs on the cluster and returns report, frames and journal."""
    clip, model, _ = material
    output = tmp_path / "out.mp4"

    def on_cluster(on_progress=lambda _: None, stop=None, **options):
        wanted = UpscaleOptions(
            model=model, cluster=cluster.address, keep_work=True, **OPTIONS, **options
        )
        report = upscale(clip, output, wanted, on_progress=on_progress, stop=stop)
        return report, frame_hashes(output), journal(output)

    return on_cluster


def journal(output):
    """Return which segments were committed, in their order."""
    path = output.parent / f"{output.name}.vsrpp" / "journal.jsonl"
    records = map(json.loads, path.read_text().splitlines() if path.exists() else ())
    return [r["index"] for r in records if r["event"] == "segment"]


class Once:
    """Does something when a run has computed so many frames."""

    def __init__(self, frames, action):
        self.frames, self.action, self.result = frames, action, None

    def __call__(self, progress):
        if progress.phase == "compute" and progress.done >= self.frames and self.action:
            action, self.action = self.action, None
            self.result = action()


def test_serial_processes_and_cluster_give_the_same_frames(run, material, tmp_path):
    clip, model, expected = material
    processes = UpscaleOptions(model=model, workers=2, **OPTIONS)
    upscale(clip, tmp_path / "processes.mp4", processes)
    report, frames, committed = run()
    assert frames == frame_hashes(tmp_path / "processes.mp4") == frame_hashes(expected)
    assert sorted(committed) == list(range(SEGMENTS))
    assert report.frames_computed == 4 * SEGMENTS
    assert not list((tmp_path / "out.mp4.vsrpp" / "segments").glob("*.part*"))


def test_workers_and_nodes_that_are_lost_cost_their_segments_only(run, cluster, material):
    def lose_more():
        remove_a_node(cluster)
        add_a_node(cluster)

    killed, removed = Once(1, kill_a_worker), Once(9, lose_more)
    report, frames, committed = run(lambda p: (killed(p), removed(p)))
    assert frames == frame_hashes(material[2])
    assert sorted(committed) == list(range(SEGMENTS))
    assert any("was lost on" in event for event in report.events)


def test_what_a_worker_is_slow_with_another_does_too(run, material):
    once = Once(1, lambda: kill_a_worker(signal.SIGSTOP))
    try:
        _, frames, committed = run(once)
    finally:
        with suppress(psutil.NoSuchProcess):
            once.result.kill()
    assert frames == frame_hashes(material[2])
    assert sorted(committed) == list(range(SEGMENTS))


def test_a_driver_that_is_killed_is_gone_on_with(cluster, material, tmp_path):
    clip, model, expected = material
    output = tmp_path / "out.mp4"
    options = ("-m", model, *ARGS, "--cluster", cluster.address, "--keep-work")
    victim = Victim(clip, output, expected, *options)
    victim.run(phase="compute", done=8)
    before = journal(output)
    assert 0 < len(before) < SEGMENTS
    vsrpp("upscale", clip, output, *options, check=0)
    committed = journal(output)
    assert committed[: len(before)] == before
    assert sorted(committed) == list(range(SEGMENTS))
    assert frame_hashes(output) == frame_hashes(expected)


def test_a_batch_computes_many_films_at_once_and_goes_on_where_it_was(
    cluster, material, tmp_path, capsys
):
    clip, model, expected = material
    films, outputs = tmp_path / "films", tmp_path / "outputs"
    films.mkdir()
    for name in "abc":
        shutil.copy(clip, films / f"{name}.mp4")
    (films / "bad.mp4").write_text("no film")
    token = StopToken()
    with pytest.raises(Interrupted) as stopped:
        run_batch(
            find_items(films, outputs).items,
            outputs,
            UpscaleOptions(model=model, cluster=cluster.address, **OPTIONS),
            on_item=lambda *_: Once(1, token.request),
            stop=token,
        )
    assert stopped.value.report.count("interrupted") > 0
    left = {p.name.partition("_")[0]: journal(outputs / p.stem) for p in outputs.glob("*.vsrpp")}
    report = tmp_path / "report.json"
    arguments = ["batch", films, outputs, "-m", model, *ARGS, "--cluster", cluster.address]
    assert execute([str(a) for a in (*arguments, "--report", report)]) == 7
    items = {item["input"]: item for item in json.loads(report.read_text())["items"]}
    assert {name: item["status"] for name, item in items.items()} == {
        "a.mp4": "done", "b.mp4": "done", "c.mp4": "done", "bad.mp4": "failed",
    }  # fmt: skip
    for name in "abc":
        assert frame_hashes(outputs / f"{name}_x4.mp4") == frame_hashes(expected)
        assert items[f"{name}.mp4"]["report"]["segments_reused"] == len(left.get(name, ()))
    said = capsys.readouterr().err
    assert f"upscaling: {3 * 4 * SEGMENTS} of {3 * 4 * SEGMENTS} frames" in said
    assert "bad.mp4" in said


def test_workers_with_other_software_are_refused_or_named(run, monkeypatch, tmp_path):
    other = {**software(), "cpu": "another"}
    monkeypatch.setattr("vsrpp_cli.runs.plans.planner.software", lambda: other)
    monkeypatch.setattr("vsrpp_cli.runs.run.software", lambda: other)
    with pytest.raises(ResumeRefusedError, match="cpu was another, is"):
        run()
    token = StopToken()
    with pytest.raises(Interrupted) as stopped:
        run(Once(1, token.request), token, mixed=True)
    events = stopped.value.report.events
    assert any("computes too, where cpu was another, is" in event for event in events)
    assert 0 < len(journal(tmp_path / "out.mp4")) < SEGMENTS  # what was under way is kept


def test_a_cluster_that_is_not_there_is_said_in_one_line(material, tmp_path):
    done = vsrpp("upscale", material[0], tmp_path / "o.mp4", "-m", material[1],
                 "--cluster", "127.0.0.1:1", check=2)  # fmt: skip
    assert "--cluster 127.0.0.1:1: cannot connect" in assert_one_line(done)
