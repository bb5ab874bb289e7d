"""The network against the reference implementation: same weights, same frames, in turns.

Usage: python benchmarks/network.py [--frames 10] [--size 320x180] [--rounds 2] [--threads 2]
       [--isa AVX512_CORE|AVX2] [--without-reference] [--write docs/benchmarks.md]

The reference needs an environment of its own: see reference.py.

Times are the best of the rounds. "CPU" is processor time over all threads, which other work on
the machine disturbs little; "wall" is what the clock says, worth something on a quiet machine only.
`--isa` limits oneDNN, and for AVX2 our own kernels too.
"""

import argparse
import os
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("--frames", type=int, default=10)
parser.add_argument("--size", default="320x180")
parser.add_argument("--rounds", type=int, default=2)
parser.add_argument("--threads", type=int, default=2)
parser.add_argument("--isa", choices=["AVX512_CORE", "AVX2"])
parser.add_argument("--without-reference", action="store_true")
parser.add_argument("--write", type=Path)
arguments = parser.parse_args()
if arguments.isa:  # both are read when the libraries are loaded
    os.environ["ONEDNN_MAX_CPU_ISA"] = arguments.isa
    if arguments.isa == "AVX2":
        os.environ["ATEN_CPU_CAPABILITY"] = "avx2"
        os.environ["NUMBA_CPU_NAME"] = "haswell"
        os.environ["NUMBA_CPU_FEATURES"] = "+avx,+avx2,+fma,+bmi,+bmi2,+f16c,+lzcnt,+popcnt"

os.environ.setdefault("GOMP_SPINCOUNT", "1000")  # as the command line does; for both sides

import torch  # noqa: E402
import torch.nn.functional as F  # noqa: E402
from torch import Tensor, nn  # noqa: E402

from reference import moving_clip, reference_network, set_weights  # noqa: E402
from vsrpp_cli.backends.select import Kernels, prepare  # noqa: E402
from vsrpp_cli.checkpoints.load import load_network  # noqa: E402
from vsrpp_cli.network.alignment import Alignment  # noqa: E402
from vsrpp_cli.network.basicvsrpp import BasicVSRPP  # noqa: E402
from vsrpp_cli.streaming.chunk_run import ChunkRun  # noqa: E402
from vsrpp_cli.streaming.stages import Stages  # noqa: E402

ROOT = Path(__file__).parents[1]
BEGIN, END = "<!-- network{}: begin -->", "<!-- network{}: end -->"


