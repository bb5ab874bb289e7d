"""Nodes of a cluster that do not see the driver's disks, and what is sent to them."""

import os
import random
import time

import numpy as np
import pytest
from PIL import Image

from support.clips import moving_picture, tiny_checkpoint, write_clip
from support.commands import frame_hashes
from support.rays import can_hide, node_that_does_not_see, small_cluster
from vsrpp_cli.cli.main import execute
from vsrpp_cli.errors import InputError
from vsrpp_cli.options import UpscaleOptions
from vsrpp_cli.runs.cluster import parcels
from vsrpp_cli.runs.cluster.carrier import goods_of
from vsrpp_cli.runs.cluster.parcels import (
    Parcel,
    lay_out,
    pack_whole,
    read_piece,
    write_piece,
)
from vsrpp_cli.runs.cluster.store import KEPT, Store
from vsrpp_cli.runs.plans.planner import plan_only
from vsrpp_cli.runs.run import upscale, write_plan

OPTIONS = {"threads": 1, "segment": 3, "chunk": 3, "overlap": 0}


def write_frames(folder, count):
    folder.mkdir()
    for index in range(count):
        Image.fromarray(moving_picture(index, 64, 64)).save(folder / f"{index:03d}.png")
    return folder


@pytest.mark.slow
@pytest.mark.skipif(not can_hide(), reason="needs mount namespaces")
def test_a_node_without_the_drivers_disks_computes_from_what_is_sent(tmp_path):
    pytest.importorskip("ray", reason="pip install 'vsrpp-cli[ray]'")
    here, there = tmp_path / "here", tmp_path / "there"
    here.mkdir()
    clip, model = write_clip(here / "clip.mp4", 6), str(tiny_checkpoint(here / "tiny.pth"))
    frames = write_frames(here / "frames", 6)
    alone = UpscaleOptions(model=model, **OPTIONS)
    upscale(clip, here / "expected.mp4", alone)
    upscale(frames, here / "expected", alone)
    with small_cluster(nodes=0) as cluster, node_that_does_not_see(cluster, here, cache=there):
        # One is all there is room for; to ask for it is to wait until the node has come.
        options = UpscaleOptions(model=model, cluster=cluster.address, workers=1, **OPTIONS)
        upscale(frames, here / "out", options)
        work = write_plan(clip, here / "out.mp4", alone)
        join = ["join", str(work.path), "--cluster", cluster.address, "--workers", "1"]
        assert execute(join) == 0
    assert frame_hashes(here / "out.mp4") == frame_hashes(here / "expected.mp4")
    for path in (here / "expected").iterdir():
        assert np.array_equal(Image.open(path), Image.open(here / "out" / path.name))
    assert sorted(p.name for p in there.glob("received/*/*")) == ["clip.mp4", "frames", "tiny.pth"]


def test_pieces_in_any_order_make_the_same_files(tmp_path, monkeypatch):
    monkeypatch.setattr(parcels, "PIECE", 1000)
    chance = random.Random(1)
    (tmp_path / "made").mkdir()
    for name, size in {"a": 2500, "empty": 0, "b": 10, "c": 990, "d": 1000}.items():
        (tmp_path / "made" / name).write_bytes(chance.randbytes(size))
    parcel = pack_whole(tmp_path / "made")
    numbers = list(range(parcel.pieces))
    assert len(numbers) == 5
    chance.shuffle(numbers)
    lay_out(tmp_path / "other", parcel)
    for number in numbers:
        piece = read_piece(tmp_path, parcel, number)
        assert len(piece) <= 1000
        write_piece(tmp_path / "other", parcel, number, piece)
    for path in (tmp_path / "made").iterdir():
        assert (tmp_path / "other" / "made" / path.name).read_bytes() == path.read_bytes()


def test_a_store_has_what_arrived_as_a_whole(tmp_path):
    store, parcel = Store(tmp_path / "store"), Parcel((("film.mp4", 4),))
    for _ in range(2):  # the second run brings it again
        store.expect("key", parcel)
        store.take_in("key", 0, b"film")
        store.keep("key")
        assert store.find("key", "film.mp4").read_bytes() == b"film"
    store.expect("other", parcel)
    assert store.find("other", "film.mp4") is None


def test_a_store_is_rid_of_what_nobody_uses(tmp_path):
    for name in ("old", "used"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "x").touch()
        os.utime(tmp_path / name, (time.time() - 2 * KEPT,) * 2)
    store = Store(tmp_path)
    store.find("used", "x")
    store.tidy()
    assert [p.name for p in tmp_path.iterdir()] == ["used"]


def test_times_of_frames_are_sent_with_them(tmp_path):
    frames = write_frames(tmp_path / "frames", 2)
    (frames / "timestamps.txt").write_text("# timestamp format v2\n0\n40\n80\n")
    model = str(tiny_checkpoint(tmp_path / "tiny.pth"))
    plan = plan_only(str(frames), str(tmp_path / "out"), UpscaleOptions(model=model))
    names = [name for name, _ in goods_of(plan, plan.source.path).parcel.files]
    assert names == ["frames/000.png", "frames/001.png", "frames/timestamps.txt"]


def test_frames_of_several_folders_cannot_be_sent(tmp_path):
    write_frames(tmp_path / "a1", 1)
    write_frames(tmp_path / "a2", 1)
    model = str(tiny_checkpoint(tmp_path / "tiny.pth"))
    options = UpscaleOptions(model=model)
    plan = plan_only(str(tmp_path / "a*" / "0*.png"), str(tmp_path / "out"), options)
    with pytest.raises(InputError, match="several folders"):
        goods_of(plan, plan.source.path)
