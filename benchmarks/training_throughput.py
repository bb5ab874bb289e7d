"""Throughput of a training step: a straightforward implementation against ours, in turns.

Usage: python benchmarks/training_throughput.py [--cores 2] [--rounds 5] [--write FILE.md]

Both do the same step on the same batches, with the settings of the prototype that trained the first
compact model: clips of 6 frames, 48x48 patches, bfloat16, Charbonnier loss, gradients clipped at 1,
Adam, an average of the weights, denormals flushed. The straightforward one is one process with a
thread a core that calls the network's plain forward pass under autocast, in the default layout,
sampling by `grid_sample`; ours is what `vsrpp train` runs, a process a core sharing the batch.

"CPU" is processor time over all cores, which other work on the machine disturbs little; "wall" is
what the clock says. Times are the best of the rounds.
"""

import argparse
import multiprocessing
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

ROOT = Path(__file__).parents[1]
BEGIN, END = "<!-- throughput: begin -->", "<!-- throughput: end -->"
FRAMES, PATCH = 6, 48


@dataclass(frozen=True)
class Job:
    """What one process of an implementation does."""

    ours: bool
    rank: int
    processes: int
    threads: int
    clips: int
    """Of the whole batch."""
    port: int


@dataclass
class Measured:
    """The best of the rounds, in seconds, and the loss of the first step."""

    cpu: float = 1e9
    wall: float = 1e9
    loss: float = 0.0


def stepper(job: Job) -> Callable[[], float]:
    """Return a function that does one step and returns its loss."""
    import torch  # noqa: PLC0415
    import torch.distributed as dist  # noqa: PLC0415

    from vsrpp_cli.checkpoints.load import load_network  # noqa: PLC0415
    from vsrpp_cli.training.losses import charbonnier  # noqa: PLC0415
    from vsrpp_cli.training.networks import TrainedNetwork  # noqa: PLC0415
    from vsrpp_cli.training.state import Average  # noqa: PLC0415

    torch.set_num_threads(job.threads)
    torch.set_flush_denormal(True)
    torch.manual_seed(0)
    low = torch.rand(job.clips, FRAMES, 3, PATCH, PATCH)
    high = torch.rand(job.clips, FRAMES, 3, 4 * PATCH, 4 * PATCH)
    low, high = (part[job.rank :: job.processes] for part in (low, high))
    network = load_network(ROOT / "weights" / "compact-x4.safetensors").train()
    network.requires_grad_(requires_grad=True)
    model: torch.nn.Module = TrainedNetwork(network, precision="bf16") if job.ours else network
    if job.processes > 1:
        store = f"tcp://127.0.0.1:{job.port}"
        dist.init_process_group("gloo", store, rank=job.rank, world_size=job.processes)
        model = torch.nn.parallel.DistributedDataParallel(model)
    parameters = network.parameters()
    optimiser = torch.optim.Adam(parameters, lr=1e-6, betas=(0.9, 0.99), fused=job.ours)
    average = Average(network, 0.999)

    def step() -> float:
        optimiser.zero_grad(set_to_none=True)
        if job.ours:
            restored = model(low, "restore")[0]
        else:
            with torch.autocast("cpu", torch.bfloat16):
                restored = model(low).float()
        loss = charbonnier(restored, high, 1e-3)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimiser.step()
        average.update(network)
        return float(loss.detach())

    return step


def child(job: Job, pipe: Connection) -> None:
    """Do a step whenever asked, and answer with its loss and processor seconds."""
    step = stepper(job)
    while pipe.recv():
        before = time.process_time()
        loss = step()
        pipe.send((loss, time.process_time() - before))


class Implementation:
    """The processes of one implementation, waiting for work."""

    def __init__(self, *, ours: bool, processes: int, threads: int, clips: int) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        context = multiprocessing.get_context("spawn")
        self.pipes, self.children = [], []
        for rank in range(processes):
            ours_end, theirs = context.Pipe()
            job = Job(ours, rank, processes, threads, clips, port)
            self.children.append(context.Process(target=child, args=(job, theirs), daemon=True))
            self.children[-1].start()
            self.pipes.append(ours_end)
        self.best = Measured()
        self.best.loss = self.step()[0]  # also compiles the kernels

    def step(self) -> tuple[float, float, float]:
        """Do one step; return the mean loss, processor seconds and seconds by the clock."""
        began = time.perf_counter()
        for pipe in self.pipes:
            pipe.send(True)
        losses, seconds = zip(*(pipe.recv() for pipe in self.pipes), strict=True)
        return sum(losses) / len(losses), sum(seconds), time.perf_counter() - began

    def measure(self) -> None:
        """Do one step and keep its times if they are the best so far."""
        _, cpu, wall = self.step()
        self.best.cpu, self.best.wall = min(self.best.cpu, cpu), min(self.best.wall, wall)

    def close(self) -> None:
        """End the processes."""
        for pipe in self.pipes:
            pipe.send(False)
        for process in self.children:
            process.join()


def report(found: dict[str, Implementation], cores: int, clips: int) -> str:
    """Return the table, as Markdown."""
    pixels = clips * FRAMES * PATCH * PATCH
    lines = [
        f"{clips} clips of {FRAMES} frames, {PATCH}x{PATCH}, bfloat16, cores: {cores}",
        "",
        "| | loss of the first step | CPU s a step | s a step | LR pixels a second |",
        "|---|---|---|---|---|",
    ]
    for name, one in found.items():
        best = one.best
        lines.append(
            f"| {name} | {best.loss:.5f} | {best.cpu:.2f} | {best.wall:.2f} "
            f"| {pixels / best.wall:,.0f} |"
        )
    plain, ours = (one.best for one in found.values())
    ratios = f"{plain.wall / ours.wall:.2f} by the clock, {plain.cpu / ours.cpu:.2f} by CPU time"
    return "\n".join([*lines, "", f"ratio: {ratios}"])


def main() -> None:
    """Measure in turns and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cores", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--clips", type=int, help="in a batch; default: 2 a core")
    parser.add_argument("--write", type=Path)
    given = parser.parse_args()
    clips = given.clips or 2 * given.cores
    found = {
        "straightforward": Implementation(
            ours=False, processes=1, threads=given.cores, clips=clips
        ),
        "vsrpp train": Implementation(ours=True, processes=given.cores, threads=1, clips=clips),
    }
    for _ in range(given.rounds):
        for one in found.values():
            one.measure()
    table = report(found, given.cores, clips)
    for one in found.values():
        one.close()
    print(table)
    if given.write:
        text = given.write.read_text(encoding="utf-8")
        before, after = text.split(BEGIN)[0], text.split(END)[1]
        given.write.write_text(f"{before}{BEGIN}\n{table}\n{END}{after}", encoding="utf-8")


if __name__ == "__main__":
    main()
