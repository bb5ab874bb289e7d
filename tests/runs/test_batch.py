"""`vsrpp batch`: many items in a row, whatever happens to one of them."""

import json
import os
import shutil
import signal
import subprocess
import time

import numpy as np
import pytest
import torch
from PIL import Image

from support.clips import moving_picture, tiny_checkpoint, write_clip
from support.commands import ENVIRONMENT, VSRPP, assert_one_line, ffprobe, vsrpp
from vsrpp_cli.cli.main import execute
from vsrpp_cli.errors import InputError, Interrupted, UsageError
from vsrpp_cli.options import UpscaleOptions
from vsrpp_cli.runs.batch import run_batch
from vsrpp_cli.runs.batch_items import find_items
from vsrpp_cli.runs.stop import StopToken
from vsrpp_cli.runs.workers import serial

pytestmark = pytest.mark.timeout(900)  # ten runs in a row, on whatever machine


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    return tiny_checkpoint(tmp_path_factory.mktemp("models") / "tiny.pth")


def write_frames(folder, frames=2, size=(32, 24), suffix=".png"):
    folder.mkdir(parents=True)
    for index in range(frames):
        Image.fromarray(moving_picture(index, *size)).save(folder / f"{index:03d}{suffix}")
    return folder


def touch(*paths):
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def found(inputs, **more):
    """Return {input: output}, both below their folders."""
    outputs = inputs.parent / "out"
    items = find_items(inputs, outputs, **more).items
    return {i.relative: i.output.relative_to(outputs).as_posix() for i in items}


# --- what there is to do -------------------------------------------------------------------------


def test_videos_and_folders_of_frames_are_found_in_natural_order(tmp_path):
    root = tmp_path / "in"
    touch(root / "clip10.mp4", root / "clip2.MOV", root / "notes.txt", root / "clip2.srt")
    touch(root / "deep/er/x.mkv", root / "shots/0001.png", root / "shots/0002.png")
    assert found(root) == {
        "clip2.MOV": "clip2_x4.MOV",
        "clip10.mp4": "clip10_x4.mp4",
        "deep/er/x.mkv": "deep/er/x_x4.mkv",
        "shots": "shots_x4",
    }


def test_containers_that_are_not_written_become_matroska(tmp_path):
    touch(tmp_path / "in/a.wmv", tmp_path / "in/b.264", tmp_path / "in/c.webm")
    assert list(found(tmp_path / "in").values()) == ["a_x4.mkv", "b_x4.mkv", "c_x4.webm"]


def test_the_folder_itself_may_hold_the_frames(tmp_path):
    touch(tmp_path / "in/1.png", tmp_path / "in/2.png")
    assert found(tmp_path / "in") == {"in": "in_x4"}


def test_one_stem_twice_gives_two_outputs(tmp_path):
    root = tmp_path / "in"
    touch(root / "a.avi", root / "a.mkv", root / "a.mp4", root / "a/1.png")
    assert found(root) == {
        "a.avi": "a_x4.mkv",
        "a.mkv": "a_mkv_x4.mkv",
        "a.mp4": "a_x4.mp4",
        "a": "a_x4",
    }
    assert found(root, name="{stem}.mp4") == {
        "a.avi": "a.mp4",
        "a.mkv": "a_mkv.mp4",
        "a.mp4": "a_mp4.mp4",
        "a": "a_frames.mp4",
    }


def test_hidden_things_work_folders_and_outputs_are_left_alone(tmp_path):
    root = tmp_path / "in"
    touch(root / ".hidden.mp4", root / ".cache/x.mp4", root / "b.mp4.vsrpp/segments/000000.mkv")
    touch(root / "b.mp4", root / "results/b_x4.mp4")
    items = find_items(root, root / "results").items
    assert [item.relative for item in items] == ["b.mp4"]


def test_images_beside_videos_are_left_alone_and_said(tmp_path):
    touch(tmp_path / "in/film.mkv", tmp_path / "in/poster.jpg")
    result = find_items(tmp_path / "in", tmp_path / "out")
    assert [item.relative for item in result.items] == ["film.mkv"]
    assert "1 image beside videos" in result.notes[0]


