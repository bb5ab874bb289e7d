"""Peak memory of computing a chunk, measured against what the planner predicts.

    python benchmarks/memory.py [--rows N]

Each size runs in a process of its own, which reports the peak of its resident set. Networks have
one residual block where the real ones have more: that costs time, not memory. Prints the table of
the section "Memory" of docs/benchmarks.md.
"""

import argparse
import json
import resource
import subprocess
import sys
from dataclasses import replace

import numpy as np
import torch

from vsrpp_cli.inference.engine import Engine
from vsrpp_cli.network.basicvsrpp import BasicVSRPP
from vsrpp_cli.network.config import NetworkConfig, SpynetConfig
from vsrpp_cli.planning.budget import Work, predict_engine
from vsrpp_cli.planning.chunks import Chunk

SIZES = [
    # network, precision, width, height, frames, tile
    ("compact", "bf16", 320, 180, 3, None),
    ("compact", "bf16", 320, 180, 12, None),
    ("compact", "bf16", 480, 270, 3, None),
    ("compact", "bf16", 640, 360, 2, None),
    ("compact", "bf16", 480, 270, 3, (256, 270)),
    ("compact", "fp32", 320, 180, 4, None),
    ("compact", "fp32", 480, 270, 2, None),
    ("64 channels", "bf16", 320, 180, 4, None),
    ("64 channels", "bf16", 480, 270, 2, None),
    ("64 channels", "fp32", 320, 180, 3, None),
    ("64 channels", "fp32", 320, 180, 4, (176, 180)),
]


def work_of(row):
    """Return what the planner is told about a row, and how many frames its chunk has."""
    config = NetworkConfig()
    if row[0] == "compact":
        config = NetworkConfig(
            channels=32,
            deform_groups=8,
            hr_channels=32,
            spynet=SpynetConfig(levels=5, kernel=5, widths=(16, 32, 16, 8)),
        )
    config = replace(config, blocks=1, extract_blocks=1, reconstruct_blocks=1)
    return Work(width=row[2], height=row[3], networks=(config,), precision=row[1], weights=0)


def child(row):
    """Compute one chunk and print the peak of the resident set in bytes."""
    work = work_of(row)
    _, precision, width, height, count, tile = row
    network = BasicVSRPP(work.networks[0])
    engine = Engine(
        [network], device=torch.device("cpu"), precision=precision, threads=1,
        tile=tile and tuple(tile),
    )  # fmt: skip
    noise = np.random.default_rng(1)
    frames = (noise.random((3, height, width), dtype=np.float32) for _ in range(count))
    # One kept frame shows the peak as well as all, but where tiles are put together.
    kept = count if tile else 1
    for _ in engine.upscale(frames, [Chunk(0, count, 0, kept)]):
        pass
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)


def measure(row):
    """Return measured and predicted bytes of a row."""
    done = subprocess.run(
        [sys.executable, __file__, "--child", json.dumps(row)],
        check=True,
        capture_output=True,
        text=True,
    )
    work = work_of(row)
    return int(done.stdout), predict_engine(work, row[4], row[5], 16).host


def main():
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--child")
    parser.add_argument("--rows", type=int, default=len(SIZES))
    given = parser.parse_args()
    if given.child:
        child(json.loads(given.child))
        return
    print("| network | precision | input | frames | tile | measured | predicted | error |")
    print("|---|---|---|---|---|---|---|---|")
    for row in SIZES[: given.rows]:
        measured, predicted = measure(row)
        network, precision, width, height, count, tile = row
        print(
            f"| {network} | {precision} | {width}x{height} | {count} | "
            f"{'x'.join(map(str, tile)) if tile else 'none'} | {measured / 1e6:.0f} MB | "
            f"{predicted / 1e6:.0f} MB | {100 * (predicted / measured - 1):+.0f} % |",
            flush=True,
        )


if __name__ == "__main__":
    main()
