"""Cost of the guard (checks of the network's output): its share of a run's CPU time.

    python benchmarks/guard.py [--model compact] [--size 320x180] [--frames 12] [--turns 5]

CPU time of the process is counted, so that a busy machine does not matter. Differences of whole
runs are noisier than the guard is expensive; the share is measured inside a run by a clock around
each look of the guard.
"""

import argparse
import functools
import time

import numpy as np
import torch

from vsrpp_cli.checkpoints.download import resolve_chain
from vsrpp_cli.checkpoints.load import load_network
from vsrpp_cli.inference import guarded
from vsrpp_cli.inference.engine import Engine
from vsrpp_cli.inference.guard import Guard
from vsrpp_cli.inference.machine.device import resolve_precision
from vsrpp_cli.planning.chunks import Chunk

LOOKS = [(guarded, "look"), (Guard, "fault"), (Guard, "drift")]
"""All that the guard does."""


class Clock:
    """Adds up the CPU time spent within functions."""

    def __init__(self):
        self.seconds = 0.0
        self.calls = 0

    def around(self, operation):
        """Return `operation` with the clock running while it does."""

        @functools.wraps(operation)
        def timed(*args, **kwargs):
            started = time.process_time()
            try:
                return operation(*args, **kwargs)
            finally:
                self.seconds += time.process_time() - started
                self.calls += 1

        return timed


def run_seconds(engine, frames):
    """Return the CPU seconds of one chunk through the engine."""
    started = time.process_time()
    for _ in engine.upscale(iter(frames), [Chunk(0, len(frames), 0, len(frames))]):
        pass
    return time.process_time() - started


def engine_of(network, precision, threads, *, guard):
    """Return an engine with or without the guard."""
    return Engine(
        [network], device=torch.device("cpu"), precision=precision, threads=threads, guard=guard
    )


def share(network, precision, threads, frames, turns):
    """Return the guard's share of the CPU time of the best run, and its seconds a frame."""
    engine, best = engine_of(network, precision, threads, guard=True), None
    originals = [(owner, name, getattr(owner, name)) for owner, name in LOOKS]
    for _ in range(turns + 1):  # the first one compiles kernels and warms up
        clock = Clock()
        for owner, name, operation in originals:
            setattr(owner, name, clock.around(operation))
        total = run_seconds(engine, frames)
        assert clock.calls >= 2 * len(frames)
        if best is None or clock.seconds / total < best[0]:
            best = clock.seconds / total, clock.seconds / len(frames), total / len(frames)
    for owner, name, operation in originals:
        setattr(owner, name, operation)
    return best


def in_turns(network, precision, threads, frames, turns):
    """Return the least CPU seconds a frame with and without the guard, measured alternately."""
    engines = [engine_of(network, precision, threads, guard=on) for on in (True, False)]
    times = [[], []]
    for _ in range(turns):
        for engine, taken in zip(engines, times, strict=True):
            taken.append(run_seconds(engine, frames) / len(frames))
    return [min(taken) for taken in times]


def main():
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="compact")
    parser.add_argument("--size", default="320x180")
    parser.add_argument("--frames", type=int, default=12)
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    given = parser.parse_args()
    width, height = map(int, given.size.split("x"))
    network = load_network(resolve_chain(given.model, device_kind="cpu", offline=True)[0].path)
    noise = np.random.default_rng(1)
    frames = [noise.random((3, height, width), dtype=np.float32) for _ in range(given.frames)]
    print("| precision | CPU s a frame | of it the guard | share | run with, without it |")
    print("|---|---|---|---|---|")
    for precision in dict.fromkeys([resolve_precision("auto", torch.device("cpu")), "fp32"]):
        part, guard, frame = share(network, precision, given.threads, frames, given.turns)
        on, off = in_turns(network, precision, given.threads, frames, given.turns)
        print(
            f"| {precision} | {frame:.3f} | {1000 * guard:.2f} ms | {100 * part:.2f} % | "
            f"{on:.3f}, {off:.3f} s |",
            flush=True,
        )


if __name__ == "__main__":
    main()