def test_include_and_exclude_choose(tmp_path):
    root = tmp_path / "in"
    touch(root / "a.mp4", root / "raw/b.mp4", root / "raw/c.mkv", root / "odd.data")
    touch(root / "frames/1.png")
    assert list(found(root, include=["*.mp4"])) == ["a.mp4", "raw/b.mp4"]
    assert list(found(root, include=["odd.*"])) == ["odd.data"]
    assert list(found(root, include=["frames"])) == ["frames"]
    assert list(found(root, exclude=["raw", "a.*"])) == ["frames"]
    assert list(found(root, exclude=["raw/c*"])) == ["a.mp4", "frames", "raw/b.mp4"]


@pytest.mark.parametrize("name", ["{stem", "{stam}.mp4", "all.mp4", "x/{stem}", "../{stem}", "{}"])
def test_wrong_templates_are_refused(name, tmp_path):
    touch(tmp_path / "in/a.mp4")
    with pytest.raises(UsageError, match="`name="):
        found(tmp_path / "in", name=name)


def test_nothing_to_do_is_an_error(tmp_path):
    touch(tmp_path / "in/readme.txt")
    with pytest.raises(InputError, match="no video and no folder of frames"):
        found(tmp_path / "in")


# --- ten items -----------------------------------------------------------------------------------

RESULTS = {
    "a_x4.mp4", "a_x4.mkv", "b_x4.mkv", "frames_x4", "gray_x4",
    "nested/one/c_x4.mp4", "nested/one/two/frames_x4", "nested/long_x4.mp4",
}  # fmt: skip


@pytest.fixture(scope="module")
def ten(tmp_path_factory):
    root = tmp_path_factory.mktemp("ten") / "in"
    (root / "nested/one").mkdir(parents=True)
    for name in ("a.mp4", "a.mkv", "b.avi", "nested/one/c.mp4"):
        write_clip(root / name, 3, audio=name == "a.mkv")
    write_clip(root / "nested/long.mp4", 12)
    write_frames(root / "frames")
    write_frames(root / "nested/one/two/frames", suffix=".jpg")
    (root / "gray").mkdir()
    Image.fromarray(np.full((24, 32), 99, np.uint8)).save(root / "gray/only.png")
    (root / "corrupt.mp4").write_text("this is no video\n" * 50)
    (root / "empty").mkdir()
    return root


@pytest.fixture(scope="module")
def killed_and_repeated(ten, tiny):
    """Kill a batch in the middle of its longest item, then give the same command again."""
    outputs = ten.parent / "out"
    command = ["batch", ten, outputs, "-m", tiny, "--segment", 3, "--threads", 1]
    command += ["--report", ten.parent / "r.json"]
    journal = outputs / "nested/long_x4.mp4.vsrpp/journal.jsonl"
    process = subprocess.Popen(
        [VSRPP, *map(str, command)], env=ENVIRONMENT, stderr=subprocess.DEVNULL
    )
    deadline = time.monotonic() + 400
    while not journal.exists() or not journal.read_bytes().count(b"\n"):
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    before = identities(outputs)
    done = vsrpp(*command, check=7, timeout=400)
    return outputs, before, done, json.loads((ten.parent / "r.json").read_text())


def identities(outputs):
    places = {name: outputs / name for name in RESULTS if (outputs / name).exists()}
    return {name: (p.stat().st_ino, p.stat().st_mtime_ns) for name, p in places.items()}


def test_ten_items_end_with_eight_results(killed_and_repeated):
    outputs, _, done, _ = killed_and_repeated
    standing = {p.relative_to(outputs).as_posix() for p in outputs.rglob("*_x4*")}
    assert standing == RESULTS
    assert assert_one_line(done) == "vsrpp: 2 of 10 items failed"


