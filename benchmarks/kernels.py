"""The CPU kernels against torch's and torchvision's, in turns.

Usage: python benchmarks/kernels.py [--size 320x180] [--threads 2] [--rounds 3]
       [--write docs/benchmarks.md]

Times are the best of the rounds: processor time over all threads, and wall time.
"""

import argparse
import time
from collections.abc import Callable
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor
from torchvision.ops import deform_conv2d

from vsrpp_cli.backends.cpu_layers import LibraryConv
from vsrpp_cli.kernels import fused
from vsrpp_cli.network.alignment import offsets_and_mask
from vsrpp_cli.network.warp import warp

BEGIN, END = "<!-- kernels: begin -->", "<!-- kernels: end -->"
Work = Callable[[], Tensor]


def image(channels: int, height: int, width: int, dtype: torch.dtype) -> Tensor:
    """Return noise in channels-last memory."""
    x = torch.randn(1, channels, height, width).to(dtype)
    return x.contiguous(memory_format=torch.channels_last)


def alignment_pair(height: int, width: int, dtype: torch.dtype) -> tuple[Work, Work]:
    """Return torchvision's deformable convolution, offsets ready, and ours, from raw offsets on."""
    last, before = image(64, height, width, dtype), image(64, height, width, dtype)
    raw = image(432, height, width, torch.float32).mul_(0.1).to(dtype)
    flows = 3 + 0.2 * torch.randn(2, 2, height, width)
    weight, bias = torch.randn(64, 128, 3, 3) / 34, torch.randn(64)
    offset, mask = offsets_and_mask(raw.float(), flows[:1], flows[1:])
    both = torch.cat([last, before], dim=1).float().contiguous()
    ordered = fused.in_offset_order(raw, 16, dim=1).contiguous(memory_format=torch.channels_last)
    align = fused.FusedAlignment(weight, bias, 16, dtype=dtype)
    return (
        lambda: deform_conv2d(both, offset, weight, bias, padding=1, mask=mask),
        lambda: align(last, before, ordered, flows),
    )


def convolution_pair(height: int, width: int, dtype: torch.dtype) -> tuple[Work, Work]:
    """Return oneDNN's 64 to 64 convolution with leaky ReLU and ours."""
    x, weight, bias = (
        image(64, height, width, dtype),
        torch.randn(64, 64, 3, 3) / 24,
        torch.randn(64),
    )
    library = LibraryConv(weight, bias, [64], dtype=dtype, slope=0.1)
    winograd = fused.WinogradConv(weight, bias, [64], dtype=dtype, slope=0.1)
    return lambda: library([x]), lambda: winograd([x])


def shuffle_pair(height: int, width: int, dtype: torch.dtype) -> tuple[Work, Work]:
    """Return a convolution to 256 channels, pixel shuffle and leaky ReLU by torch, and ours."""
    x, weight, bias = (
        image(64, height, width, dtype),
        torch.randn(256, 64, 3, 3) / 24,
        torch.zeros(256),
    )
    w, b = weight.to(dtype).contiguous(memory_format=torch.channels_last), bias.to(dtype)
    ours = fused.WinogradConv(weight, bias, [64], dtype=dtype, slope=0.1, shuffled=True)
    return (
        lambda: F.leaky_relu_(F.pixel_shuffle(F.conv2d(x, w, b, padding=1), 2), 0.1),
        lambda: ours([x]),
    )


def warp_pair(height: int, width: int, dtype: torch.dtype) -> tuple[Work, Work]:
    """Return warping of 64 channels by torch's grid sampling and ours."""
    x, flow = image(64, height, width, dtype), 3 + 0.2 * torch.randn(1, 2, height, width)
    return lambda: warp(x, flow), lambda: fused.warp(x, flow)


PAIRS = {
    "deformable alignment, 128 to 64 channels, 16 groups, against torchvision's": alignment_pair,
    "3x3 convolution, 64 to 64 channels, leaky ReLU, against oneDNN's": convolution_pair,
    "3x3 convolution, 64 to 256 channels, pixel shuffle, leaky ReLU, against torch's": shuffle_pair,
    "warp, 64 channels, against grid_sample": warp_pair,
}


def seconds(work: Work, rounds: int) -> tuple[float, float]:
    """Return the least processor time and the least wall time."""
    work()
    rows = []
    for _ in range(rounds):
        cpu, wall = time.process_time(), time.perf_counter()
        work()
        rows.append((time.process_time() - cpu, time.perf_counter() - wall))
    return min(row[0] for row in rows), min(row[1] for row in rows)


@torch.inference_mode()
def main() -> None:
    """Measure and print, or write, a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", default="320x180")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--write", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    width, height = (int(side) for side in arguments.size.split("x"))
    lines = [
        f"{width}x{height}, {arguments.threads} threads, milliseconds, best of {arguments.rounds}:",
        "",
        "| | theirs: CPU, wall | ours: CPU, wall | faster by CPU, by wall |",
        "|---|---|---|---|",
    ]
    for label, make in PAIRS.items():
        for dtype in (torch.float32, torch.bfloat16):
            (cpu, wall), (our_cpu, our_wall) = (
                seconds(work, arguments.rounds) for work in make(height, width, dtype)
            )
            lines.append(
                f"| {label}, {str(dtype)[6:]} | {cpu * 1e3:.0f}, {wall * 1e3:.0f} "
                f"| {our_cpu * 1e3:.1f}, {our_wall * 1e3:.1f} "
                f"| {cpu / our_cpu:.1f}x, {wall / our_wall:.1f}x |"
            )
    text = "\n".join(lines)
    print(text)
    if arguments.write:
        before, _, rest = arguments.write.read_text().partition(BEGIN)
        arguments.write.write_text(f"{before}{BEGIN}\n{text}\n{END}{rest.partition(END)[2]}")


if __name__ == "__main__":
    main()
