"""Who gets which segment, and where workers go: decided without any cluster."""

import asyncio
from dataclasses import replace

import pytest

from support.clips import tiny_checkpoint, write_clip
from vsrpp_cli.errors import UsageError
from vsrpp_cli.options import UpscaleOptions
from vsrpp_cli.runs.cluster.board import TRIES, Board
from vsrpp_cli.runs.cluster.order import Facts, differences
from vsrpp_cli.runs.cluster.seats import Needs, Seat, idle_gpus, seats, share_of_cores
from vsrpp_cli.runs.cluster.staff import STARTS, Staff
from vsrpp_cli.runs.plans.planner import plan_only

GIB = 1 << 30


def node(name, alive=True, **resources):
    return {"NodeID": name, "Alive": alive, "Resources": resources}


def test_segments_are_given_out_in_order_and_a_lost_one_is_the_next():
    board = Board({3: 10, 5: 10, 8: 10})
    assert board.take("a", 0) == 3
    assert board.take("b", 0) == 5
    assert board.give_back("a", 3, failed=True)
    assert [board.take("c", 1), board.take("d", 1)] == [3, 8]
    for index in (3, 5, 8):
        assert board.finish(index, 2) is not None
    assert board.empty


def test_a_slow_segment_is_given_out_once_more_and_the_first_result_wins():
    board = Board({0: 10, 1: 10})
    board.take("fast", 0)
    board.take("slow", 0)
    board.finish(0, 10)
    assert board.take("fast", 99) is None  # nothing waits
    assert board.take("fast", 14, slow=True) is None  # not yet slow
    assert board.take("fast", 16, slow=True) == 1
    assert board.take("third", 99, slow=True) is None  # two are at it
    assert board.finish(1, 26) == ["slow", "fast"]
    assert board.finish(1, 27) is None
    assert board.empty


def test_a_longer_segment_may_take_longer():
    board = Board({0: 10, 1: 100})
    board.take("a", 0)
    board.take("b", 0)
    board.finish(0, 10)
    assert board.take("a", 149, slow=True) is None
    assert board.take("a", 151, slow=True) == 1


def test_a_segment_that_ends_its_workers_is_given_up_but_lost_nodes_do_not_count():
    board = Board({0: 10})
    for _ in range(3 * TRIES):
        board.take("a", 0)
        assert board.give_back("a", 0, failed=False)
    hopes = []
    for _ in range(TRIES):
        board.take("a", 0)
        hopes.append(board.give_back("a", 0, failed=True))
    assert hopes == [True] * (TRIES - 1) + [False]


def test_who_fails_at_what_another_has_finished_does_no_harm():
    board = Board({0: 1, 1: 1})
    board.take("a", 0)
    board.take("b", 0)
    board.finish(0, 1)
    board.take("a", 9, slow=True)
    board.finish(1, 10)
    assert board.give_back("b", 1, failed=True)
    assert board.empty


def test_a_lost_worker_is_hired_again_later_and_later_and_in_the_end_not_at_all(monkeypatch):
    waited = []

    async def sleep(seconds):
        waited.append(seconds)

    monkeypatch.setattr("vsrpp_cli.runs.cluster.staff.asyncio.sleep", sleep)
    staff, seat = Staff(None, None, None), Seat("a", 0, "cpu", 1, GIB)
    for _ in range(STARTS):
        asyncio.run(staff._lost(seat, ("a", 0), RuntimeError("gone")))
    assert "a" not in staff._given_up
    for _ in range(5):
        asyncio.run(staff._lost(seat, ("a", 0), RuntimeError("gone")))
    assert waited == [1, 2, 4, 8, 16, 32, 60, 60]
    assert staff._given_up == {"a": "gone"}


def test_a_worker_a_gpu_with_its_share_of_the_cores():
    nodes = [node("a", CPU=16, GPU=4, memory=GIB), node("b", CPU=64), node("c", CPU=4, GPU=1)]
    found = seats(nodes, Needs("cuda", threads=8, memory=GIB))
    assert [(s.node, s.number, s.device, s.threads) for s in found] == [
        ("a", 0, "cuda:0", 4), ("c", 0, "cuda:0", 4),
        ("a", 1, "cuda:0", 4), ("a", 2, "cuda:0", 4), ("a", 3, "cuda:0", 4),
    ]  # fmt: skip
    assert found[0].resources == {"num_gpus": 1, "num_cpus": 0}


def test_cores_are_shared_and_memory_is_not_exceeded():
    nodes = [node("a", CPU=16, memory=3 * GIB), node("b", CPU=2, memory=GIB), node("head", CPU=0)]
    found = seats(nodes, Needs("cpu", threads=4, memory=GIB))
    assert [(s.node, s.threads) for s in found] == [("a", 4), ("b", 2), ("a", 4), ("a", 4)]
    assert found[0].resources == {"num_cpus": 4}


def test_a_number_of_workers_shares_all_cores():
    nodes = [node("a", CPU=2, memory=8 * GIB), node("dead", alive=False, CPU=64)]
    needs = Needs("cpu", threads=2, memory=GIB, workers=2)
    assert share_of_cores(nodes, needs) == 1
    assert len(seats(nodes, Needs("cpu", threads=1, memory=GIB, workers=2))) == 2
    assert len(seats(nodes, Needs("cpu", threads=1, memory=GIB, workers=1))) == 1


def test_gpus_that_a_plan_for_cpus_leaves_alone_are_counted():
    nodes = [node("a", CPU=4, GPU=2), node("dead", alive=False, GPU=8)]
    assert idle_gpus(nodes, Needs("cpu", threads=1, memory=GIB)) == 2
    assert idle_gpus(nodes, Needs("cuda", threads=1, memory=GIB)) == 0


def test_another_gpu_gives_other_frames(tmp_path):
    model = str(tiny_checkpoint(tmp_path / "tiny.pth"))
    clip = str(write_clip(tmp_path / "clip.mp4", 2))
    plan = plan_only(clip, str(tmp_path / "out.mp4"), UpscaleOptions(model=model, device="cpu"))
    there = Facts("host", plan.software, "NVIDIA L4")
    assert differences(plan, "x86_64", there) == ""
    on_gpu = replace(plan, compute=replace(plan.compute, device="cuda:0"))
    assert differences(on_gpu, "NVIDIA L4", there) == ""
    assert differences(on_gpu, "", there) == ""
    assert differences(on_gpu, "NVIDIA H200", there) == "the GPU was NVIDIA H200, is NVIDIA L4"


@pytest.mark.parametrize("name", ["ray", "auto", "head:6379", "ray://head.example:10001"])
def test_names_of_clusters(name):
    assert UpscaleOptions(cluster=name).cluster == name


@pytest.mark.parametrize("name", ["", "head", "http://head:1", "ray://head"])
def test_what_names_no_cluster_is_refused(name):
    with pytest.raises(UsageError, match="`cluster="):
        UpscaleOptions(cluster=name)


def test_mixed_is_about_a_cluster():
    with pytest.raises(UsageError, match="`mixed`"):
        UpscaleOptions(mixed=True)