def test_results_are_four_times_the_size(killed_and_repeated):
    outputs = killed_and_repeated[0]
    for name in RESULTS:
        if "." in name:
            stream = ffprobe(outputs / name, "-select_streams", "v", "-show_streams")["streams"][0]
            assert (stream["width"], stream["height"]) == (256, 256)
        else:
            for path in (p for p in (outputs / name).iterdir() if p.suffix != ".txt"):
                with Image.open(path) as image:
                    assert image.size == (128, 96)


def test_the_table_has_a_line_for_each_item(killed_and_repeated):
    lines = killed_and_repeated[2].stderr.splitlines()
    table = lines[next(i for i, line in enumerate(lines) if line.startswith("result")) + 1 :]
    results = [line.split()[0] for line in table[:10]]
    assert results.count("failed") == 2
    assert results.count("done") + results.count("skipped") == 8
    assert any("corrupt.mp4" in line for line in table if line.startswith("failed"))
    assert any("no frames in this folder" in line for line in table if line.startswith("failed"))


def test_what_was_done_is_not_done_again(killed_and_repeated):
    outputs, before, _, report = killed_and_repeated
    assert len(before) >= 4
    assert {name: now for name, now in identities(outputs).items() if name in before} == before
    skipped = {
        os.path.relpath(item["output"], outputs)
        for item in report["items"]
        if item["status"] == "skipped"
    }
    assert skipped == set(before)


def test_the_interrupted_item_goes_on_where_it_was(killed_and_repeated):
    items = {item["input"]: item for item in killed_and_repeated[3]["items"]}
    run = items["nested/long.mp4"]["report"]
    assert run["segments_reused"] >= 1
    assert run["frames_computed"] < run["frames"] == 12


def test_the_report_counts_and_names_failures(killed_and_repeated):
    report = killed_and_repeated[3]
    assert report["failed"] == 2
    assert report["done"] + report["skipped"] == 8
    failed = {item["input"]: item["exit_code"] for item in report["items"] if item["error"]}
    assert failed == {"corrupt.mp4": 3, "empty": 3}


def test_no_work_is_left_behind(killed_and_repeated):
    assert not list(killed_and_repeated[0].rglob("*.vsrpp"))


# --- doing it again, otherwise -------------------------------------------------------------------


@pytest.fixture
def one(tmp_path, tiny):
    write_frames(tmp_path / "in/shot")

    def run(**more):
        outputs = tmp_path / "out"
        items = find_items(tmp_path / "in", outputs).items
        return run_batch(items, outputs, UpscaleOptions(model=str(tiny), threads=1, **more))

    return run


def statuses(report):
    return [outcome.status for outcome in report.outcomes]


def test_a_finished_batch_has_nothing_to_do(one):
    assert statuses(one()) == ["done"]
    assert statuses(one()) == ["skipped"]
    assert statuses(one(overwrite=True)) == ["skipped"]


def test_other_options_do_not_pass_for_the_same(one):
    assert statuses(one()) == ["done"]
    report = one(height=50)
    assert statuses(report) == ["failed"]
    assert report.outcomes[0].exit_code == 2
    assert "`overwrite=True`" in report.outcomes[0].error
    assert statuses(one(height=50, overwrite=True)) == ["done"]
    assert statuses(one(height=50)) == ["skipped"]


def test_another_input_does_not_pass_for_the_same(one, tmp_path):
    assert statuses(one()) == ["done"]
    shutil.copy(tmp_path / "in/shot/000.png", tmp_path / "in/shot/002.png")
    assert statuses(one()) == ["failed"]
    assert statuses(one(overwrite=True)) == ["done"]


def test_somebody_elses_output_is_not_touched(one, tmp_path):
    touch(tmp_path / "out/shot_x4/precious.txt")
    assert statuses(one()) == ["failed"]
    assert (tmp_path / "out/shot_x4/precious.txt").exists()


def test_restart_with_overwrite_does_all_again(one):
    assert statuses(one()) == ["done"]
    assert statuses(one(resume="restart")) == ["skipped"]
    assert statuses(one(resume="restart", overwrite=True)) == ["done"]


def test_resume_is_refused_for_a_batch(one):
    with pytest.raises(UsageError, match="always goes on"):
        one(resume="must")


