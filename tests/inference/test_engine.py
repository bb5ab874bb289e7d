import copy

import numpy as np
import pytest
import torch

from support.clips import TINY
from support.tiny import TINY_SAME_SIZE, Failing, failing, moving_frames, tiny_network
from vsrpp_cli.errors import GuardError, OutOfMemoryError, RunError
from vsrpp_cli.inference.engine import Engine
from vsrpp_cli.inference.fallback import is_out_of_memory
from vsrpp_cli.inference.tiling import VIEWS, pad, restore, transform
from vsrpp_cli.planning.chunks import Chunk, plan_segments

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def network():
    return tiny_network()


def _whole(count):
    return [Chunk(0, count, 0, count)]


def _engine(*networks, precision="fp32", **options):
    return Engine(networks, device=CPU, precision=precision, **options)


def _problems(engine):
    """Return the engine's events but the one that tiny networks have no fast kernels."""
    return [event for event in engine.events if event.kind != "slow"]


def _run(engine, frames, chunks=None):
    return np.stack(list(engine.upscale(iter(frames), chunks or _whole(len(frames)))))


def _psnr(one, other):
    return -10 * np.log10(np.mean((one.astype(np.float64) - other) ** 2) + 1e-20)


def test_one_chunk_without_tiles_is_the_network_clamped(network):
    frames = moving_frames(4)
    with torch.inference_mode():
        expected = network(torch.from_numpy(np.stack(frames))[None])[0].clamp(0, 1).numpy()
    assert np.abs(_run(_engine(network), frames) - expected).max() < 1e-5


def test_chunks_that_carry_on_are_near_the_whole_sequence(network):
    frames = moving_frames(12)
    (segment,) = plan_segments(12, (), chunk=7, overlap=3, segment=12)
    assert len(segment.chunks) > 1
    whole = _run(_engine(network), frames)
    assert _psnr(_run(_engine(network), frames, segment.chunks), whole) > 60


def test_tiles_are_near_the_whole_frame(network):
    frames = moving_frames(3, 150, 100)
    whole = _run(_engine(network), frames)
    tiled = _run(_engine(network, tile=(96, 72), tile_overlap=16), frames)
    assert tiled.shape == whole.shape
    assert _psnr(tiled, whole) > 60


def test_tiles_carry_their_own_state_over_chunks(network):
    frames = moving_frames(8, 100, 64)
    (segment,) = plan_segments(8, (), chunk=5, overlap=2, segment=8)
    whole = _run(_engine(network), frames)
    tiled = _run(_engine(network, tile=(72, 64), tile_overlap=16), frames, segment.chunks)
    assert _psnr(tiled, whole) > 60


def test_frames_below_the_minimum_are_padded_and_cropped(network):
    for width, height in ((20, 30), (63, 65), (1, 1)):
        made = _run(_engine(network), moving_frames(2, width, height))
        assert made.shape == (2, 3, 4 * height, 4 * width)


def test_same_size_networks_take_sizes_that_are_no_multiple_of_four():
    made = _run(_engine(tiny_network(TINY_SAME_SIZE)), moving_frames(2, 70, 41))
    assert made.shape == (2, 3, 41, 70)


def test_networks_are_chained(network):
    polisher = tiny_network(TINY_SAME_SIZE, 2)
    frames = moving_frames(3)
    engine = _engine(network, polisher)
    assert engine.scale == 4
    expected = _run(_engine(polisher), _run(_engine(network), frames))
    assert np.abs(_run(engine, frames) - expected).max() < 1e-5


def test_chains_carry_the_state_of_each_network_over_chunks(network):
    engine = _engine(network, tiny_network(TINY_SAME_SIZE, 2))
    frames = moving_frames(6)
    (segment,) = plan_segments(6, (), chunk=5, overlap=2, segment=6)
    parts = _run(engine, frames, segment.chunks)
    assert _psnr(parts, _run(engine, frames)) > 55


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_half_precision_is_near_float32(network, precision):
    frames = moving_frames(2)
    made = _run(_engine(network, precision=precision), frames)
    assert _psnr(made, _run(_engine(network), frames)) > 55


def test_a_slow_precision_is_reported(network):
    (event,) = _engine(network, precision="fp16").events
    assert (event.kind, "float16" in event.text) == ("slow", True)


