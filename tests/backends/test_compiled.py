"""Networks through torch's compiler: the same function at any size; a clear word if it fails."""

import numpy as np
import pytest
import torch

from support.clips import tiny_checkpoint, write_clip
from support.real_basicvsr import CLEANED_THRICE, small_network
from support.tiny import moving_frames, tiny_network
from vsrpp_cli.backends.compiled import CompiledStages
from vsrpp_cli.backends.select import prepare
from vsrpp_cli.errors import UsageError
from vsrpp_cli.inference.engine import Engine
from vsrpp_cli.options import UpscaleOptions
from vsrpp_cli.planning.chunks import Chunk
from vsrpp_cli.runs.plans.planner import make_plan, open_input
from vsrpp_cli.runs.workers.serial import load_engine

CPU = torch.device("cpu")
CLOSE = 1e-5


@pytest.fixture
def traced(monkeypatch):
    """Let networks be traced and the graphs, which this yields, be run by torch's operators."""
    graphs = []

    def backend(graph, _inputs):
        graphs.append(graph)
        return graph.forward

    original = CompiledStages.__init__
    monkeypatch.setattr(
        CompiledStages, "__init__", lambda self, network: original(self, network, backend)
    )
    torch.compiler.reset()
    yield graphs
    torch.compiler.reset()


def ready(network):
    prepare(network)
    return network


def _run(frames, chunks, *networks, **options):
    engine = Engine(networks, device=CPU, precision="fp32", **options)
    return np.stack(list(engine.upscale(iter(frames), chunks)))


def test_more_sizes_than_torch_compiles_by_default_stay_compiled(traced):
    network = tiny_network()
    stages = CompiledStages(ready(network))
    for width in range(64, 64 + 12 * 4, 4):
        frame = torch.rand(1, 3, 64, width)
        assert torch.equal(stages.extract(frame), network.extract(frame))
    assert len(traced) == 12


def test_each_part_is_compiled_once_for_each_variant_of_its_arguments(traced):
    chunks = [Chunk(0, 3, 0, 2), Chunk(2, 4, 2, 4, carries=True)]
    frames = moving_frames(4, 112, 64)
    tiled = {"tile": (64, 64), "tile_overlap": 8}
    plain = _run(frames, chunks, tiny_network(), **tiled)
    compiled = _run(frames, chunks, tiny_network(), kernels="compiled", batch=2, **tiled)
    assert np.abs(compiled - plain).max() < 1e-3  # what the store of contributions rounds to
    # Extraction, flow and reconstruction; each branch with no frame, one and two frames behind it.
    assert len(traced) == 3 + 4 * 3


def test_frames_are_cleaned_again_by_themselves_when_compiled(traced):
    network = small_network(CLEANED_THRICE)
    frames = moving_frames(3)
    chunks = [Chunk(0, 3, 0, 3)]
    compiled = _run(frames, chunks, network, kernels="compiled")
    assert np.abs(compiled - _run(frames, chunks, network)).max() < 1e-4
    # One cleaning, flow and reconstruction; each branch with no frame and with one behind it.
    assert len(traced) == 3 + 2 * 2


def test_only_the_precision_of_the_run_is_compiled(traced):
    engine = Engine([tiny_network()], device=CPU, precision="fp16", kernels="compiled")
    assert engine.kernels == "compiled kernels"
    assert [event.kind for event in engine.events] == ["slow"]
    assert engine._chain.kernels("fp32") == ["library"]
    assert not traced


def test_code_is_generated_and_computes_the_same():
    network = ready(tiny_network())
    frame = torch.rand(1, 3, 64, 64)
    with torch.inference_mode():
        made = CompiledStages(network).extract(frame)
        assert (made - network.extract(frame)).abs().max() < CLOSE


def test_a_compiler_that_fails_is_named_with_the_way_out():
    def broken(graph, inputs):
        raise OSError("no C++ compiler")

    stages = CompiledStages(ready(tiny_network()), broken)
    with pytest.raises(UsageError, match=r"`compile`: .*no C\+\+ compiler.*leave the option out"):
        stages.extract(torch.rand(1, 3, 64, 64))


def test_the_option_reaches_the_engine(tmp_path):
    model = tiny_checkpoint(tmp_path / "tiny.pth")
    clip = write_clip(tmp_path / "clip.mp4", 2, (64, 64))
    options = UpscaleOptions(model=str(model), device="cpu", compile=True)
    plan = make_plan(open_input(clip, options), tmp_path / "out.mp4", options)
    assert load_engine(plan).kernels == "compiled kernels"
    assert options.fingerprint() != UpscaleOptions(model=str(model), device="cpu").fingerprint()
