"""The fast CPU path, part by part, against the plain one."""

import copy
import os
import subprocess
import sys
import threading
import time
from collections.abc import Sequence

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from vsrpp_cli.backends import cpu_layers
from vsrpp_cli.backends.cpu_layers import LibraryConv
from vsrpp_cli.backends.select import Kernels, prepare
from vsrpp_cli.kernels import fused, pages
from vsrpp_cli.kernels.threads import in_parallel
from vsrpp_cli.network import deform
from vsrpp_cli.network.alignment import offsets_and_mask
from vsrpp_cli.network.basicvsrpp import BasicVSRPP
from vsrpp_cli.network.config import NetworkConfig, SpynetConfig
from vsrpp_cli.network.warp import warp
from vsrpp_cli.streaming.chunk_run import ChunkRun
from vsrpp_cli.streaming.stages import Stages

DTYPES = [torch.float32, torch.bfloat16]


def image(channels: int, height: int, width: int, dtype: torch.dtype) -> Tensor:
    x = torch.randn(1, channels, height, width).to(dtype)
    return x.contiguous(memory_format=torch.channels_last)


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("make", [fused.WinogradConv, LibraryConv])
@pytest.mark.parametrize("shuffled", [False, True])
@pytest.mark.parametrize("size", [(13, 18), (8, 12), (3, 2)])
@pytest.mark.parametrize("inputs", [(16,), (32, 16, 4)])
def test_convolution_is_torchs(
    dtype: torch.dtype,
    make: type[fused.WinogradConv] | type[LibraryConv],
    shuffled: bool,
    size: tuple[int, int],
    inputs: Sequence[int],
) -> None:
    channels = 64
    weight = torch.randn(channels, sum(inputs), 3, 3) / (9 * sum(inputs)) ** 0.5
    bias = torch.randn(channels)
    convolve = make(weight, bias, inputs, dtype=dtype, slope=0.1, shuffled=shuffled)
    images = [image(fused.rounded_up(c), *size, dtype) for c in inputs]
    seen = torch.cat([x[:, :c] for x, c in zip(images, inputs, strict=True)], dim=1).float()
    expected = F.leaky_relu(F.conv2d(seen, weight, bias, padding=1), 0.1)
    if shuffled:
        expected = F.pixel_shuffle(expected, 2)
    residual = image(*expected.shape[1:], dtype)
    result = convolve(images, residual).float()
    error = result - (expected + residual.float())
    assert error.abs().max() < (1e-4 if dtype == torch.float32 else 0.15)
    assert error.square().mean().sqrt() < (1e-5 if dtype == torch.float32 else 0.02)


def test_library_convolution_does_without_onednn(monkeypatch: pytest.MonkeyPatch) -> None:
    weight, bias = torch.randn(16, 16, 3, 3) / 12, torch.randn(16)
    x = image(16, 9, 9, torch.float32)
    convolve = LibraryConv(weight, bias, [16], dtype=torch.float32, slope=0.1)
    expected = convolve([x])
    monkeypatch.setattr(cpu_layers, "_convolve_and_activate", None)
    torch.testing.assert_close(convolve([x]), expected)


def test_channels_that_fill_no_vector_are_padded() -> None:
    weight, bias = torch.randn(40, 16, 3, 3) / 12, torch.randn(40)
    x = image(16, 9, 9, torch.float32)
    result = fused.WinogradConv(weight, bias, [16], dtype=torch.float32)([x])
    assert result.shape == (1, 48, 9, 9)
    torch.testing.assert_close(
        result[:, :40], F.conv2d(x, weight, bias, padding=1), atol=1e-4, rtol=0
    )