def test_views_of_the_ensemble_are_undone():
    clip = torch.rand(2, 3, 5, 7)
    shown = [transform(clip, view) for view in range(VIEWS)]
    assert len({tuple(view.flatten().tolist()) for view in shown}) == VIEWS
    for view in range(VIEWS):
        assert torch.equal(restore(shown[view], view), clip)


def test_the_ensemble_is_the_mean_of_its_views(network):
    frames = moving_frames(2, 64, 72)
    clip = torch.from_numpy(np.stack(frames))
    views = []
    for view in range(VIEWS):
        with torch.inference_mode():
            views.append(restore(network(transform(clip, view)[None])[0].clamp(0, 1), view))
    expected = torch.stack(views).mean(0).numpy()
    assert np.abs(_run(_engine(network, ensemble=True), frames) - expected).max() < 3e-4


def test_padding_reflects_where_there_is_enough_to_reflect():
    clip = torch.arange(4.0).reshape(1, 1, 1, 4).expand(1, 3, 4, 4)
    assert pad(clip, 6, 4)[0, 0, 0].tolist() == [0, 1, 2, 3, 2, 1]
    assert pad(clip, 9, 4)[0, 0, 0].tolist() == [0, 1, 2, 3, 3, 3, 3, 3, 3]


def test_a_segment_gives_the_same_whatever_came_before(network):
    frames = moving_frames(10)
    first, second = plan_segments(10, (), chunk=9, overlap=2, segment=5)
    engine = _engine(network)
    _run(engine, frames[first.start : first.stop], first.chunks)
    after = _run(engine, frames[second.start : second.stop], second.chunks)
    alone = _run(_engine(network), frames[second.start : second.stop], second.chunks)
    assert np.array_equal(after, alone)


def test_no_more_frames_are_read_than_the_chunk_at_hand_sees(network):
    read = []

    def source():
        for i, frame in enumerate(moving_frames(12)):
            read.append(i)
            yield frame

    (segment,) = plan_segments(12, (), chunk=5, overlap=1, segment=12)
    made = _engine(network).upscale(source(), segment.chunks)
    next(made)
    assert len(read) == segment.chunks[0].stop


def test_a_source_that_ends_too_soon_is_an_error(network):
    with pytest.raises(RunError, match="after 3 frames, 5 were expected"):
        _run(_engine(network), moving_frames(3), _whole(5))


def _spoiled_below_fp32(features, frames):
    return features if features.dtype == torch.float32 else features * float("nan")


def test_what_is_no_number_is_recomputed_in_float32(network):
    frames = moving_frames(3)
    engine = _engine(failing(_spoiled_below_fp32), precision="bf16")
    made = _run(engine, frames)
    assert np.array_equal(made, _run(_engine(network), frames))
    (event,) = _problems(engine)
    assert (event.kind, event.chunk) == ("guard", (0, 3))


def test_a_single_spoiled_frame_recomputes_the_rest_of_its_chunk(network):
    frames = moving_frames(4)
    calls = []

    def spoil_the_last(features, _):
        calls.append(0)
        return features * (float("nan") if len(calls) == 4 else 1)

    with pytest.raises(GuardError):
        _run(_engine(failing(lambda f, _: f * float("nan")), precision="bf16"), frames)
    engine = _engine(failing(spoil_the_last), precision="bf16")
    made = _run(engine, frames)
    assert np.isfinite(made).all()
    assert [e.kind for e in _problems(engine)] == ["guard"]
    assert _psnr(made, _run(_engine(network), frames)) > 55


def test_what_stays_wrong_in_float32_fails_with_the_frame_named():
    with pytest.raises(GuardError, match=r"frame 0: .*not numbers"):
        _run(_engine(failing(lambda f, _: f * float("nan"))), moving_frames(2))


def test_without_the_guard_nothing_is_looked_at():
    engine = _engine(failing(lambda f, _: f * float("nan")), guard=False)
    assert np.isnan(_run(engine, moving_frames(2))).any()


def test_a_shift_of_brightness_is_a_warning(network):
    brighter = copy.deepcopy(network)
    brighter.conv_last.bias += 0.3
    engine = _engine(brighter)
    _run(engine, moving_frames(2))
    (event,) = _problems(engine)
    assert event.kind == "drift"
    assert "red" in event.text


def _out_of_memory(when):
    def fail(features, frames):
        if when(frames):
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB")
        return features

    return fail


