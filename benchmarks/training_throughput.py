"""Throughput of a training step: a straightforward implementation against ours, in turns.

Usage: python benchmarks/training_throughput.py [--threads 1] [--rounds 3] [--write FILE.md]

Both do the same step on the same batches, with the settings of the prototype that trained the first
compact model: 3 clips of 6 frames, 48x48 patches, bfloat16, Charbonnier loss, gradients clipped at
1, Adam, an average of the weights, denormals flushed. The straightforward one calls the network's
plain forward pass under autocast, in torch's default layout, sampling by `grid_sample`; ours is
what `vsrpp train` runs.

"CPU" is processor time over all threads, which other work on the machine disturbs little; "wall" is
what the clock says. Times are the best of the rounds.
"""

import argparse
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn

from vsrpp_cli.checkpoints.load import load_network
from vsrpp_cli.training.losses import charbonnier
from vsrpp_cli.training.networks import TrainedNetwork
from vsrpp_cli.training.state import Average

ROOT = Path(__file__).parents[1]
BEGIN, END = "<!-- throughput: begin -->", "<!-- throughput: end -->"
CLIPS, FRAMES, PATCH = 3, 6, 48
PIXELS = CLIPS * FRAMES * PATCH * PATCH

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("--threads", type=int, default=1)
parser.add_argument("--rounds", type=int, default=3)
parser.add_argument("--write", type=Path)


class Step:
    """One implementation with its own network, optimiser and average."""

    def __init__(self, forward: Callable[[nn.Module, Tensor], Tensor], *, ours: bool) -> None:
        network = load_network(ROOT / "weights" / "compact-x4.safetensors").train()
        self.network = network.requires_grad_(requires_grad=True)
        self.model = TrainedNetwork(network, precision="bf16") if ours else network
        self.forward = forward
        self.optimiser = torch.optim.Adam(network.parameters(), lr=1e-6, betas=(0.9, 0.99))
        self.average = Average(network, 0.999)

    def __call__(self, low: Tensor, high: Tensor) -> float:
        """Do one step and return its loss."""
        self.optimiser.zero_grad(set_to_none=True)
        loss = charbonnier(self.forward(self.model, low), high, 1e-3)
        loss.backward()
        nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
        self.optimiser.step()
        self.average.update(self.network)
        return float(loss.detach())


def plain(model: nn.Module, low: Tensor) -> Tensor:
    """Run the network's own forward pass under autocast."""
    with torch.autocast("cpu", torch.bfloat16):
        return model(low).float()


def fast(model: nn.Module, low: Tensor) -> Tensor:
    """Run what `vsrpp train` runs."""
    return model(low, "restore")[0]


def main() -> None:
    """Measure in turns and print a table."""
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    import numba  # noqa: PLC0415 - after the threads are set

    numba.set_num_threads(min(arguments.threads, numba.get_num_threads()))
    torch.set_flush_denormal(True)
    torch.manual_seed(0)
    low = torch.rand(CLIPS, FRAMES, 3, PATCH, PATCH)
    high = torch.rand(CLIPS, FRAMES, 3, 4 * PATCH, 4 * PATCH)
    steps = {"straightforward": Step(plain, ours=False), "vsrpp train": Step(fast, ours=True)}
    losses = {name: step(low, high) for name, step in steps.items()}  # also compiles the kernels
    best = {name: [1e9, 1e9] for name in steps}
    for _ in range(arguments.rounds):
        for name, step in steps.items():
            cpu, wall = time.process_time(), time.perf_counter()
            step(low, high)
            spent = (time.process_time() - cpu, time.perf_counter() - wall)
            best[name] = [min(pair) for pair in zip(best[name], spent, strict=True)]
    table = report(best, losses, arguments.threads)
    print(table)
    if arguments.write:
        text = arguments.write.read_text(encoding="utf-8")
        before, after = text.split(BEGIN)[0], text.split(END)[1]
        arguments.write.write_text(f"{before}{BEGIN}\n{table}\n{END}{after}", encoding="utf-8")


def report(best: dict[str, list[float]], losses: dict[str, float], threads: int) -> str:
    """Return the table, as Markdown."""
    lines = [
        f"{CLIPS} clips of {FRAMES} frames, {PATCH}x{PATCH}, bfloat16, threads: {threads}",
        "",
        "| | loss of the first step | CPU s a step | LR pixels a CPU second | LR pixels a second |",
        "|---|---|---|---|---|",
    ]
    for name, (cpu, wall) in best.items():
        rates = f"{PIXELS / cpu:,.0f} | {PIXELS / wall:,.0f}"
        lines.append(f"| {name} | {losses[name]:.5f} | {cpu:.2f} | {rates} |")
    ratio = best["straightforward"][0] / best["vsrpp train"][0]
    return "\n".join([*lines, "", f"ratio of CPU times: {ratio:.2f}"])


if __name__ == "__main__":
    main()
