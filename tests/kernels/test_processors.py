"""The kernels as other processors have them: compiled for those, run or read here."""

import functools
import json
import os
import platform
import subprocess
import sys
from collections.abc import Callable

import pytest

from support import aarch64
from vsrpp_cli.kernels.processor import features

HASWELL = "+avx,+avx2,+fma,+f16c,+bmi,+bmi2,+lzcnt,+popcnt"
PROCESSORS = {"haswell": (HASWELL, 8), "generic": ("", 4)}
"""By LLVM's name: what they can do, and how many values their vectors hold."""

x86 = pytest.mark.skipif(platform.machine() != "x86_64", reason="names x86 processors")

MOST = {
    "float32": {"winograd": 2e-6, "align": 1e-6, "warp": 2e-6, "network": 2e-7},
    "bfloat16": {"winograd": 0.03, "align": 0.01, "warp": 0.01, "network": 0.005},
}
"""Errors beside the plain operators in float32 (or float64), as a share of the range."""

CODE = """
import copy, hashlib, json, torch
from vsrpp_cli.backends.select import prepare
from vsrpp_cli.kernels import fused, simd
from vsrpp_cli.network.alignment import offsets_and_mask
from vsrpp_cli.network.basicvsrpp import BasicVSRPP
from vsrpp_cli.network.config import NetworkConfig, SpynetConfig
from vsrpp_cli.network.deform import deform_torchvision
from vsrpp_cli.network.warp import warp
from vsrpp_cli.streaming.chunk_run import ChunkRun

def image(channels, dtype):
    x = torch.randn(1, channels, 13, 30).to(dtype)
    return x.contiguous(memory_format=torch.channels_last)

def kernels(dtype):
    images = [image(32, dtype), image(16, dtype)]
    weight, bias = torch.randn(48, 48, 3, 3) / 21, torch.randn(48)
    seen = torch.cat(images, 1).double()
    expected = torch.nn.functional.conv2d(seen, weight.double(), bias.double(), padding=1)
    residual = image(48, dtype)
    convolve = fused.WinogradConv(weight, bias, [32, 16], dtype=dtype, slope=0)
    yield "winograd", convolve(images, residual), torch.relu(expected) + residual

    now, before = image(32, dtype), image(32, dtype)
    raw, flows = image(27 * 16, dtype), torch.randn(2, 2, 13, 30) * 6
    weight, bias = torch.randn(32, 64, 3, 3) / 24, torch.randn(32)
    offset, mask = offsets_and_mask(raw.float(), flows[:1], flows[1:])
    expected = deform_torchvision(torch.cat([now, before], 1).float(), offset, mask, weight, bias)
    ordered = fused.in_offset_order(raw, 16, dim=1).contiguous(memory_format=torch.channels_last)
    align = fused.FusedAlignment(weight, bias, 16, dtype=dtype)
    yield "align", align(now, before, ordered, flows), expected
    yield "warp", fused.warp(now, flows[:1]), warp(now.float(), flows[:1])

    now[...] = float("nan")
    assert fused.warp(now, torch.zeros(1, 2, 13, 30)).isnan().all()

def network(dtype):
    config = NetworkConfig(
        channels=16, blocks=1, deform_groups=4, extract_blocks=1, reconstruct_blocks=1,
        hr_channels=32, spynet=SpynetConfig(levels=3, kernel=3, widths=(8, 8)),
    )
    plain, clip = BasicVSRPP(config), torch.rand(3, 3, 17, 22)
    expected = torch.stack(list(ChunkRun(prepare(copy.deepcopy(plain)), clip)))
    fast = prepare(plain, dtype=dtype, kernels="winograd")
    yield "network", torch.stack(list(ChunkRun(fast, clip))), expected

torch.manual_seed(0)
digest, errors = hashlib.sha256(), {}
for dtype in (torch.float32, torch.bfloat16):
    of_dtype = errors[str(dtype).partition(".")[2]] = {}
    for name, result, expected in [*kernels(dtype), *network(dtype)]:
        difference = (result.float() - expected).abs().max()
        of_dtype[name] = float(difference / (expected.max() - expected.min()))
        if dtype == torch.float32 and name != "network":
            digest.update(result.permute(0, 2, 3, 1).contiguous().numpy())
print(json.dumps([simd.WIDTH, errors, digest.hexdigest()]))
"""

Result = tuple[int, dict[str, dict[str, float]], str]
"""Width of vectors, errors by precision and kernel, digest of what the kernels yield in float32."""


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Result]:
    """What `CODE` prints whose kernels are compiled for a processor."""

    @functools.cache
    def printed(processor: str) -> Result:
        limits = {"NUMBA_CACHE_DIR": str(tmp_path_factory.mktemp("numba"))}
        if processor in PROCESSORS:
            features = PROCESSORS[processor][0]
            limits |= {"NUMBA_CPU_NAME": processor, "NUMBA_CPU_FEATURES": features}
            limits |= {"ONEDNN_MAX_CPU_ISA": "AVX2", "ATEN_CPU_CAPABILITY": "avx2"}
        command, environment = [sys.executable, "-c", CODE], {**os.environ, **limits}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        width, errors, digest = json.loads(done.stdout)
        return width, errors, digest

    return printed


@pytest.mark.slow
@x86
@pytest.mark.parametrize("processor", PROCESSORS)
def test_kernels_are_right_on_other_processors(
    processor: str, result: Callable[[str], Result]
) -> None:
    width, errors, _ = result(processor)
    assert width == PROCESSORS[processor][1]
    for dtype, most in MOST.items():
        assert errors[dtype].keys() == most.keys()
        assert all(errors[dtype][name] < most[name] for name in most), errors


@pytest.mark.slow
@x86
@pytest.mark.skipif("fma" not in features(), reason="multiplies and adds in two steps")
def test_narrow_vectors_change_no_bit(result: Callable[[str], Result]) -> None:
    assert result("haswell")[2] == result("this one")[2]


@pytest.mark.parametrize("processor", aarch64.PROCESSORS)
def test_kernels_for_neon_are_vectors_throughout(processor: str, neon: dict[str, str]) -> None:
    listing = aarch64.assembly(neon["winograd"], processor)
    assert aarch64.scalar_arithmetic(listing) == []
    products = max(aarch64.loops(listing), key=aarch64.multiplications_share)
    assert aarch64.multiplications_share(products) > 0.6
    assert "[sp" not in products
    positions = aarch64.scalar_arithmetic(aarch64.assembly(neon["align"], processor))
    assert positions == ["fadd"] * 4  # of a pixel, moved by both flows


@pytest.fixture(scope="module")
def neon(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """LLVM's own code of kernels, by name, as made for vectors of four and 32 registers."""
    cache = str(tmp_path_factory.mktemp("numba"))
    limits = {"NUMBA_CPU_NAME": "generic", "NUMBA_CPU_FEATURES": "", "NUMBA_CACHE_DIR": cache}
    done = subprocess.run(
        [sys.executable, aarch64.__file__], env={**os.environ, **limits}, capture_output=True,
        text=True, check=True,
    )  # fmt: skip
    return json.loads(done.stdout)