def test_smaller_tiles_are_taken_when_memory_runs_out(network):
    frames = moving_frames(4, 300, 100)
    engine = _engine(failing(_out_of_memory(lambda f: f.shape[-1] > 200)), tile_overlap=8)
    made = _run(engine, frames)
    assert _psnr(made, _run(_engine(network), frames)) > 45
    assert [e.kind for e in _problems(engine)] == ["memory"]
    assert "tiles of 150x100" in _problems(engine)[0].text


def test_the_smaller_geometry_stays(network):
    frames = moving_frames(8, 200, 64)
    (segment,) = plan_segments(8, (), chunk=5, overlap=1, segment=8)
    engine = _engine(failing(_out_of_memory(lambda f: f.shape[-1] > 150)), tile_overlap=8)
    made = _run(engine, frames, segment.chunks)
    assert len(_problems(engine)) == 1
    assert _psnr(made, _run(_engine(network), frames)) > 45


def test_shorter_chunks_are_taken_when_tiles_cannot_be_smaller(network):
    frames = moving_frames(24)

    class Shorter(Failing):
        seen = 0

        def extract(self, frames):
            self.seen += 1
            if self.seen > 12:
                self.seen = 0
                raise RuntimeError("DefaultCPUAllocator: can't allocate memory")
            return super().extract(frames)

        def reconstruct(self, features, frame):
            self.seen = 0
            return super().reconstruct(features, frame)

        def __deepcopy__(self, memo):
            return self

    torch.manual_seed(1)
    engine = _engine(Shorter(TINY, lambda f, _: f).eval().requires_grad_(False))
    made = _run(engine, frames)
    assert _psnr(made, _run(_engine(network), frames)) > 45
    assert "chunks of 12 frames" in engine.events[-1].text


def test_memory_running_out_midway_gives_each_frame_once(network):
    frames = moving_frames(10, 200, 64)
    (segment,) = plan_segments(10, (), chunk=6, overlap=2, segment=10)
    calls = []

    def fail(features, given):
        calls.append(0)
        if len(calls) == 9:
            raise MemoryError
        return features

    engine = _engine(failing(fail), tile_overlap=8)
    made = _run(engine, frames, segment.chunks)
    assert len(made) == 10
    assert _psnr(made, _run(_engine(network), frames)) > 45


def test_the_end_of_the_ladder_names_the_sizes_tried():
    engine = _engine(failing(_out_of_memory(lambda _: True)), tile_overlap=16)
    with pytest.raises(
        OutOfMemoryError,
        match=r"12 frames of 200x64; 12 frames of 100x64; 12 frames of 96x64; 8 frames",
    ):
        _run(engine, moving_frames(12, 200, 64))


def test_other_failures_are_not_taken_for_lack_of_memory():
    def fail(features, frames):
        raise RuntimeError("shapes do not match")

    with pytest.raises(RuntimeError, match="do not match"):
        _run(_engine(failing(fail)), moving_frames(2))
    assert not is_out_of_memory(RuntimeError("shapes"))


def test_real_lack_of_memory_is_recognised():
    with pytest.raises(RuntimeError) as caught:
        torch.empty(1 << 60, dtype=torch.uint8)
    assert is_out_of_memory(caught.value)


@pytest.mark.parametrize("options", [{}, {"tile": (64, 64), "tile_overlap": 8}, {"ensemble": True}])
def test_work_is_told_of_long_before_the_first_frame_and_adds_up(network, options):
    (segment,) = plan_segments(8, (), chunk=6, overlap=2, segment=8)
    told, at_first = [], None
    given = iter(moving_frames(8, 100, 64))
    for _ in _engine(network, **options).upscale(given, segment.chunks, told.append):
        at_first = at_first or sum(told)
    assert len(told) > 8 * 5
    assert min(told) > 0
    assert 0.5 * 4 < at_first <= 4  # of the first chunk's kept frames
    assert abs(sum(told) - 8) < 1e-6


def test_work_done_again_is_not_told_of_again(network):
    engine = _engine(failing(_out_of_memory(lambda f: f.shape[-1] > 200)), tile_overlap=8)
    told = []
    list(engine.upscale(iter(moving_frames(3, 240, 64)), _whole(3), told.append))
    assert _problems(engine)
    assert abs(sum(told) - 3) < 1e-6


def test_an_abandoned_segment_leaves_the_engine_usable(network):
    engine = _engine(network)
    made = engine.upscale(iter(moving_frames(4)), _whole(4))
    next(made)
    made.close()
    assert len(_run(engine, moving_frames(2))) == 2