def test_weights_are_loaded_once(one, tmp_path):
    write_frames(tmp_path / "in/other")
    serial._network.cache_clear()
    assert statuses(one()) == ["done", "done"]
    assert serial._network.cache_info().misses == 1


def test_an_error_nobody_foresaw_costs_one_item(tmp_path, tiny, caplog):
    caplog.set_level("DEBUG", "vsrpp_cli")
    write_frames(tmp_path / "in/a")
    write_frames(tmp_path / "in/b")

    def begin(number, _count, _item):
        def trip(_progress):
            raise ZeroDivisionError("of all things")

        return trip if number == 1 else lambda _progress: None

    items = find_items(tmp_path / "in", tmp_path / "out").items
    options = UpscaleOptions(model=str(tiny), threads=1)
    report = run_batch(items, tmp_path / "out", options, on_item=begin)
    assert statuses(report) == ["failed", "done"]
    assert report.outcomes[0].error == "ZeroDivisionError: of all things"
    assert "Traceback" in caplog.text


def test_a_stop_ends_the_batch_between_items(tmp_path, tiny):
    for name in "abc":
        write_frames(tmp_path / "in" / name)
    token = StopToken()

    def begin(number, _count, _item):
        if number == 2:
            token.request(signal.SIGINT)
        return lambda _progress: None

    items = find_items(tmp_path / "in", tmp_path / "out").items
    options = UpscaleOptions(model=str(tiny), threads=1)
    with pytest.raises(Interrupted) as stopped:
        run_batch(items, tmp_path / "out", options, on_item=begin, stop=token)
    assert statuses(stopped.value.report) == ["done", "interrupted", "waiting"]
    assert statuses(run_batch(items, tmp_path / "out", options)) == ["skipped", "done", "done"]


# --- what cannot be begun ------------------------------------------------------------------------


@pytest.fixture
def inputs(tmp_path):
    return write_frames(tmp_path / "in/shot").parent


def test_the_source_of_each_item_decides_which_model_takes_it(tmp_path):
    (tmp_path / "in").mkdir()
    write_clip(tmp_path / "in/web.mkv", 2, (32, 32), options={"qp": "35"})
    write_frames(tmp_path / "in/clean", 2, (32, 32))
    options = UpscaleOptions(device="cpu", threads=1, offline=True, verify=False)
    items = find_items(tmp_path / "in", tmp_path / "out").items
    report = run_batch(items, tmp_path / "out", options)
    models = {outcome.input: outcome.report.model for outcome in report.outcomes}
    assert models == {"web.mkv": "compact-web", "clean": "compact"}
    again = run_batch(items, tmp_path / "out", options)
    assert [outcome.status for outcome in again.outcomes] == ["skipped"] * 2


@pytest.fixture
def batch(tmp_path, capsys, monkeypatch):
    """Run the command in this process, which is spared another import of torch; return stderr."""
    monkeypatch.setenv("VSRPP_CACHE", str(tmp_path / "cache"))

    def run(*arguments, check):
        assert execute(["batch", *map(str, arguments)]) == check
        return capsys.readouterr().err

    return run


def one_line(text):
    assert len(text.splitlines()) == 1, text
    assert text.startswith("vsrpp: ")
    return text


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["-m", "redds4"], 2, "did you mean reds4"),
        (["-m", "nowhere.pth"], 4, "nowhere.pth"),
        (["-m", "reds4", "--offline"], 4, "--model compact"),
        (["--device", "cuda:7"], 2, "cuda:7"),
        (["--tile", "32"], 2, "at least 64"),
        (["--name", "same.mp4"], 2, "--name"),
        (["--resume"], 2, "--resume"),
    ],
)
def test_what_no_item_can_do_ends_the_batch(arguments, code, said, batch, inputs, tmp_path):
    assert said in one_line(batch(inputs, tmp_path / "out", *arguments, check=code))
    assert not list(tmp_path.rglob("shot_x4*"))


