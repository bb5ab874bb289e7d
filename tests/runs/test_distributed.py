"""`plan --write`, `worker` and `join`: on another machine, at another place, again."""

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from support.clips import tiny_checkpoint, write_clip
from support.commands import frame_hashes
from support.events import assert_events, events_of
from vsrpp_cli.checkpoints import registry
from vsrpp_cli.checkpoints.cache import place_of, sha256_of
from vsrpp_cli.cli.main import execute
from vsrpp_cli.runs.distributed import open_folder
from vsrpp_cli.runs.path_map import PathMap, mapped
from vsrpp_cli.runs.plans.relocation import relocated
from vsrpp_cli.runs.work import segment


def vsrpp(*args):
    return execute(list(map(str, args)))


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A folder with input, model and a written plan of two segments; and the frames due."""
    place = tmp_path_factory.mktemp("whole") / "here"
    place.mkdir()
    clip, model = write_clip(place / "in.mp4", 6), tiny_checkpoint(place / "tiny.pth")
    (place / "out").mkdir()
    common = ["-m", model, "--threads", 1, "--segment", 3]
    assert vsrpp("upscale", clip, place / "all.mp4", *common) == 0
    assert vsrpp("plan", clip, place / "out" / "o.mp4", "--write", *common) == 0
    return place, frame_hashes(place / "all.mp4")


@pytest.fixture
def moved(whole, tmp_path):
    """The same files at another place, while the first one is not there."""
    place, _ = whole
    hidden = place.with_name("hidden")
    shutil.copytree(place, tmp_path / "there")
    place.rename(hidden)
    yield tmp_path / "there"
    hidden.rename(place)


def test_a_tree_that_moved_is_computed_and_joined_where_it_is(whole, moved, capsys):
    folder = moved / "out" / "o.mp4.vsrpp"
    assert vsrpp("worker", folder, 0, 1) == 0, capsys.readouterr().err
    assert vsrpp("join", folder) == 0, capsys.readouterr().err
    assert frame_hashes(moved / "out" / "o.mp4") == whole[1]


@pytest.mark.parametrize("name", ["in.mp4", "tiny.pth"])
def test_what_moved_must_still_be_the_same(moved, capsys, name):
    other = {"in.mp4": lambda p: write_clip(p, 7), "tiny.pth": lambda p: tiny_checkpoint(p, seed=5)}
    other[name](moved / name)
    assert vsrpp("worker", moved / "out" / "o.mp4.vsrpp", 0) == 2
    assert name in capsys.readouterr().err


def test_a_copy_of_the_tree_is_finished_beside_itself(whole, tmp_path):
    shutil.copytree(whole[0], tmp_path / "copy")
    folder = tmp_path / "copy" / "out" / "o.mp4.vsrpp"
    assert vsrpp("worker", folder, 0, 1) == 0
    assert vsrpp("join", folder) == 0
    assert frame_hashes(tmp_path / "copy" / "out" / "o.mp4") == whole[1]
    assert not (whole[0] / "out" / "o.mp4").exists()


def test_files_are_found_where_the_user_says(whole, moved, tmp_path, capsys):
    old = whole[0]
    places = {"in.mp4": tmp_path / "films", "tiny.pth": tmp_path / "models"}
    for name, place in places.items():
        place.mkdir()
        (moved / name).rename(place / name)
    work = tmp_path / "scratch" / "o.mp4.vsrpp"
    shutil.move(moved / "out" / "o.mp4.vsrpp", work)
    model = ("--path-map", f"{old}/tiny.pth={places['tiny.pth']}/tiny.pth")
    assert vsrpp("worker", work, 0, *model) == 3
    assert f"{old}/in.mp4: no such file or folder; give --path-map" in capsys.readouterr().err
    films = ("--path-map", f"{old}={places['in.mp4']}")
    assert vsrpp("worker", work, 0, *films) == 4
    told = capsys.readouterr().err
    assert f"{places['in.mp4']}/tiny.pth: the weights of" in told
    assert vsrpp("worker", work, 0, 1, *films, *model) == 0
    (tmp_path / "done").mkdir()
    assert vsrpp("join", work, *films, "--path-map", f"{old}/out={tmp_path / 'done'}") == 0
    assert frame_hashes(tmp_path / "done" / "o.mp4") == whole[1]


def test_a_file_counts_by_its_content_not_by_its_name(whole, tmp_path, capsys):
    place = tmp_path / "here"
    shutil.copytree(whole[0], place)
    folder = place / "out" / "o.mp4.vsrpp"
    write_clip(place / "in.mp4", 7)
    assert vsrpp("worker", folder, 0) == 0  # the one that the plan names is still there
    assert vsrpp("worker", folder, 1, "--path-map", f"{whole[0]}={place}") == 2
    told = capsys.readouterr().err
    assert f"{place / 'in.mp4'} is not the file that the plan was made for" in told


def test_weights_are_found_where_this_machine_keeps_its_own(whole):
    folder, plan = open_folder(str(whole[0] / "out" / "o.mp4.vsrpp"))
    row = registry.embedded_model()
    elsewhere = replace(
        plan.models[0],
        path="/opt/venv/weights/compact.safetensors",
        sha256=sha256_of(place_of(row)),
    )
    found = relocated(replace(plan, models=(elsewhere,)), folder.path)
    assert found.models[0].path == str(place_of(row))


def test_the_map_that_says_most_counts():
    maps = [PathMap(Path("/a"), Path("/1")), PathMap(Path("/a/b"), Path("/2"))]
    assert mapped("/a/b/c.mp4", maps) == "/2/c.mp4"
    assert mapped("/a/bb/c.mp4", maps) == "/1/bb/c.mp4"
    assert mapped("/a/b", maps) == "/2"
    assert mapped("/aa", maps) is None


@pytest.mark.parametrize(
    ("text", "message"),
    [("/a", "must be OLD=NEW"), ("=/", "must be OLD=NEW"), ("/a=/none", "/none is not here")],
)
def test_maps_that_mean_nothing_are_refused(whole, capsys, text, message):
    assert vsrpp("worker", whole[0] / "out" / "o.mp4.vsrpp", 0, "--path-map", text) == 2
    assert message in capsys.readouterr().err


def test_a_worker_refuses_what_other_software_planned(whole, tmp_path, capsys):
    folder = tmp_path / "o.mp4.vsrpp"
    shutil.copytree(whole[0] / "out" / "o.mp4.vsrpp", folder)
    plan = json.loads((folder / "plan.json").read_text())
    plan["software"]["torch"] = "0.1"
    (folder / "plan.json").write_text(json.dumps(plan))
    assert vsrpp("worker", folder, 0) == 2
    assert "torch was 0.1, is " in capsys.readouterr().err
    assert not list((folder / "segments").iterdir())


def test_a_worker_says_what_was_done_already_and_shows_no_rate(whole, tmp_path, capsys):
    folder = tmp_path / "o.mp4.vsrpp"
    shutil.copytree(whole[0] / "out" / "o.mp4.vsrpp", folder)
    assert vsrpp("worker", folder, 1) == 0
    assert "upscaling: 3 of 3 frames" in capsys.readouterr().err
    assert vsrpp("worker", folder, 1) == 0
    assert capsys.readouterr().err == "segment 1 was done already\n"
    assert vsrpp("worker", folder, 0, 1, "--progress", "json") == 0
    events = events_of(capsys.readouterr().err)
    assert_events(events, "result")
    assert (events[1]["kind"], events[1]["text"]) == ("resume", "segment 1 was done already")
    steps = [(e["done"], e["total"], e["segment"]) for e in events if e["event"] == "progress"]
    assert (steps[0], steps[-1]) == ((0, 3, 0), (3, 3, 0))
    assert events[-1]["segments"] == [0, 1]


def test_a_quiet_worker_and_a_quiet_join_say_only_what_fails(moved, capsys):
    folder = moved / "out" / "o.mp4.vsrpp"
    assert vsrpp("join", folder, "-q") == 2
    assert capsys.readouterr().err.startswith("vsrpp: segments are missing: 0, 1")
    assert vsrpp("worker", folder, 0, 1, "--quiet") == 0
    assert vsrpp("join", folder, "-q") == 0
    assert capsys.readouterr() == ("", "")
    assert (moved / "out" / "o.mp4").is_file()


def test_join_says_events_only_and_ends_with_the_outputs_name(moved, capsys):
    folder = moved / "out" / "o.mp4.vsrpp"
    assert vsrpp("join", folder, "--progress", "json") == 2
    assert_events(events_of(capsys.readouterr().err), "error")
    assert vsrpp("worker", folder, 0, 1) == 0
    capsys.readouterr()
    assert vsrpp("join", folder, "--progress", "json") == 0
    events = events_of(capsys.readouterr().err)
    assert_events(events, "result")
    assert {e["phase"] for e in events if e["event"] == "progress"} == {"join", "verify"}
    assert events[-1]["output"] == str(moved / "out" / "o.mp4")
    assert events[-1]["report"]["status"] == "done"


def test_partial_names_differ_between_machines_and_are_cleaned_up(whole, tmp_path, monkeypatch):
    folder = tmp_path / "o.mp4.vsrpp"
    shutil.copytree(whole[0] / "out" / "o.mp4.vsrpp", folder)
    names, encode = [], segment._encode

    def seen(plan, part, target, *rest):
        names.append(target.name)
        return encode(plan, part, target, *rest)

    monkeypatch.setattr(segment, "_encode", seen)
    monkeypatch.setattr("platform.node", lambda: "node 7.example")
    assert vsrpp("worker", folder, 0, 1) == 0
    pattern = r"00000\d\.part-node-7-example-\d+-[0-9a-f]{8}\.\w+"
    assert all(re.fullmatch(pattern, name) for name in names)
    assert len({name.rpartition("-")[2] for name in names}) == 2
    (folder / "segments" / names[0]).write_text("left by a worker that was killed")
    segment.remove_partial(segment.WorkFolder(folder))
    left = [p.stem for p in (folder / "segments").iterdir()]
    assert sorted(stem[:6] for stem in left) == ["000000", "000000", "000001", "000001"]
    assert not any("part" in stem for stem in left)
