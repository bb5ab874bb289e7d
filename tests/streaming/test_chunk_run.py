"""Chunks through the network: frames streamed, forward state carried."""

import gc
import itertools
import weakref
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from support.tiny import Scrambled, inverted
from vsrpp_cli.backends.select import prepare
from vsrpp_cli.network.basicvsrpp import BasicVSRPP
from vsrpp_cli.network.config import NetworkConfig, SpynetConfig
from vsrpp_cli.streaming.chunk_run import FADE, ChunkRun
from vsrpp_cli.streaming.state import BranchState, joined
from vsrpp_cli.streaming.storage import OnHost


@pytest.fixture(scope="module", params=[False, True], ids=["4x", "same-size"])
def network(request: pytest.FixtureRequest) -> BasicVSRPP:
    config = NetworkConfig(
        channels=8,
        blocks=1,
        same_size=request.param,
        deform_groups=4,
        extract_blocks=1,
        reconstruct_blocks=1,
        hr_channels=8,
        spynet=SpynetConfig(levels=3, kernel=3, widths=(8, 8)),
    )
    torch.manual_seed(0)
    network = BasicVSRPP(config)
    for parameter in network.parameters():
        fan_in = parameter[0].numel() if parameter.dim() > 1 else 1000
        torch.nn.init.normal_(parameter, std=0.7 / fan_in**0.5)
    return network.eval().requires_grad_(requires_grad=False)


def moving_clip(network: BasicVSRPP, frames: int) -> Tensor:
    """A smooth random picture that moves by a pixel and a half a frame."""
    unit = network.config.multiple_of
    generator = torch.Generator().manual_seed(1)
    coarse = torch.rand(1, 3, 8, 40, generator=generator)
    size = (16 * unit, 80 * unit)
    wide = torch.nn.functional.interpolate(coarse, size, mode="bicubic").clamp(0, 1)
    shifts = [round(1.5 * i * unit) for i in range(frames)]
    return torch.stack([wide[0, :, :, s : s + 20 * unit] for s in shifts])


def run(
    network: BasicVSRPP, clip: Tensor, keep: range | None = None, state: BranchState | None = None
) -> tuple[Tensor, BranchState]:
    chunk = ChunkRun(network, clip, keep=keep, state=state)
    return torch.stack(list(chunk)), chunk.state


def test_a_chunk_is_what_forward_returns(network: BasicVSRPP) -> None:
    clip = moving_clip(network, 5)
    with torch.inference_mode():
        expected = network(clip[None])[0]
    torch.testing.assert_close(run(network, clip)[0], expected, atol=1e-5, rtol=1e-5)


def test_kept_frames_are_those_of_the_whole_chunk(network: BasicVSRPP) -> None:
    clip = moving_clip(network, 6)
    assert torch.equal(run(network, clip, range(2, 4))[0], run(network, clip)[0][2:4])


@pytest.mark.parametrize("border", [1, 2, 4])
def test_a_chunk_continues_bit_for_bit(network: BasicVSRPP, border: int) -> None:
    clip = moving_clip(network, 6)
    whole, _ = run(network, clip)
    head, state = run(network, clip, range(border))
    tail, _ = run(network, clip[border:], state=state)
    assert torch.equal(torch.cat([head, tail]), whole)


def test_state_goes_through_several_short_chunks(network: BasicVSRPP) -> None:
    clip = moving_clip(network, 6)
    whole, _ = run(network, clip)
    frames, state = run(network, clip, range(1))
    for i in range(1, 6):
        frame, state = run(network, clip[i:], range(1), state)
        frames = torch.cat([frames, frame])
    assert torch.equal(frames, whole)


def test_overlap_behind_kept_frames_brings_a_carried_chunk_close(network: BasicVSRPP) -> None:
    clip = moving_clip(network, 12)
    whole, _ = run(network, clip)

    def error(overlap: int) -> float:
        head, state = run(network, clip[: 6 + overlap], range(6))
        tail, _ = run(network, clip[6:], state=state)
        return float((torch.cat([head, tail]) - whole).square().mean())

    assert error(3) < error(1) < error(0)
    assert error(3) < 1e-6


def test_backward_features_of_the_overlap_count_less_and_less_in_the_next_chunk(
    network: BasicVSRPP,
) -> None:
    clip = moving_clip(network, 12)
    _, state = run(network, clip[:10], range(6))
    assert len(state.ahead) == FADE
    own, _ = run(network, clip[6:], state=replace(state, ahead=()))
    noise = tuple((one + 0.1, two - 0.1) for one, two in state.ahead)
    faded, _ = run(network, clip[6:], state=replace(state, ahead=noise))
    moved = (faded - own).abs().mean((1, 2, 3))[:FADE]
    assert (moved[1:] < moved[:-1]).all()