def convolutions(network: BasicVSRPP, clip: Tensor) -> Counter[tuple[int, ...]]:
    """Count the convolutions (c_in, c_out, kernel, stride, h, w) of a clip, deformable ones too."""
    counts: Counter[tuple[int, ...]] = Counter()

    def see(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        if isinstance(module, nn.Conv2d):
            shape = (*module.weight.shape[1::-1], module.kernel_size[0], module.stride[0])
            counts[(*shape, *inputs[0].shape[-2:])] += inputs[0].shape[0]
        else:
            shape = (9 * inputs[0].shape[1], output.shape[1], 1, 1)
            counts[(*shape, *output.shape[-2:])] += 1

    hooks = [
        m.register_forward_hook(see)
        for m in network.modules()
        if isinstance(m, nn.Conv2d | Alignment)
    ]
    list(ChunkRun(network, clip))
    for hook in hooks:
        hook.remove()
    return counts


def convolutions_alone(counts: Counter[tuple[int, ...]], dtype: torch.dtype) -> float:
    """Return the processor time all these convolutions take by themselves, channels-last."""
    total = 0.0
    for (c_in, c_out, kernel, stride, height, width), count in counts.items():
        x = torch.randn(1, c_in, height, width).to(dtype)
        x = x.contiguous(memory_format=torch.channels_last)
        weight = torch.randn(c_out, c_in, kernel, kernel).to(dtype)
        weight = weight.contiguous(memory_format=torch.channels_last)
        F.conv2d(x, weight, stride=stride, padding=kernel // 2)
        repeat = min(count, 4)
        begin = time.process_time()
        for _ in range(repeat):
            F.conv2d(x, weight, stride=stride, padding=kernel // 2)
        total += (time.process_time() - begin) * count / repeat
    return total


def measured(work: Callable[[], Tensor]) -> tuple[float, float, Tensor]:
    """Return processor time, wall time and the result."""
    cpu, wall = time.process_time(), time.perf_counter()
    result = work()
    return time.process_time() - cpu, time.perf_counter() - wall, result


def prepared(name: str, dtype: torch.dtype, kernels: Kernels) -> Stages:
    """Return a network of ours, ready to run, its kernels compiled."""
    if name == "compact":
        network = load_network(ROOT / "weights" / "compact-x4.safetensors")
    else:
        network = BasicVSRPP()
        set_weights(network)
    stages = prepare(network, dtype=dtype, kernels=kernels)
    list(ChunkRun(stages, torch.rand(3, 3, 64, 64)))
    return stages


def candidates() -> dict[str, Stages]:
    """Return what takes its turn beside the reference."""
    if arguments.isa:
        return {
            "64 channels, float32, winograd": prepared("64", torch.float32, "winograd"),
            "64 channels, float32, fused": prepared("64", torch.float32, "fused"),
            "compact, float32, winograd": prepared("compact", torch.float32, "winograd"),
        }
    return {
        "64 channels, bfloat16, winograd": prepared("64", torch.bfloat16, "winograd"),
        "64 channels, bfloat16, fused": prepared("64", torch.bfloat16, "fused"),
        "64 channels, float32, winograd": prepared("64", torch.float32, "winograd"),
        "compact, bfloat16, winograd": prepared("compact", torch.bfloat16, "winograd"),
    }


def psnr(result: Tensor, expected: Tensor) -> float:
    """Return the PSNR of pictures whose peak is 1, in dB."""
    return float(-10 * torch.log10((result - expected).square().mean()))


@torch.inference_mode()
def main() -> None:
    """Measure and print, or write, a table."""
    torch.set_num_threads(arguments.threads)
    width, height = (int(side) for side in arguments.size.split("x"))
    clip = moving_clip(arguments.frames, width, height)
    networks = candidates()
    work: dict[str, Callable[[], Tensor]] = {}
    if not arguments.without_reference:
        reference = reference_network()
        work["reference, float32"] = lambda: reference(clip[None])[0]
    for label, network in networks.items():
        work[label] = lambda network=network: torch.stack(list(ChunkRun(network, clip)))
    best: dict[str, tuple[float, float, Tensor]] = {}
    for _ in range(arguments.rounds):
        for label, run in work.items():
            row = measured(run)
            before = best.get(label, row)
            best[label] = (min(row[0], before[0]), min(row[1], before[1]), row[2])
            print(f"{label}: CPU {row[0]:.1f} s, wall {row[1]:.1f} s", file=sys.stderr)
    lines = table(best, arguments.frames)
    plain = BasicVSRPP()
    set_weights(plain)
    prepare(plain)
    few = clip[:3]
    counts = convolutions(plain, few)
    for dtype in [torch.float32] if arguments.isa else [torch.bfloat16, torch.float32]:
        alone = convolutions_alone(counts, dtype) / len(few)
        lines.append(f"| convolutions alone, oneDNN, {str(dtype)[6:]} | {alone:.2f} | | | |")
    publish(lines, width, height)


def table(best: dict[str, tuple[float, float, Tensor]], frames: int) -> list[str]:
    """Return the rows: seconds a frame, and how many times faster than the first row."""
    lines = [
        "| | CPU s a frame | wall s a frame | faster by CPU, by wall | against float32 |",
        "|---|---|---|---|---|",
    ]
    first = next(iter(best.values()))
    for label, (cpu, wall, result) in best.items():
        exact = "compact" not in label and result is not first[2]
        range_ = float(first[2].max() - first[2].min())
        error = float((result - first[2]).abs().max()) / range_
        quality = f"{psnr(result, first[2]):.1f} dB, at most {error:.0e} of the range"
        lines.append(
            f"| {label} | {cpu / frames:.2f} | {wall / frames:.2f} "
            f"| {first[0] / cpu:.1f}x, {first[1] / wall:.1f}x | {quality if exact else ''} |"
        )
    return lines


def publish(lines: list[str], width: int, height: int) -> None:
    """Print the table, or put it in place of the last one of its kind in a document."""
    limit = f", oneDNN limited to {arguments.isa}" if arguments.isa else ""
    head = (
        f"{arguments.frames} frames of {width}x{height}, {arguments.threads} threads, "
        f"torch {torch.__version__.split('+')[0]}{limit}, best of {arguments.rounds}:"
    )
    text = "\n".join([head, "", *lines])
    print(text)
    if arguments.write:
        replace_block(arguments.write, f"-{arguments.isa}" if arguments.isa else "", text)


def replace_block(document: Path, kind: str, text: str) -> None:
    """Put `text` between the marks of its kind."""
    whole: Any = document.read_text()
    begin, end = BEGIN.format(kind), END.format(kind)
    before, _, rest = whole.partition(begin)
    _, _, after = rest.partition(end)
    document.write_text(f"{before}{begin}\n{text}\n{end}{after}")


if __name__ == "__main__":
    main()
