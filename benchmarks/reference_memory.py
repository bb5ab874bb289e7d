"""Peak memory of the network against the reference: same frames, each in a process of its own.

Usage: python benchmarks/reference_memory.py [--frames 30] [--size 480x270] [--blocks 1]
       [--threads 2]

Measured is the growth of resident memory from the loaded network to the peak. Both networks have
one residual block per branch where the published network has seven: blocks run one after another in
the same memory, so more of them cost only time. Our network yields frames one by one, and they are
not kept, as in the tool; the reference returns all at once. The reference needs an environment of
its own: see reference.py.
"""

import argparse
import resource
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import torch

from reference import moving_clip, reference_network
from vsrpp_cli.backends.select import prepare
from vsrpp_cli.network.basicvsrpp import BasicVSRPP
from vsrpp_cli.network.config import NetworkConfig
from vsrpp_cli.streaming.chunk_run import ChunkRun

SIDES = ("reference", "float32", "bfloat16")


def resident() -> int:
    """Return the resident set of this process in bytes."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize()


@torch.inference_mode()
def child(side: str, given: argparse.Namespace) -> None:
    """Run one side and print what memory grew by, in bytes."""
    torch.set_num_threads(given.threads)
    width, height = (int(part) for part in given.size.split("x"))
    clip = moving_clip(given.frames, width, height)
    small = torch.rand(3, 3, 64, 64)
    if side == "reference":
        network = reference_network(given.blocks)
        network(small[None])
        before = resident()
        network(clip[None])
    else:
        ours = BasicVSRPP(replace(NetworkConfig(), blocks=given.blocks))
        stages = prepare(ours, dtype=getattr(torch, side), kernels="winograd")
        list(ChunkRun(stages, small))
        before = resident()
        for _ in ChunkRun(stages, clip):
            pass
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 - before)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--frames", type=int, default=30)
    parser.add_argument("--size", default="480x270")
    parser.add_argument("--blocks", type=int, default=1)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--child", choices=SIDES)
    given = parser.parse_args()
    if given.child:
        child(given.child, given)
        return
    print(
        f"{given.frames} frames of {given.size}, 64 channels\n\n| | peak | share |\n|---|---|---|"
    )
    grown = {}
    for side in SIDES:
        done = subprocess.run(
            [sys.executable, *sys.argv, "--child", side], check=True, stdout=subprocess.PIPE
        )
        grown[side] = int(done.stdout.split()[-1])
        share = grown[side] / grown["reference"]
        print(f"| {side} | {grown[side] / 1e6:,.0f} MB | {share:.2f} |", flush=True)


if __name__ == "__main__":
    main()
