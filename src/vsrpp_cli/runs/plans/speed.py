"""A rough prediction of computing time, to cut segments and to tell users what to expect."""

from collections.abc import Sequence

from vsrpp_cli.inference.session import ComputeSpec
from vsrpp_cli.media.types import SourceInfo
from vsrpp_cli.network.config import AnyConfig, BasicVSRConfig, NetworkConfig

MACS_PER_SECOND = {
    ("cpu", "fp32"): 55e9,
    ("cpu", "bf16"): 90e9,
    ("cpu", "fp16"): 10e9,
    ("cuda", "fp32"): 5e12,
    ("cuda", "fp16"): 20e12,
    ("cuda", "bf16"): 20e12,
    ("mps", "fp32"): 1e12,
    ("mps", "fp16"): 2e12,
}
"""Multiply-adds a second; on CPUs for each thread. Rough: machines differ severalfold."""


def macs_per_pixel(config: AnyConfig) -> float:
    """Return the multiply-adds of one frame for each pixel of its features."""
    if isinstance(config, BasicVSRConfig):
        return _basicvsr(config) + _upsampling(config)
    return _basicvsrpp(config) + _upsampling(config)


def _basicvsrpp(config: NetworkConfig) -> float:
    """Return the multiply-adds before upsampling (arXiv 2104.13371)."""
    c, square = config.channels, 9 * config.channels**2
    branches = sum(
        square * (config.blocks * 2 + extra + 2 + 2)  # blocks, first convolution, deformable
        + 9 * c * (3 * c + 4)  # conv_offset: first layer
        + 2 * square  # ... its middle layers
        + 9 * c * 27 * config.deform_groups
        for extra in (2, 3, 4, 5)
    )
    spatial = square * 2 * config.extract_blocks
    tail = square * (5 + 2 * config.reconstruct_blocks)
    return branches + spatial + tail


def _basicvsr(config: BasicVSRConfig) -> float:
    """Return the multiply-adds before upsampling; each frame is taken as cleaned once."""
    c, square = config.channels, 9 * config.channels**2
    branches = 2 * (square * (1 + 2 * config.blocks) + 27 * c)
    cleaning = 2 * square * config.cleaning_blocks + 54 * c * bool(config.cleaning_blocks)
    return branches + cleaning + 2 * c**2


def _upsampling(config: AnyConfig) -> float:
    c, hr = config.channels, config.hr_channels
    return 9 * c**2 * 4 + 9 * c * 4 * hr * 4 + 16 * 9 * hr**2


def seconds_per_frame(
    info: SourceInfo, configs: Sequence[AnyConfig], compute: ComputeSpec
) -> float:
    """Return the predicted seconds of computing a frame."""
    kind = compute.device.partition(":")[0]
    rate = MACS_PER_SECOND.get((kind, compute.precision), 1e11)
    if kind == "cpu":
        rate *= compute.threads
    width, height, macs = info.width, info.height, 0.0
    for config in configs:
        shrink = 16 if config.same_size else 1
        macs += macs_per_pixel(config) * width * height / shrink
        width, height = width * config.scale, height * config.scale
    return macs * (8 if compute.ensemble else 1) / rate
