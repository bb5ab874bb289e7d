"""The network against the reference implementation: same weights, same frames, in turns.

Usage: python benchmarks/network.py [--frames 10] [--size 320x180] [--rounds 2] [--threads 2]
       [--isa AVX512_CORE|AVX2] [--without-reference] [--write docs/benchmarks.md]

The reference is the network module of PyPI's vsbasicvsrpp==3.0.0, in an environment of its own:

    python -m venv --system-site-packages /tmp/reference
    /tmp/reference/bin/pip install --no-deps vsbasicvsrpp==3.0.0 mmengine yapf platformdirs \
        addict rich termcolor opencv-python-headless

Times are the best of the rounds. "CPU" is processor time over all threads, which other work on
the machine disturbs little; "wall" is what the clock says, worth something on a quiet machine only.
`--isa` limits oneDNN, and for AVX2 our own kernels too.
"""

import argparse
import hashlib
import importlib
import importlib.util
import os
import sys
import time
import types
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

from vsrpp_cli.checkpoints.load import load_network  # noqa: E402
from vsrpp_cli.network.alignment import Alignment  # noqa: E402
from vsrpp_cli.network.basicvsrpp import BasicVSRPP, Kernels  # noqa: E402

ROOT = Path(__file__).parents[1]
BEGIN, END = "<!-- network{}: begin -->", "<!-- network{}: end -->"


def reference_network() -> nn.Module:
    """Return the reference's 64-channel network, without running its package's __init__."""
    found = importlib.util.find_spec("vsbasicvsrpp")
    if found is None or not found.submodule_search_locations:
        sys.exit("vsbasicvsrpp is not installed; see the usage")
    package = types.ModuleType("vsbasicvsrpp")
    package.__path__ = list(found.submodule_search_locations)
    sys.modules["vsbasicvsrpp"] = package
    importlib.import_module("vsbasicvsrpp.hack_registry")
    module = importlib.import_module("vsbasicvsrpp.basicvsr_plusplus_net")
    network: nn.Module = module.BasicVSRPlusPlusNet(64, 7).eval()
    return network


def set_weights(network: nn.Module) -> None:
    """Give every parameter values that follow from its name, as large as training leaves them.

    Residual branches are scaled by 0.1, as published networks are initialised.
    """
    for name, parameter in network.named_parameters():
        seed = int.from_bytes(hashlib.sha256(name.encode()).digest()[:4], "little")
        generator = torch.Generator().manual_seed(seed)
        noise = torch.randn(parameter.shape, generator=generator)
        fan_in = parameter[0].numel() if parameter.dim() > 1 else 10000
        scale = 0.1 if "conv2" in name or "conv_last" in name else 1.0
        parameter.data = noise * scale / fan_in**0.5


def moving_clip(frames: int, width: int, height: int) -> Tensor:
    """Return a picture with detail of every size, (T, 3, H, W), that moves 1.5 pixels a frame."""
    generator = torch.Generator().manual_seed(0)
    wide = torch.zeros(1, 3, 2 * height, 2 * width + 4 * frames)
    for step in (2, 5, 16, 60):
        shape = (1, 3, wide.shape[-2] // step + 1, wide.shape[-1] // step + 1)
        part = torch.rand(shape, generator=generator)
        wide += F.interpolate(part, wide.shape[-2:], mode="bilinear") / 4
    moved = [wide[:, :, :, 3 * i : 3 * i + 2 * width] for i in range(frames)]
    return torch.cat([F.avg_pool2d(frame, 2) for frame in moved])


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
    list(network.run(clip))
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


def prepared(name: str, dtype: torch.dtype, kernels: Kernels) -> BasicVSRPP:
    """Return a network of ours, ready to run, its kernels compiled."""
    if name == "compact":
        network = load_network(ROOT / "weights" / "compact-x4.safetensors")
    else:
        network = BasicVSRPP()
        set_weights(network)
    network.prepare(dtype=dtype, kernels=kernels)
    list(network.run(torch.rand(3, 3, 64, 64)))
    return network


def candidates() -> dict[str, BasicVSRPP]:
    """Return what takes its turn beside the reference."""
    if arguments.isa == "AVX2":
        return {"64 channels, float32, fused": prepared("64", torch.float32, "fused")}
    if arguments.isa:
        return {
            "64 channels, float32, winograd": prepared("64", torch.float32, "winograd"),
            "64 channels, float32, fused": prepared("64", torch.float32, "fused"),
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
        set_weights(reference)
        work["reference, float32"] = lambda: reference(clip[None])[0]
    for label, network in networks.items():
        work[label] = lambda network=network: torch.stack(list(network.run(clip)))
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
    few = clip[:3]
    counts = convolutions(plain.prepare(), few)
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
