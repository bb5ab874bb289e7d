"""BasicVSR and RealBasicVSR against what the published networks compute, and chunk by chunk."""

import copy

import numpy as np
import pytest
import torch
from torch import Tensor

from support.golden import GOLDEN
from support.real_basicvsr import (
    CLEANED_ONCE,
    CLEANED_THRICE,
    PUBLISHED,
    SHAPES,
    SMALL,
    config_of,
    forgetful_network,
    plain_table,
    shape_table,
    small_network,
)
from support.tiny import Scrambled, moving_frames
from vsrpp_cli.backends.select import Kernels, prepare
from vsrpp_cli.checkpoints.load import build, recognise
from vsrpp_cli.inference.engine import Engine
from vsrpp_cli.network.basicvsr import BasicVSR, RealBasicVSR
from vsrpp_cli.planning.chunks import Chunk
from vsrpp_cli.streaming.chunk_run import ChunkRun
from vsrpp_cli.streaming.stages import Stages

CLEANINGS = {"one_cleaning": CLEANED_ONCE, "three_cleanings": CLEANED_THRICE}


@pytest.fixture(scope="module")
def golden() -> dict[str, np.ndarray]:
    with np.load(GOLDEN / "real_basicvsr_c16b2.npz") as file:
        return dict(file)


@pytest.fixture(scope="module")
def clip(golden: dict[str, np.ndarray]) -> Tensor:
    return torch.from_numpy(golden["frames"]).float() / 255


def run(network: Stages, clip: Tensor) -> Tensor:
    return torch.stack(list(ChunkRun(network, clip)))


def assert_golden(output: Tensor, golden: dict[str, np.ndarray], cleaning: str) -> None:
    """The output, (T, 3, 4H, 4W), is within 1e-4 of the output's range of the published one."""
    expected = torch.from_numpy(golden[f"output_every_8th_{cleaning}"])
    tolerance = 1e-4 * float(expected.max() - expected.min())
    assert (output[..., ::8, ::8] - expected).abs().max() <= tolerance
    for name, value in (("mean", output.mean((2, 3))), ("std", output.std((2, 3)))):
        np.testing.assert_allclose(value, golden[f"output_{name}_{cleaning}"], atol=tolerance)


@pytest.mark.parametrize("cleaning", CLEANINGS)
def test_output_is_that_of_the_published_network(
    cleaning: str, golden: dict[str, np.ndarray], clip: Tensor
) -> None:
    network = small_network(CLEANINGS[cleaning])
    with torch.inference_mode():
        assert_golden(network(clip[None])[0], golden, cleaning)
        cleaned = network.extract(clip)[..., ::4, ::4]
    assert np.abs(cleaned.numpy() - golden[f"cleaned_every_4th_{cleaning}"]).max() <= 1e-4


@pytest.mark.parametrize("kernels", ["library", "fused", "winograd"])
@pytest.mark.parametrize("cleaning", CLEANINGS)
def test_kernels_compute_what_the_published_network_does(
    cleaning: str, kernels: Kernels, golden: dict[str, np.ndarray], clip: Tensor
) -> None:
    network = prepare(small_network(CLEANINGS[cleaning]), kernels=kernels)
    assert_golden(run(network, clip), golden, cleaning)


@pytest.mark.parametrize("kernels", ["library", "fused", "winograd"])
def test_half_precision_is_close(kernels: Kernels, clip: Tensor) -> None:
    plain = small_network()
    expected = run(plain, clip[:3])
    half = prepare(copy.deepcopy(plain), dtype=torch.bfloat16, kernels=kernels)
    peak = float(expected.max() - expected.min())
    error = float((run(half, clip[:3]) - expected).square().mean())
    assert 10 * np.log10(peak**2 / error) > 50


@pytest.mark.parametrize("name", [SMALL, PUBLISHED])
def test_parameters_have_the_published_names_and_shapes(name: str) -> None:
    with torch.device("meta"):
        network = RealBasicVSR(config_of(name))
    assert {k: tuple(v.shape) for k, v in network.state_dict().items()} == shape_table(name)
    assert sum(p.numel() for p in network.parameters()) == SHAPES[name]["parameters"]


