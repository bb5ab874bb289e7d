"""What is made for GPUs, on the CPU: batches of tiles, late results, features kept elsewhere."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from support.clips import tiny_checkpoint, write_clip
from support.tiny import (
    TINY_SAME_SIZE,
    Failing,
    Scrambled,
    failing,
    moving_frames,
    tiny_network,
)
from vsrpp_cli.errors import GuardError, OutOfMemoryError
from vsrpp_cli.inference.engine import Engine
from vsrpp_cli.inference.tiling import pad
from vsrpp_cli.inference.transfer import Downloads, arrange, by_frames, upload
from vsrpp_cli.inference.window import Window
from vsrpp_cli.network.config import NetworkConfig, SpynetConfig
from vsrpp_cli.network.deform import deform_grid_sample, deform_torchvision
from vsrpp_cli.options import UpscaleOptions
from vsrpp_cli.planning.chunks import Chunk, plan_segments
from vsrpp_cli.planning.tiles import grid
from vsrpp_cli.records import from_json, to_json
from vsrpp_cli.runs.plans.plan import Plan
from vsrpp_cli.runs.plans.planner import make_plan, open_input
from vsrpp_cli.runs.workers.serial import load_engine

CPU = torch.device("cpu")
TILED = {"tile": (64, 64), "tile_overlap": 8}
"""Three tiles of frames 160 wide and 64 high."""
STEP = 1 / 32752
"""What the store of contributions rounds to."""


@pytest.fixture(scope="module")
def network():
    return tiny_network()


def _engine(*networks, precision="fp32", **options):
    return Engine(networks, device=CPU, precision=precision, **options)


def _run(engine, frames, chunks=None):
    chunks = chunks or [Chunk(0, len(frames), 0, len(frames))]
    return np.stack(list(engine.upscale(iter(frames), chunks)))


def _wide(count):
    return moving_frames(count, 160, 64)


def _chunks(count):
    (segment,) = plan_segments(count, (), chunk=5, overlap=2, segment=count)
    assert len(segment.chunks) > 1
    return segment.chunks


def _kinds(engine):
    return [event.kind for event in engine.events if event.kind != "slow"]


@pytest.mark.parametrize("batch", [2, 3, 8])
def test_tiles_computed_together_are_those_computed_one_by_one(network, batch):
    frames = _wide(7)
    alone = _run(_engine(network, **TILED), frames, _chunks(7))
    together = _run(_engine(network, batch=batch, **TILED), frames, _chunks(7))
    assert np.abs(together - alone).max() < 2.1 * STEP


def test_batches_share_the_calls_of_the_network(network):
    sizes = []

    def note(features, frames):
        sizes.append(len(frames))
        return features

    _run(_engine(failing(note), batch=2, **TILED), _wide(2))
    # Three tiles in batches of at most two: as even as can be.
    assert sizes == [1, 1, 2, 2]


@pytest.mark.parametrize("ensemble", [True, False])
def test_views_of_the_ensemble_and_chains_are_batched_too(network, ensemble):
    networks = (network,) if ensemble else (network, tiny_network(TINY_SAME_SIZE, 2))
    options = {"tile": (64, 64), "tile_overlap": 8, "ensemble": ensemble}
    frames = moving_frames(2, 112, 64)
    alone = _run(_engine(*networks, **options), frames)
    together = _run(_engine(*networks, batch=2, **options), frames)
    assert np.abs(together - alone).max() < 10 * STEP


def test_a_worker_computes_as_many_tiles_together_as_the_plan_says(tmp_path):
    model = tiny_checkpoint(tmp_path / "tiny.pth")
    options = UpscaleOptions(model=str(model), device="cpu", precision="fp32", tile="64")
    options = replace(options, tile_overlap=8, overlap=2)
    clip = write_clip(tmp_path / "clip.mp4", 6, (160, 64))
    plan = make_plan(open_input(clip, options), tmp_path / "out.mp4", options)
    assert plan.geometry.batch == 1
    batched = from_json(Plan, to_json(replace(plan, geometry=replace(plan.geometry, batch=3))))
    engines = load_engine(plan), load_engine(batched)
    assert [engine._ladder.batch for engine in engines] == [1, 3]
    made = [_run(engine, _wide(6), plan.segments[0].chunks) for engine in engines]
    assert np.abs(made[0] - made[1]).max() < 2.1 * STEP


def test_kernels_that_take_one_tile_get_one():
    config = NetworkConfig(
        channels=16,
        blocks=1,
        deform_groups=2,
        extract_blocks=1,
        reconstruct_blocks=1,
        hr_channels=16,
        spynet=SpynetConfig(levels=2, kernel=3, widths=(4, 4)),
    )
    network = tiny_network(config)
    frames = _wide(2)
    made = _run(_engine(network, batch=3, **TILED), frames)
    assert np.array_equal(made, _run(_engine(network, **TILED), frames))


class Spoiling(Failing):
    """Makes one tile of one frame a void, in less than float32."""

    def __init__(self, config, frame, tile):
        super().__init__(config, lambda features, _: features)
        self.frame, self.tile, self.done = frame, tile, 0

    def __deepcopy__(self, memo):
        other = Spoiling(self.config, self.frame, self.tile)
        other.load_state_dict(self.state_dict())
        return other

    def reconstruct(self, features, frame):
        made = super().reconstruct(features, frame)
        if self.done == self.frame and self.dtype != torch.float32:
            made[self.tile] = float("nan")
        self.done += 1
        return made


def _spoiling(network, frame, tile):
    spoiling = Spoiling(network.config, frame, tile).eval().requires_grad_(False)
    spoiling.load_state_dict(network.state_dict())
    return spoiling


@pytest.mark.parametrize("ahead", [0, 2])
def test_only_the_tile_gone_wrong_is_recomputed_and_only_from_there(network, ahead):
    frames = _wide(4)
    engine = _engine(_spoiling(network, 2, 1), precision="bf16", batch=3, **TILED)
    engine._ahead = ahead
    made = _run(engine, frames)
    lower = _run(_engine(network, precision="bf16", batch=3, **TILED), frames)
    exact = _run(_engine(network, **TILED), frames)
    assert _kinds(engine) == ["guard"]
    # What no other tile contributes to.
    left, middle, right = np.s_[..., :200], np.s_[..., 300:340], np.s_[..., 440:]
    assert np.array_equal(made[:2], lower[:2])
    assert np.array_equal(made[left], lower[left])
    assert np.array_equal(made[right], lower[right])
    assert np.array_equal(made[2:][middle], exact[2:][middle])
    assert not np.array_equal(lower[2:][middle], exact[2:][middle])


@pytest.mark.parametrize("batch", [1, 3])
def test_what_was_recomputed_is_carried_on(network, batch):
    frames, chunks = _wide(7), _chunks(7)
    engine = _engine(_spoiling(network, 1, 0), precision="bf16", batch=batch, **TILED)
    made = _run(engine, frames, chunks)
    exact = _run(_engine(network, **TILED), frames, chunks)
    assert np.isfinite(made).all()
    assert -10 * np.log10(np.mean((made - exact) ** 2)) > 55
    assert _kinds(engine) == ["guard"]


def test_all_tiles_of_a_batch_may_go_wrong(network):
    frames = _wide(4)

    def void(features, _):
        return features if features.dtype == torch.float32 else features * float("nan")

    engine = _engine(failing(void), precision="bf16", batch=3, **TILED)
    made = _run(engine, frames)
    assert np.array_equal(made, _run(_engine(network, **TILED), frames))
    assert _kinds(engine) == ["guard"] * 3


def test_results_that_arrive_late_are_the_same(network):
    frames = moving_frames(7)
    engine = _engine(_spoiling(network, 3, 0), precision="bf16")
    engine._ahead = 2
    at_once = _engine(_spoiling(network, 3, 0), precision="bf16")
    late, prompt = _run(engine, frames, _chunks(7)), _run(at_once, frames, _chunks(7))
    assert np.array_equal(late, prompt)
    assert _kinds(engine) == _kinds(at_once) == ["guard"]


def test_a_fault_that_is_seen_late_still_names_its_frame():
    def void(features, frames):
        return features * float("nan")

    engine = _engine(failing(void))
    engine._ahead = 2
    with pytest.raises(GuardError, match="frame 0"):
        _run(engine, moving_frames(4))


def test_torchvision_samples_several_clips_as_it_does_one():
    torch.manual_seed(0)
    x, weight, bias = torch.rand(3, 8, 9, 11), torch.rand(4, 8, 3, 3), torch.rand(4)
    offset, mask = 4 * torch.randn(3, 2 * 18, 9, 11), torch.rand(3, 2 * 9, 9, 11)
    made = deform_torchvision(x, offset, mask, weight, bias)
    for n in range(3):
        alone = deform_torchvision(x[n : n + 1], offset[n : n + 1], mask[n : n + 1], weight, bias)
        assert torch.allclose(made[n], alone[0], atol=1e-5)
    assert torch.allclose(made, deform_grid_sample(x, offset, mask, weight, bias), atol=1e-4)


def test_downloads_are_taken_in_order_and_only_as_many_are_under_way():
    downloads = Downloads(CPU, ahead=2)
    taken = []
    for i in range(5):
        downloads.put(torch.tensor(i), torch.tensor(-i))
        assert len(downloads) <= 3
        if downloads.full:
            taken.append(downloads.take())
    while downloads:
        taken.append(downloads.take())
    assert [(int(a), int(b)) for a, b in taken] == [(i, -i) for i in range(5)]


def test_on_the_cpu_results_are_handed_through_without_a_copy():
    downloads = Downloads(CPU)
    result = torch.rand(3)
    downloads.put(result)
    assert downloads.full
    assert downloads.take()[0].data_ptr() == result.data_ptr()


def test_tiles_sent_frame_by_frame_are_those_cut_at_once():
    clip, size = torch.rand(4, 3, 50, 160), (160, 64)
    tiles = grid(size, (64, 64), 8)
    padded = pad(clip, *size)
    expected = torch.stack(
        [torch.stack([f[:, :64, t.x.start : t.x.stop] for t in tiles]) for f in padded]
    )
    for made in (
        arrange(clip, size, tiles),
        upload(clip, size, tiles, CPU),
        by_frames(clip, size, tiles, CPU),
    ):
        assert torch.equal(made, expected)


def test_frames_wait_for_their_chunk_without_a_copy():
    frames = moving_frames(3)
    frames[1].flags.writeable = False
    window = Window(frames, 0)
    window.reach(3)
    shared = [
        tensor.data_ptr() == frame.ctypes.data
        for tensor, frame in zip(window.tensors(0, 3), frames, strict=True)
    ]
    assert shared == [True, False, True]
    assert np.array_equal(window.tensors(1, 2)[0].numpy(), frames[1])


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("options", [{}, TILED | {"batch": 3}], ids=["whole", "tiled"])
def test_features_on_the_machine_change_no_bit(network, precision, options):
    frames, chunks = _wide(7), _chunks(7)
    engine = _engine(network, precision=precision, **options)
    engine._ladder.on_host, engine._on_host = True, Scrambled()
    expected = _run(_engine(network, precision=precision, **options), frames, chunks)
    assert np.array_equal(_run(engine, frames, chunks), expected)


def test_chains_keep_what_they_hand_on_on_the_machine_too(network):
    networks = network, tiny_network(TINY_SAME_SIZE, 2)
    frames, chunks = moving_frames(6), _chunks(6)
    engine = _engine(*networks)
    engine._ladder.on_host, engine._on_host = True, Scrambled()
    expected = _run(_engine(*networks), frames, chunks)
    assert np.array_equal(_run(engine, frames, chunks), expected)


def test_the_guard_works_with_features_on_the_machine(network):
    frames, chunks = _wide(7), _chunks(7)
    made = []
    for on_host in (False, True):
        engine = _engine(_spoiling(network, 1, 0), precision="bf16", batch=3, **TILED)
        engine._ladder.on_host, engine._on_host = on_host, Scrambled()
        made.append(_run(engine, frames, chunks))
        assert _kinds(engine) == ["guard"]
    assert np.array_equal(*made)


def _short_of_memory(suffices):
    def fail(features, frames):
        if not suffices(frames):
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB")
        return features

    return failing(fail)


def test_a_batch_that_does_not_fit_goes_tile_by_tile_before_tiles_get_smaller(network):
    frames = _wide(4)
    engine = _engine(_short_of_memory(lambda f: len(f) == 1), batch=3, **TILED)
    made = _run(engine, frames)
    assert np.array_equal(made, _run(_engine(network, **TILED), frames))
    assert _kinds(engine) == ["memory"]
    assert "one tile at a time" in engine.events[-1].text


def test_the_last_rung_keeps_features_on_the_machine(network):
    frames = moving_frames(12)
    storage = Scrambled()
    engine = _engine(_short_of_memory(lambda _: storage.puts > 0))
    engine._ladder.apart, engine._on_host = True, storage
    made = _run(engine, frames)
    assert -10 * np.log10(np.mean((made - _run(_engine(network), frames)) ** 2)) > 45
    assert _kinds(engine) == ["memory"] * 2
    assert "features kept in the machine's memory" in engine.events[-1].text


def test_the_end_of_the_ladder_names_every_rung():
    engine = _engine(_short_of_memory(lambda _: False), batch=2, tile=(128, 64), tile_overlap=16)
    engine._ladder.apart = True
    rungs = (
        r"12 frames of 128x64, 2 tiles at a time; 12 frames of 128x64; 12 frames of 96x64; "
        r"\d frames of 96x64; \d frames of 96x64, features in the machine's memory\."
    )
    with pytest.raises(OutOfMemoryError, match=rungs):
        _run(engine, moving_frames(12, 200, 64))


def test_where_device_and_machine_share_memory_there_is_no_such_rung():
    engine = _engine(_short_of_memory(lambda _: False))
    with pytest.raises(OutOfMemoryError) as caught:
        _run(engine, moving_frames(12))
    assert "machine's memory" not in str(caught.value)


@pytest.fixture
def gpu():
    if not torch.cuda.is_available():
        pytest.skip("needs an NVIDIA GPU")
    return torch.device("cuda:0")


@pytest.mark.cuda
@pytest.mark.parametrize("precision", ["fp32", "fp16"])
@pytest.mark.parametrize("options", [{}, TILED | {"batch": 3}], ids=["whole", "tiled"])
def test_a_gpu_gives_what_the_cpu_gives_and_never_waits(network, gpu, precision, options):
    frames, chunks = _wide(7), _chunks(7)
    engine = Engine([network], device=gpu, precision=precision, **options)
    _run(engine, frames, chunks)  # libraries choose their kernels
    torch.cuda.set_sync_debug_mode("error")
    try:
        made = _run(engine, frames, chunks)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    expected = _run(_engine(network, **options), frames, chunks)
    assert -10 * np.log10(np.mean((made - expected) ** 2)) > 55
    assert _kinds(engine) == []


@pytest.mark.cuda
def test_a_gpu_can_keep_features_on_the_machine(network, gpu):
    frames, chunks = _wide(7), _chunks(7)
    engine = Engine([network], device=gpu, precision="fp16")
    expected = _run(engine, frames, chunks)
    assert engine._ladder.apart
    engine._ladder.on_host = True
    assert np.abs(_run(engine, frames, chunks) - expected).max() < 1e-3