def alignment_case(
    channels: int, groups: int, dtype: torch.dtype
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Features of two frames, raw offsets and flows; many samples fall outside."""
    height, width = 11, 17
    raw = image(27 * groups, height, width, dtype)
    flows = torch.randn(2, 2, height, width) * 6
    flows[:, :, :2] *= 1000
    return image(channels, height, width, dtype), image(channels, height, width, dtype), raw, flows


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("channels", "groups"), [(64, 16), (32, 8), (16, 16), (16, 8), (128, 16)])
def test_alignment_is_deformable_convolution(
    channels: int, groups: int, dtype: torch.dtype
) -> None:
    last, before, raw, flows = alignment_case(channels, groups, dtype)
    weight = torch.randn(channels, 2 * channels, 3, 3) / (18 * channels) ** 0.5
    bias = torch.randn(channels)
    offset, mask = offsets_and_mask(raw.float(), flows[:1], flows[1:])
    both = torch.cat([last, before], dim=1).float()
    expected = deform.deform_torchvision(both, offset, mask, weight, bias)
    ordered = fused.in_offset_order(raw, groups, dim=1)
    ordered = ordered.contiguous(memory_format=torch.channels_last)
    align = fused.FusedAlignment(weight, bias, groups, dtype=dtype)
    error = align(last, before, ordered, flows).float() - expected
    assert error.abs().max() < (1e-4 if dtype == torch.float32 else 0.05)


def test_grid_samples_are_deformable_convolution() -> None:
    last, before, raw, flows = alignment_case(16, 4, torch.float32)
    offset, mask = offsets_and_mask(raw, flows[:1], flows[1:])
    both = torch.cat([last, before], dim=1)
    weight, bias = torch.randn(16, 32, 3, 3) / 17, torch.randn(16)
    torch.testing.assert_close(
        deform.deform_grid_sample(both, offset, mask, weight, bias),
        deform.deform_torchvision(both, offset, mask, weight, bias),
        atol=1e-4,
        rtol=0,
    )


@pytest.mark.parametrize("dtype", DTYPES)
def test_warp_is_grid_sampling(dtype: torch.dtype) -> None:
    last, _, _, flows = alignment_case(48, 4, dtype)
    error = fused.warp(last, flows[:1]).float() - warp(last.float(), flows[:1])
    assert error.abs().max() < (1e-4 if dtype == torch.float32 else 0.02)


def network(*, same_size: bool = False) -> BasicVSRPP:
    config = NetworkConfig(
        channels=16,
        blocks=1,
        same_size=same_size,
        deform_groups=4,
        extract_blocks=1,
        reconstruct_blocks=1,
        hr_channels=32,
        spynet=SpynetConfig(levels=3, kernel=3, widths=(8, 8)),
    )
    network = BasicVSRPP(config)
    for parameter in network.parameters():
        fan_in = parameter[0].numel() if parameter.dim() > 1 else 1000
        torch.nn.init.normal_(parameter, std=0.7 / fan_in**0.5)
    return network


def run(network: Stages, clip: Tensor) -> Tensor:
    return torch.stack(list(ChunkRun(network, clip)))


def psnr(result: Tensor, expected: Tensor) -> float:
    peak = expected.max() - expected.min()
    return float(20 * torch.log10(peak) - 10 * torch.log10((result - expected).square().mean()))


@pytest.mark.parametrize("kernels", ["fused", "winograd"])
@pytest.mark.parametrize("same_size", [False, True])
def test_network_is_the_plain_one(kernels: Kernels, same_size: bool) -> None:
    plain = network(same_size=same_size)
    unit = plain.config.multiple_of
    clip = torch.rand(4, 3, 17 * unit, 22 * unit)
    fast = prepare(copy.deepcopy(plain), kernels=kernels)
    expected = run(plain, clip)
    spread = expected.max() - expected.min()
    assert (run(fast, clip) - expected).abs().max() < 1e-4 * spread


@pytest.mark.parametrize(
    ("dtype", "kernels"),
    [
        (torch.bfloat16, "library"),
        (torch.bfloat16, "fused"),
        (torch.bfloat16, "winograd"),
        (torch.float16, "library"),
    ],
)
def test_half_precision_is_close(dtype: torch.dtype, kernels: Kernels) -> None:
    plain = network()
    clip = torch.rand(4, 3, 17, 22)
    copied = copy.deepcopy(plain)
    half = prepare(copied, dtype=dtype, kernels=kernels)
    assert copied.spynet.mean.dtype == torch.float32
    # Random weights forgive less than trained ones, which reach 60 and more on real frames.
    assert psnr(run(half, clip), run(plain, clip)) > 40


def test_threads_change_no_bit() -> None:
    fast = prepare(network(), kernels="winograd")
    clip = torch.rand(3, 3, 24, 40)
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        alone = [fast.extract(frame[None]) for frame in clip]
        torch.set_num_threads(3)
        together = [fast.extract(frame[None]) for frame in clip]
    finally:
        torch.set_num_threads(before)
    assert all(torch.equal(a, b) for a, b in zip(alone, together, strict=True))


@pytest.mark.parametrize(("blocks", "threads"), [(1, 1), (1, 4), (3, 4), (100, 2), (100, 3)])
def test_each_block_is_worked_on_once(blocks: int, threads: int) -> None:
    done: list[int] = []
    in_parallel(lambda first, last: done.extend(range(first, last)), blocks, threads)
    assert sorted(done) == list(range(blocks))


def test_what_a_thread_raises_is_raised_when_all_have_stopped() -> None:
    caller, others = threading.current_thread(), []

    def work(_first: int, _last: int) -> None:
        if threading.current_thread() is not caller:
            others.append(1)
            raise ArithmeticError("from another thread")
        while not others:
            time.sleep(0.001)

    with pytest.raises(ArithmeticError, match="another thread"):
        in_parallel(work, 8, 2)


def test_carried_state_is_exact_with_kernels_too() -> None:
    fast = prepare(network(), dtype=torch.bfloat16, kernels="winograd")
    clip = torch.rand(5, 3, 17, 22)
    whole = run(fast, clip)
    head = ChunkRun(fast, clip, keep=range(2))
    frames = list(head)
    frames += list(ChunkRun(fast, clip[2:], state=head.state))
    assert torch.equal(torch.stack(frames), whole)


def test_packed_columns_multiply_as_the_matrix_does() -> None:
    matrix = torch.randn(6, 40)
    panels = fused.pack_columns(matrix, torch.bfloat16).float().numpy()
    assert panels.shape == (-(-40 // fused.COLUMNS), 3, fused.COLUMNS, 2)
    restored = panels.transpose(1, 3, 0, 2).reshape(6, -1)[:, :40]
    np.testing.assert_array_equal(restored, matrix.bfloat16().float().numpy())


@pytest.mark.parametrize("wrong", [float("nan"), float("inf"), -1e30])
def test_flows_that_are_no_numbers_touch_no_foreign_memory(wrong: float) -> None:
    last, before, raw, flows = alignment_case(16, 8, torch.float32)
    flows[...] = wrong
    ordered = fused.in_offset_order(raw, 8, dim=1).contiguous(memory_format=torch.channels_last)
    align = fused.FusedAlignment(torch.randn(16, 32, 3, 3), torch.ones(16), 8, dtype=last.dtype)
    assert align(last, before, ordered, flows).shape == last.shape
    assert fused.warp(last, flows[:1]).shape == last.shape


@pytest.mark.parametrize("kernel", ["winograd", "align"])
def test_scratch_memory_outlives_its_last_mention(kernel: str) -> None:
    code = f"""
import torch
from vsrpp_cli.kernels.fused import FusedAlignment, WinogradConv, rounded_up
image = torch.randn(1, 64, 24, 24).contiguous(memory_format=torch.channels_last)
if {kernel!r} == "winograd":
    weight = torch.randn(64, 320, 3, 3)
    WinogradConv(weight, torch.zeros(64), [64] * 5, dtype=torch.float32)([image] * 5)
else:
    raw = torch.zeros(1, 3 * rounded_up(144), 24, 24).contiguous(memory_format=torch.channels_last)
    align = FusedAlignment(torch.randn(64, 128, 3, 3), torch.zeros(64), 16, dtype=torch.float32)
    align(image, image, raw, torch.zeros(2, 2, 24, 24))
"""
    # Freed memory of this size goes back to the system at once: touching it is a crash.
    environment = {**os.environ, "MALLOC_MMAP_THRESHOLD_": "8192"}
    subprocess.run([sys.executable, "-c", code], check=True, env=environment)


def test_memory_of_an_image_is_used_again_once_the_image_is_gone() -> None:
    pages.release()
    like = torch.empty(1, 16, 128, 256)
    first = fused.empty_image(like, 16)
    assert fused.is_packed(first)
    place = first.data_ptr()
    view = first[:, :8]
    del first
    assert fused.empty_image(like, 16).data_ptr() != place
    del view
    pages_again = [fused.empty_image(like, 16) for _ in range(2)]
    assert place in {image.data_ptr() for image in pages_again}
