"""Compares a whole run with the network alone: the cost of decoding, encoding and so on.

Usage: python benchmarks/end_to_end.py [CLIP] [--model compact] [--rounds 2]
                                       [--times 3] [--frames 6] [--preset veryfast ...]

Measured in turns: the command `vsrpp upscale CLIP`, and, in this process, only the network on the
same frames in the same chunks. Start-up is the command's time before it computes: starting Python,
importing, scanning, planning, loading the model. Times are the best of the rounds. Then the CPU
time of each part besides the network is measured alone.

`--times 3` tiles the clip three times across and down: 320x180 becomes 960x540, and the output 4K.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

os.environ.setdefault("GOMP_SPINCOUNT", "1000")  # as the command line does

import torch

import around
from vsrpp_cli.checkpoints.download import resolve_chain
from vsrpp_cli.checkpoints.load import load_network
from vsrpp_cli.inference.engine import Engine
from vsrpp_cli.media.source import open_source
from vsrpp_cli.media.types import EncodeSettings, Frame
from vsrpp_cli.planning.chunks import Chunk
from vsrpp_cli.records import from_json

EXAMPLE = Path(__file__).parents[1] / "examples" / "chickens.mp4"


class Spent(NamedTuple):
    """What something took, in seconds."""

    wall: float
    cpu: float


def clock() -> Spent:
    """Return the time, and what this process and its ended children have used of the CPU."""
    used = os.times()
    return Spent(time.perf_counter(), sum(used[:4]))


def since(begin: Spent) -> Spent:
    """Return what has been spent."""
    now = clock()
    return Spent(now.wall - begin.wall, now.cpu - begin.cpu)


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

        self.made: list[Frame] = []

    def run(self) -> Spent:
        """Compute all frames, which are then in `made`."""
        self.made.clear()
        begin = clock()
        for chunks in self.segments:
            stop = max(chunk.stop for chunk in chunks)
            for rgb in self.engine.upscale(iter(self.frames[chunks[0].start : stop]), chunks):
                self.made.append(Frame(len(self.made), rgb))
        return since(begin)


def vsrpp(*arguments: object) -> str:
    """Run a command of the tool and return what it prints."""
    command = [sys.executable, "-m", "vsrpp_cli", *map(str, arguments)]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def whole(clip: Path, model: str, folder: Path) -> tuple[Spent, dict[str, float]]:
    """Return what a run took, and the wall time that its report says of its phases."""
    report, begin = folder / "report.json", clock()
    vsrpp("upscale", clip, folder / "out.mp4", "-m", model, "-y", "--report", report, "-q")
    return since(begin), json.loads(report.read_text())["seconds"]


def line(label: str, spent: Spent) -> str:
    """Return a row of the first table."""
    return f"| {label} | {spent.wall:.2f} | {spent.cpu:.2f} |"


def table(whole: Spent, phases: dict[str, float], network: Spent) -> Iterator[str]:
    """Yield the lines that compare a run with the network alone."""
    work = sum(phases[phase] for phase in ("compute", "join", "verify"))
    yield "| | seconds | CPU seconds |\n|---|---|---|"
    yield line("whole command", whole)
    yield f"| of that start-up | {whole.wall - work:.2f} | |"
    for phase in ("compute", "join", "verify"):
        yield f"| of that {phase} | {phases[phase]:.2f} | |"
    yield line("network alone", network)
    yield f"\nwhole run less start-up over the network alone: {work / network.wall:.3f}\n"


def beside(
    clip: Path, alone: Alone, network: Spent, encode: EncodeSettings, presets: list[str], to: Path
) -> Iterator[str]:
    """Yield the lines that say what each part around the network takes."""
    count = len(alone.made)
    yield "| by itself | CPU s a frame | of the network's |\n|---|---|---|"
    yield f"| network | {network.cpu / count:.3f} | |"
    for label, took in around.parts(clip, alone.made, encode, presets, to):
        yield f"| {label} | {took / count:.3f} | {100 * took / network.cpu:.1f} % |"


def parser() -> argparse.ArgumentParser:
    """Return the command line."""
    made = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    made.add_argument("clip", nargs="?", type=Path, default=EXAMPLE)
    made.add_argument("--model", default="compact")
    made.add_argument("--rounds", type=int, default=2)
    made.add_argument("--times", type=int, default=1)
    made.add_argument("--frames", type=int, help="at most so many, where --times is given")
    made.add_argument("--preset", action="append", default=[], help="another one to encode with")
    return made


def main() -> None:
    """Print the tables."""
    given = parser().parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder, clip = Path(name), given.clip
        if given.times > 1:
            clip = around.mosaic(clip, given.times, given.frames, folder / "in.mp4")
        plan = json.loads(vsrpp("plan", clip, folder / "out.mp4", "-m", given.model, "--json"))
        alone = Alone(clip, given.model, plan)
        rounds = [(whole(clip, given.model, folder), alone.run()) for _ in range(given.rounds)]
        encode = from_json(EncodeSettings, plan["output"]["encode"])
        size = f"{alone.frames[0].shape[2]}x{alone.frames[0].shape[1]}"
        print(f"{given.clip.name}, {len(alone.made)} frames of {size} to "
              f"{encode.width}x{encode.height}, {given.model}, {torch.get_num_threads()} threads"
              f"\n")  # fmt: skip
        network = min(took for _, took in rounds)
        for text in table(*min(run for run, _ in rounds), network):
            print(text)
        for text in beside(clip, alone, network, encode, given.preset, folder / "again.mkv"):
            print(text)


if __name__ == "__main__":
    main()