def test_plain_basicvsr_is_what_comes_after_cleaning(clip: Tensor) -> None:
    plain = build(recognise(plain_table()), plain_table())
    assert isinstance(plain, BasicVSR)
    with torch.inference_mode():
        assert torch.equal(plain(clip[None]), small_network().basicvsr(clip[None]))
    for kernels in ("library", "winograd"):
        fast = prepare(copy.deepcopy(plain), kernels=kernels)
        torch.testing.assert_close(run(fast, clip), run(plain, clip), atol=2e-4, rtol=0)


@pytest.mark.parametrize("kernels", ["library", "winograd"])
def test_each_frame_is_cleaned_again_or_not_by_itself(kernels: Kernels, clip: Tensor) -> None:
    network = small_network()
    residues = network.residue(clip).abs().mean((1, 2, 3))
    # The clip as a whole is above this, which would have the published network clean all again.
    threshold = float(residues.sort().values[1:3].mean())
    assert residues.mean() > threshold
    stages = prepare(small_network(threshold), kernels=kernels)
    alone = torch.cat([stages.extract(frame[None]) for frame in clip])
    once = torch.cat([small_network().extract(frame[None]) for frame in clip])
    changed = (alone - once).abs().amax((1, 2, 3)) > 1e-3
    assert torch.equal(changed, residues >= threshold)
    together = small_network(threshold).extract(clip)
    torch.testing.assert_close(together, alone, atol=1e-4, rtol=0)


def test_cleaning_depends_on_no_other_frame_of_the_chunk(clip: Tensor) -> None:
    network = small_network(float(small_network().residue(clip).abs().mean()))
    whole = run(network, clip)
    head = ChunkRun(network, clip, keep=range(3))
    parts = [*head, *ChunkRun(network, clip[3:], state=head.state)]
    assert torch.equal(torch.stack(parts), whole)


def test_features_kept_elsewhere_change_no_bit(clip: Tensor) -> None:
    network, storage = small_network(), Scrambled()
    whole = run(network, clip)
    kept = storage.put(clip)
    head = ChunkRun(network, kept[:4], keep=range(2), storage=storage)
    frames = list(head)
    tail = ChunkRun(network, kept[2:], state=head.state, storage=storage)
    assert torch.equal(torch.stack(frames)[0], run(network, clip[:4])[0])
    assert len([*frames, *tail]) == len(whole)
    assert len(head.state.forward) == 1
    assert all(len(ahead) == 1 for ahead in head.state.ahead)


def upscaled(frames: list[np.ndarray], chunks: object, **options: object) -> np.ndarray:
    device = torch.device("cpu")
    engine = Engine([forgetful_network()], device=device, precision="fp32", **options)
    return np.stack(list(engine.upscale(iter(frames), chunks)))


def psnr(one: np.ndarray, other: np.ndarray) -> float:
    return float(-10 * np.log10(np.mean((one - other) ** 2) + 1e-20))


def test_chunks_leave_no_seam_and_less_with_more_overlap() -> None:
    frames = moving_frames(12, 64, 64)
    whole = upscaled(frames, [Chunk(0, 12, 0, 12)])

    def beside(overlap: int) -> float:
        chunks = [Chunk(0, 6 + overlap, 0, 6), Chunk(6, 12, 6, 12, carries=True)]
        parts = upscaled(frames, chunks)
        return min(psnr(parts[i], whole[i]) for i in (5, 6))

    assert beside(4) >= max(48, beside(1) + 6)


def test_tiles_are_near_the_whole_frame() -> None:
    frames = moving_frames(2, 160, 64)
    chunks = [Chunk(0, 2, 0, 2)]
    tiled = upscaled(frames, chunks, tile=(112, 64), tile_overlap=24)
    assert psnr(tiled, upscaled(frames, chunks)) >= 48
