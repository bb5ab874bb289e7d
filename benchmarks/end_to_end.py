"""A whole run against the network alone: what decoding, encoding, joining and verifying cost.

Usage: python benchmarks/end_to_end.py [CLIP] [--model compact] [--rounds 2]

In turns: `vsrpp upscale CLIP` as a command, and, in this process, the network over the same frames
in the same chunks with nothing around it. Start-up is what the command takes before it computes:
starting Python, importing, scanning, planning, loading the model. Times are the best of the rounds.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

os.environ.setdefault("GOMP_SPINCOUNT", "1000")  # as the command line does

import torch

from vsrpp_cli.checkpoints.download import resolve_chain
from vsrpp_cli.checkpoints.load import load_network
from vsrpp_cli.inference.engine import Engine
from vsrpp_cli.media.source import open_source
from vsrpp_cli.planning.chunks import Chunk

EXAMPLE = Path(__file__).parents[1] / "examples" / "chickens.mp4"


class Alone:
    """The network over a clip's frames, ready to run, its kernels compiled."""

    def __init__(self, clip: Path, model: str, plan: dict) -> None:
        source = open_source(clip)
        scan = source.scan(on_progress=None, scenes=False, start=None, end=None, frames=None)
        self.frames = [frame.rgb for frame in source.read(scan, 0, scan.frames)]
        compute = plan["compute"]
        self.segments = [
            [Chunk(**chunk) for chunk in segment["chunks"]] for segment in plan["segments"]
        ]
        geometry = plan["geometry"]
        tile = (geometry["tile_w"], geometry["tile_h"]) if geometry["tile_w"] else None
        self.engine = Engine(
            [load_network(found.path) for found in resolve_chain(model, offline=True)],
            device=torch.device(compute["device"]), precision=compute["precision"],
            threads=compute["threads"], tile=tile, tile_overlap=geometry["tile_overlap"],
            guard=False,
        )  # fmt: skip
        small = [frame[:, :64, :64].copy() for frame in self.frames[:3]]
        list(self.engine.upscale(iter(small), [Chunk(0, 3, 0, 3)]))

    def seconds(self) -> float:
        """Return the wall time of computing all frames."""
        begin = time.perf_counter()
        for chunks in self.segments:
            stop = max(chunk.stop for chunk in chunks)
            for _ in self.engine.upscale(iter(self.frames[chunks[0].start : stop]), chunks):
                pass
        return time.perf_counter() - begin


def vsrpp(*arguments: object) -> str:
    """Run a command of the tool and return what it prints."""
    command = [sys.executable, "-m", "vsrpp_cli", *map(str, arguments)]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def whole(clip: Path, model: str, folder: Path) -> tuple[float, dict[str, float]]:
    """Return the wall time of a run, and what its report says of its phases."""
    report, begin = folder / "report.json", time.perf_counter()
    vsrpp("upscale", clip, folder / "out.mp4", "-m", model, "-y", "--report", report, "-q")
    return time.perf_counter() - begin, json.loads(report.read_text())["seconds"]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("clip", nargs="?", type=Path, default=EXAMPLE)
    parser.add_argument("--model", default="compact")
    parser.add_argument("--rounds", type=int, default=2)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        plan = vsrpp("plan", given.clip, folder / "out.mp4", "-m", given.model, "--json")
        alone = Alone(given.clip, given.model, json.loads(plan))
        network = min_whole = phases = None
        for _ in range(given.rounds):
            took, seen = whole(given.clip, given.model, folder)
            if min_whole is None or took < min_whole:
                min_whole, phases = took, seen
            took = alone.seconds()
            network = took if network is None else min(network, took)
    count = len(alone.frames)
    work = sum(phases[phase] for phase in ("compute", "join", "verify"))
    print(f"{given.clip.name}, {count} frames, {given.model}, {torch.get_num_threads()} threads\n")
    print("| | seconds |\n|---|---|")
    print(f"| whole command | {min_whole:.2f} |")
    print(f"| of that start-up | {min_whole - work:.2f} |")
    for phase in ("compute", "join", "verify"):
        print(f"| of that {phase} | {phases[phase]:.2f} |")
    print(f"| network alone | {network:.2f} ({network / count:.3f} a frame) |")
    print(f"\nwhole run less start-up over the network alone: {work / network:.3f}")


if __name__ == "__main__":
    main()
