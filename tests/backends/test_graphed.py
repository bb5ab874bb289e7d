"""Branches recorded once and repeated: the plain network's results, bit for bit.

On a CPU what is recorded is the work itself, on the same buffers; `test_on_a_gpu` is for GPUs.
"""

import numpy as np
import pytest
import torch

from support.real_basicvsr import CLEANED_THRICE, small_network
from support.tiny import moving_frames, tiny_network
from vsrpp_cli.backends import graphed
from vsrpp_cli.backends.graphed import GraphedStages, Rerun
from vsrpp_cli.inference.engine import Engine
from vsrpp_cli.network.basicvsrpp import BasicVSRPP
from vsrpp_cli.network.config import NetworkConfig
from vsrpp_cli.planning import memory_model
from vsrpp_cli.planning.chunks import Chunk
from vsrpp_cli.planning.memory_model import Work, predict_engine

CPU = torch.device("cpu")
TILED = {"tile": (64, 64), "tile_overlap": 8}
CHUNKS = [Chunk(0, 6, 0, 4), Chunk(4, 8, 4, 8, carries=True)]


@pytest.fixture
def recorded(monkeypatch):
    """What is recorded, in order; the list is yielded."""
    works = []

    def noted(_, work):
        works.append(work)
        return work

    monkeypatch.setattr(Rerun, "__call__", noted)
    return works


def run(frames, *networks, device=CPU, **options):
    engine = Engine(networks, device=device, precision="fp32", **options)
    return engine, np.stack(list(engine.upscale(iter(frames), CHUNKS)))


@pytest.mark.parametrize("options", [{}, TILED, TILED | {"batch": 2}, {"ensemble": True}])
def test_frames_are_those_of_the_plain_network_bit_for_bit(recorded, options):
    frames, network = moving_frames(8, 112, 64), tiny_network()
    _, made = run(frames, network, kernels="graphed", **options)
    plain_engine = Engine([network], device=CPU, precision="fp32", kernels="library", **options)
    plain = np.stack(list(plain_engine.upscale(iter(frames), CHUNKS)))
    assert np.array_equal(made, plain)
    assert recorded


def test_each_branch_is_recorded_once_for_each_shape(recorded):
    run(moving_frames(8, 112, 64), tiny_network(), kernels="graphed")
    assert len(recorded) == 4
    recorded.clear()
    run(moving_frames(8, 112, 64), tiny_network(), kernels="graphed", ensemble=True)
    assert len(recorded) == 2 * 4  # as it is, and turned round


def test_first_order_propagation_is_recorded_too(recorded):
    frames, network = moving_frames(8), small_network(CLEANED_THRICE)
    _, made = run(frames, network, kernels="graphed")
    assert np.array_equal(made, run(frames, network, kernels="library")[1])
    assert len(recorded) == 2


def test_results_have_memory_of_their_own(recorded):
    stages = GraphedStages(tiny_network().eval())
    features = [torch.rand(1, 8, 16, 16) for _ in range(3)]
    flow = torch.rand(1, 2, 16, 16)
    with torch.inference_mode():
        past = graphed.Past(features[1], features[2])
        first = stages.step("backward_1", features[:1], past, flow, flow)
        kept = first.clone()
        stages.step("backward_1", [features[1]], past, 2 * flow, flow)
    assert torch.equal(first, kept)
    assert len(recorded) == 1


def test_no_more_is_kept_than_is_planned_for(monkeypatch):
    monkeypatch.setattr(graphed, "MOST", 2)
    stages = GraphedStages(tiny_network().eval())
    with torch.inference_mode():
        for side in (16, 20, 24):
            last, flow = torch.rand(1, 8, side, side), torch.rand(1, 2, side, side)
            past = graphed.Past(last, last)
            stages.step("backward_1", [last], past, flow, flow)
    assert len(stages._recorded) == 1


def test_memory_that_runs_out_frees_what_is_recorded(monkeypatch):
    network, frames = tiny_network(), moving_frames(8, 112, 64)
    engine = Engine([network], device=CPU, precision="fp32", kernels="graphed")
    stages = engine._chain.stages("fp32")[0]
    original, counts = BasicVSRPP.reconstruct, []

    def scarce(self, features, frame):
        counts.append(len(stages._recorded))
        if frame.shape[-1] > 96:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return original(self, features, frame)

    monkeypatch.setattr(BasicVSRPP, "reconstruct", scarce)
    made = np.stack(list(engine.upscale(iter(frames), CHUNKS)))
    assert counts[0] == 3  # the last branch is at its first frame
    widths = {kind[0][-1] for _, kinds in stages._recorded for kind in kinds}
    assert len(widths) == 1  # nothing is left of the whole frames
    assert max(widths) <= 96
    assert np.array_equal(made, run(frames, network, kernels="library")[1])


def test_memory_of_what_is_recorded_is_planned_for():
    def need(**more):
        work = Work(width=320, height=180, networks=(NetworkConfig(),), precision="fp16",
                    weights=30 << 20, device_memory=8 << 30, **more)  # fmt: skip
        return predict_engine(work, 20, None, 24).device

    features = memory_model.GRAPH_FEATURES * 64 * 2 * 320 * 180
    assert need(graphs=True) > need() + features
    turned = need(graphs=True, ensemble=True) - need(ensemble=True)
    assert turned > 1.9 * (need(graphs=True) - need())


def test_they_are_said_to_be_slow_on_a_cpu():
    engine = Engine([tiny_network()], device=CPU, precision="fp32", kernels="graphed")
    assert engine.kernels == "graphed kernels"
    assert [(event.kind, "graphs" in event.text) for event in engine.events] == [("slow", True)]


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU")
@pytest.mark.parametrize("options", [{}, TILED | {"batch": 2}])
def test_on_a_gpu(options):
    frames, network = moving_frames(8, 112, 64), tiny_network()
    gpu = torch.device("cuda")
    made = run(frames, network, device=gpu, kernels="graphed", **options)[1]
    assert np.array_equal(made, run(frames, network, device=gpu, kernels="library", **options)[1])