def test_a_corrupt_checkpoint_ends_the_batch(batch, inputs, tmp_path):
    (tmp_path / "bad.pth").write_bytes(b"nothing" * 100)
    said = batch(inputs, tmp_path / "out", "-m", tmp_path / "bad.pth", check=4)
    assert "damaged" in one_line(said)


def test_a_checkpoint_of_another_network_ends_the_batch(batch, inputs, tmp_path):
    torch.save({"state_dict": {"conv1.weight": torch.zeros(8, 3, 7, 7)}}, tmp_path / "other.pth")
    said = batch(inputs, tmp_path / "out", "-m", tmp_path / "other.pth", check=4)
    assert "other.pth" in one_line(said)
    assert not list(tmp_path.rglob("shot_x4*"))


@pytest.mark.parametrize("kind", ["missing", "file", "empty"])
def test_an_input_that_is_no_folder_of_things_is_unreadable(kind, batch, tmp_path):
    if kind == "file":
        (tmp_path / "in").touch()
    if kind == "empty":
        (tmp_path / "in").mkdir()
    assert str(tmp_path / "in") in one_line(batch(tmp_path / "in", tmp_path / "out", check=3))


def test_an_output_that_cannot_be_written_is_refused(batch, inputs, tmp_path):
    (tmp_path / "file").touch()
    assert "file" in one_line(batch(inputs, tmp_path / "file" / "out", check=2))


def test_an_output_that_is_no_folder_is_wrong_usage(batch, inputs, tmp_path):
    (tmp_path / "out").touch()
    assert "is no folder" in one_line(batch(inputs, tmp_path / "out", check=2))


def test_input_and_output_must_differ(batch, inputs):
    assert "another one" in one_line(batch(inputs, inputs, check=2))


def test_quiet_shows_failures_only(batch, inputs, tiny, tmp_path):
    (inputs / "bad.mp4").write_text("no video")
    said = batch(inputs, tmp_path / "out", "-q", "-m", tiny, "--threads", 1, check=7).splitlines()
    assert [line.split()[0] for line in said] == ["result", "failed", "vsrpp:"]


def test_a_truncated_file_gives_what_decodes_and_says_so(batch, tiny, tmp_path):
    (tmp_path / "in").mkdir()
    content = write_clip(tmp_path / "whole.mkv", 8).read_bytes()
    (tmp_path / "in" / "part.mkv").write_bytes(content[: len(content) * 2 // 3])
    said = batch(tmp_path / "in", tmp_path / "out", "-m", tiny, "--threads", 1, check=0)
    assert (tmp_path / "out" / "part_x4.mkv").exists()
    assert "note: part.mkv: " in said


def test_frames_of_differing_sizes_cost_one_item(batch, inputs, tiny, tmp_path):
    write_frames(inputs / "mixed")
    Image.new("RGB", (40, 40)).save(inputs / "mixed" / "9.png")
    said = batch(inputs, tmp_path / "out", "-m", tiny, "--threads", 1, check=7)
    assert "frames differ in size" in said


def test_sound_without_a_picture_costs_one_item(batch, inputs, tiny, tmp_path):
    command = ["ffmpeg", "-v", "error", "-f", "lavfi", "-i", "sine=d=0.2", inputs / "sound.mp4"]
    subprocess.run(command, check=True)
    said = batch(inputs, tmp_path / "out", "-m", tiny, "--threads", 1, check=7)
    assert "no video, only audio" in said
    assert (tmp_path / "out" / "shot_x4").is_dir()


def test_dry_run_shows_what_would_be_done(inputs, tmp_path, capsys):
    assert execute(["batch", str(inputs), str(tmp_path / "out"), "--dry-run"]) == 0
    said = capsys.readouterr()
    assert said.err == ""
    assert said.out.splitlines() == [f"{inputs / 'shot'} -> {tmp_path / 'out' / 'shot_x4'}"]
    assert not (tmp_path / "out").exists()


def test_a_refusal_leaves_the_record_of_what_is_finished(one):
    assert statuses(one()) == ["done"]
    assert statuses(one(height=50)) == ["failed"]
    assert statuses(one()) == ["skipped"]