def test_without_state_the_past_is_missed(network: BasicVSRPP) -> None:
    clip = moving_clip(network, 6)
    whole, _ = run(network, clip)
    assert not torch.allclose(run(network, clip[3:])[0], whole[3:], atol=1e-4)


def test_a_static_clip_between_two_moving_ones_changes_nothing(network: BasicVSRPP) -> None:
    clip = moving_clip(network, 4)
    before, _ = run(network, clip)
    run(network, clip[:1].expand(4, -1, -1, -1))
    with torch.inference_mode():
        network(clip[None, :1].expand(-1, 4, -1, -1, -1))
    assert torch.equal(run(network, clip)[0], before)


def test_state_is_known_only_after_the_last_kept_frame(network: BasicVSRPP) -> None:
    chunk = ChunkRun(network, moving_clip(network, 3), keep=slice(0, 2))
    next(chunk)
    with pytest.raises(RuntimeError, match="only after frame 1"):
        _ = chunk.state
    next(chunk)
    assert chunk.state.frame.dtype == torch.float32
    assert next(chunk, None) is None


@pytest.mark.parametrize("keep", [range(2, 2), range(1, 4), range(0, 3, 2), slice(5, 6)])
def test_frames_outside_the_clip_cannot_be_kept(network: BasicVSRPP, keep: range | slice) -> None:
    with pytest.raises(ValueError, match="cannot keep"):
        ChunkRun(network, moving_clip(network, 3), keep=keep)


@pytest.mark.parametrize("storage", [OnHost(torch.device("cpu")), Scrambled()], ids=type)
def test_features_kept_elsewhere_change_no_bit(network: BasicVSRPP, storage: OnHost) -> None:
    clip = moving_clip(network, 7)
    head, state = run(network, clip[:5], range(3))
    tail, _ = run(network, clip[3:], state=state)
    kept = storage.put(clip)
    chunk = ChunkRun(network, kept[:5], keep=range(3), storage=storage)
    there = torch.stack(list(chunk))
    rest = torch.stack(list(ChunkRun(network, kept[3:], state=chunk.state, storage=storage)))
    assert torch.equal(torch.cat([there, rest]), torch.cat([head, tail]))


def test_every_feature_is_put_away_and_the_state_with_them(network: BasicVSRPP) -> None:
    clip = moving_clip(network, 5)
    storage = Scrambled()
    chunk = ChunkRun(network, storage.put(clip), keep=range(3), storage=storage)
    next(chunk)
    # Flows both ways, spatial features, three branches: for all frames, before the first is out.
    assert storage.puts > 2 * 4 + 4 * 5
    list(chunk)
    _, state = run(network, clip, range(3))
    for kept, expected in zip(chunk.state.tensors(), state.tensors(), strict=True):
        assert torch.equal(inverted(kept), expected)


def test_clips_in_one_batch_are_what_each_is_alone(network: BasicVSRPP) -> None:
    clip = moving_clip(network, 7)
    clips = torch.stack([clip, clip.flip(-1), clip.flip(0)], dim=1)
    alone = [ChunkRun(network, clips[:5, n], keep=range(3)) for n in range(3)]
    together = ChunkRun(network, clips[:5], keep=range(3))
    expected = torch.stack([torch.stack(list(one)) for one in alone], dim=1)
    torch.testing.assert_close(torch.stack(list(together)), expected, atol=1e-5, rtol=0)
    put_together = joined([one.state for one in alone]).tensors()
    for state, wanted in zip(together.state.tensors(), put_together, strict=True):
        torch.testing.assert_close(state, wanted, atol=1e-4, rtol=1e-4)
    rest = torch.stack(list(ChunkRun(network, clips[3:], state=together.state)))
    for n, one in enumerate(alone):
        tail, _ = run(network, clips[3:, n], state=one.state)
        torch.testing.assert_close(rest[:, n], tail, atol=1e-5, rtol=0)


def test_kernels_for_one_clip_refuse_several() -> None:
    config = NetworkConfig(
        channels=16,
        blocks=1,
        deform_groups=4,
        extract_blocks=1,
        reconstruct_blocks=1,
        hr_channels=16,
        spynet=SpynetConfig(levels=2, kernel=3, widths=(4, 4)),
    )
    network = prepare(BasicVSRPP(config), kernels="fused")
    with pytest.raises(ValueError, match="one clip at a time, not 2"):
        ChunkRun(network, torch.zeros(3, 2, 3, 64, 64))


def test_memory_is_free_once_the_last_frame_is_out(network: BasicVSRPP) -> None:
    chunk = ChunkRun(network, moving_clip(network, 4))
    gc.disable()
    try:
        list(itertools.islice(chunk, 4))
        assert not chunk._features
        gone = weakref.ref(chunk)
        del chunk
        assert gone() is None
    finally:
        gc.enable()
