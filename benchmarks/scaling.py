"""Measures how the network's speed scales with threads, and a run's with worker processes.

Usage: python benchmarks/scaling.py [--size 320x180] [--frames 6] [--most CORES] [--rounds 3]
       [--model compact]

Each number of threads has a process of its own and computes the same frames at the default
precision; worker processes (one thread each, as with `--workers`) each compute a copy of the clip
at the same time. Times are the best of the rounds.
"""

import argparse
import json
import os
import subprocess
import sys
import time

os.environ.setdefault("GOMP_SPINCOUNT", "1000")  # as the command line does

import torch

from reference import moving_clip
from vsrpp_cli.backends.select import prepare
from vsrpp_cli.checkpoints.download import resolve_chain
from vsrpp_cli.checkpoints.load import load_network
from vsrpp_cli.inference.machine.device import (
    DTYPES,
    choose_kernels,
    default_threads,
    resolve_precision,
)
from vsrpp_cli.streaming.chunk_run import ChunkRun

CPU = torch.device("cpu")


def child(given: argparse.Namespace) -> None:
    """Print wall and processor seconds a frame."""
    torch.set_num_threads(given.child)
    width, height = (int(side) for side in given.size.split("x"))
    (model,) = resolve_chain(given.model, offline=True)
    network = load_network(model.path)
    precision = resolve_precision("auto", CPU)
    kernels = choose_kernels(CPU, precision, network.config)
    stages = prepare(network, dtype=DTYPES[precision], kernels=kernels)
    clip = moving_clip(given.frames, width, height)
    list(ChunkRun(stages, clip[:2]))
    best = [1e9, 1e9]
    for _ in range(given.rounds):
        wall, cpu = time.perf_counter(), time.process_time()
        for _ in ChunkRun(stages, clip):
            pass
        spent = time.perf_counter() - wall, time.process_time() - cpu
        best = [min(pair) for pair in zip(best, spent, strict=True)]
    print(json.dumps([seconds / given.frames for seconds in best]))


def start(threads: int) -> subprocess.Popen:
    """Start a process that measures with so many threads."""
    command = [sys.executable, *sys.argv, "--child", str(threads)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def result(process: subprocess.Popen) -> tuple[float, float]:
    """Return wall and processor seconds a frame that a process printed."""
    wall, cpu = json.loads(process.communicate()[0])
    return wall, cpu


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", default="320x180")
    parser.add_argument("--frames", type=int, default=6)
    parser.add_argument("--most", type=int, default=default_threads())
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--model", default="compact")
    parser.add_argument("--child", type=int)
    given = parser.parse_args()
    if given.child:
        child(given)
        return
    print(f"{given.model}, {given.size}\n")
    print("| | frames a second | speed-up | CPU s a frame |\n|---|---|---|---|")
    alone = 0.0
    for threads in range(1, given.most + 1):
        wall, cpu = result(start(threads))
        alone = alone or wall
        print(f"| threads: {threads} | {1 / wall:.2f} | {alone / wall:.2f} | {cpu:.2f} |")
    several = [result(process) for process in [start(1) for _ in range(given.most)]]
    rate = sum(1 / wall for wall, _ in several)
    cpu = sum(cpu for _, cpu in several) / len(several)
    print(f"| workers: {given.most} | {rate:.2f} | {alone * rate:.2f} | {cpu:.2f} |")


if __name__ == "__main__":
    main()
