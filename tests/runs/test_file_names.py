"""Names of files as people have them: long ones, and bytes that are not UTF-8."""

import json
import os
import shutil
import sys

import pytest

from support.clips import tiny_checkpoint, write_clip
from support.commands import ENVIRONMENT, assert_one_line, vsrpp
from vsrpp_cli.durable import beside

posix = pytest.mark.skipif(sys.platform in ("win32", "darwin"), reason="names are Unicode here")

LATIN_1 = os.fsdecode(b"caf\xe9")


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Return a folder with a tiny model and a clip, whose name is not UTF-8."""
    folder = tmp_path_factory.mktemp("names")
    tiny_checkpoint(folder / "tiny.pth")
    write_clip(folder / "clip.mp4", 4, audio=True)
    return folder


def upscale(place, *args, check=0):
    return vsrpp("upscale", *args, "-m", place / "tiny.pth", "--quiet", check=check)


@posix
def test_single_runs_and_reports_take_names_that_are_not_utf_8(place, tmp_path):
    source = shutil.copy(place / "clip.mp4", tmp_path / f"{LATIN_1}.mp4")
    output, report = tmp_path / f"{LATIN_1}_o.mkv", tmp_path / f"{LATIN_1}.json"
    upscale(place, source, output, "--report", report)
    assert output.exists()
    data = json.loads(report.read_bytes().decode("utf-8"))
    assert data["output"] == str(output)


@posix
def test_folders_of_frames_and_batches_take_them(place, tmp_path):
    inputs = tmp_path / "in"
    inputs.mkdir()
    shutil.copy(place / "clip.mp4", inputs / f"{LATIN_1}.mp4")
    vsrpp("degrade", place / "clip.mp4", inputs / f"{LATIN_1}_frames", "--factor", "2", check=0)
    for frame in (inputs / f"{LATIN_1}_frames").glob("*.png"):
        frame.rename(frame.with_name(f"{LATIN_1}{frame.name}"))
    outputs, report = tmp_path / "out", tmp_path / "batch.json"
    batch = ["batch", inputs, outputs, "-m", place / "tiny.pth", "--report", report]
    for status in ("done", "skipped"):
        vsrpp(*batch, check=0)
        assert json.loads(report.read_bytes())[status] == 2
    names = {os.fsencode(path.name) for path in outputs.rglob("*.png")}
    assert len(names) == 4
    assert all(name.startswith(b"caf\xe9") for name in names)


@posix
@pytest.mark.parametrize("command", ["plan", "degrade", "compare"])
def test_other_commands_take_them_and_print_them_anywhere(place, tmp_path, command):
    source = shutil.copy(place / "clip.mp4", tmp_path / f"{LATIN_1}.mp4")
    rest = {
        "plan": ["-m", place / "tiny.pth"],
        "degrade": [tmp_path / f"{LATIN_1}_o.mp4", "--factor", "2"],
        "compare": [source],
    }[command]
    strict = {**ENVIRONMENT, "PYTHONIOENCODING": "utf-8:strict"}
    vsrpp(command, source, *rest, check=0, env=strict)


@pytest.mark.parametrize("letter", ["x", "é"])
def test_names_as_long_as_the_file_system_takes_work(place, tmp_path, letter):
    room = 255 - len(".mkv")
    name = letter * (room // len(os.fsencode(letter))) + ".mkv"
    assert 254 <= len(os.fsencode(name)) <= 255
    report = tmp_path / f"{'r' * 255}"
    upscale(place, place / "clip.mp4", tmp_path / name, "--report", report)
    upscale(place, place / "clip.mp4", tmp_path / name, "-y")
    assert {path.name for path in tmp_path.iterdir()} == {name, report.name}


def test_long_names_of_folders_work(place, tmp_path):
    for options in ((), ("-y",)):
        upscale(place, place / "clip.mp4", tmp_path / ("f" * 255), *options)
    assert [len(path.name) for path in tmp_path.iterdir()] == [255]


def test_a_name_that_is_too_long_is_refused_before_work(place, tmp_path):
    for command in ("upscale", "degrade"):
        rest = ["-m", place / "tiny.pth"] if command == "upscale" else ["--factor", "2"]
        done = vsrpp(command, place / "clip.mp4", tmp_path / f"{'x' * 252}.mp4", *rest, check=2)
        assert "too long" in assert_one_line(done)
    assert not list(tmp_path.iterdir())


def test_names_beside_a_file_are_its_own_where_there_is_room_and_differ_else(tmp_path):
    assert beside(tmp_path / "a.mp4", ".", "a", ".part.mp4").name == ".a.part.mp4"
    long = [tmp_path / f"{'x' * 250}{digit}" for digit in "12"]
    names = {beside(path, ".", path.name, ".part").name for path in long}
    assert len(names) == 2
    assert all(len(name) <= 255 and name.endswith(".part") for name in names)
