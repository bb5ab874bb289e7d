"""Compares the measured peak memory of computing a chunk with the planner's prediction.

    python benchmarks/memory.py [--group fitted|fresh] [--write docs/benchmarks.md]

Each size runs in a process of its own, which reports the peak of its resident set. Networks have
one residual block where the real ones have more: that costs time, not memory. The model's
coefficients were fitted to the rows of the first group only; each row of the second computes two
chunks, so that the state passed from one to the next is included. Prints the tables of the section
"Memory" of docs/benchmarks.md.
"""

import argparse
import json
import re
import resource
import subprocess
import sys
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path

import numpy as np
import torch

from vsrpp_cli.checkpoints.load import new_network
from vsrpp_cli.inference.engine import Engine
from vsrpp_cli.network.config import BasicVSRConfig, NetworkConfig, SpynetConfig
from vsrpp_cli.planning.budget import TILE_OVERLAP
from vsrpp_cli.planning.chunks import Chunk
from vsrpp_cli.planning.memory_model import Work, predict_engine, requirement

WHOLE = "128 channels, 25 blocks, same size"
"""A network measured with all its blocks, because its weights take much memory."""

NETWORKS = {
    "compact": NetworkConfig(
        channels=32,
        deform_groups=8,
        hr_channels=32,
        spynet=SpynetConfig(levels=5, kernel=5, widths=(16, 32, 16, 8)),
    ),
    "64 channels": NetworkConfig(),
    "64 channels, same size": NetworkConfig(same_size=True),
    "128 channels, same size": NetworkConfig(channels=128, same_size=True),
    WHOLE: NetworkConfig(channels=128, blocks=25, same_size=True),
    "real-basicvsr": BasicVSRConfig(),
}
"""Configurations by the names in the table; names of a chain are joined by ` + `."""


def with_few_blocks(config):
    """Return a configuration with one block wherever there are several."""
    kinds = [field.name for field in fields(config) if field.name.endswith("blocks")]
    return replace(config, **dict.fromkeys(kinds, 1))


def weights_of(config):
    """Return the bytes of a network's parameters in float32."""
    with torch.device("meta"):
        return sum(4 * parameter.numel() for parameter in new_network(config).parameters())


@dataclass(frozen=True)
class Row:
    """One size."""

    network: str
    precision: str
    width: int
    height: int
    frames: int
    """Of each chunk."""
    tile: tuple[int, int] | None = None
    ensemble: bool = False
    chunks: int = 1

    @property
    def work(self):
        """What the planner is told."""
        networks = tuple(
            NETWORKS[name] if name == WHOLE else with_few_blocks(NETWORKS[name])
            for name in self.network.split(" + ")
        )
        return Work(
            width=self.width, height=self.height, networks=networks, precision=self.precision,
            weights=sum(map(weights_of, networks)), ensemble=self.ensemble,
        )  # fmt: skip

    @property
    def overlap(self):
        """Input pixels by which tiles reach beyond the middle of a border, as planned."""
        return TILE_OVERLAP * requirement(self.work.networks)[1]


FITTED = [
    Row("compact", "bf16", 320, 180, 3),
    Row("compact", "bf16", 320, 180, 12),
    Row("compact", "bf16", 480, 270, 3),
    Row("compact", "bf16", 640, 360, 2),
    Row("compact", "bf16", 480, 270, 3, (256, 270)),
    Row("compact", "fp32", 320, 180, 4),
    Row("compact", "fp32", 480, 270, 2),
    Row("64 channels", "bf16", 320, 180, 4),
    Row("64 channels", "bf16", 480, 270, 2),
    Row("64 channels", "fp32", 320, 180, 3),
    Row("64 channels", "fp32", 320, 180, 4, (176, 180)),
]

FRESH = [
    Row("compact", "bf16", 400, 224, 6, chunks=2),
    Row("compact", "fp32", 256, 144, 10, chunks=2),
    Row("compact", "bf16", 720, 404, 3, chunks=2),
    Row("compact", "bf16", 640, 360, 5, (344, 204), chunks=2),
    Row("compact", "fp32", 256, 144, 4, ensemble=True, chunks=2),
    Row("compact", "bf16", 320, 180, 4, ensemble=True, chunks=2),
    Row("64 channels", "bf16", 256, 144, 16, chunks=2),
    Row("64 channels", "fp32", 400, 224, 3, chunks=2),
    Row("64 channels", "bf16", 400, 224, 6, (224, 224), chunks=2),
    Row("64 channels, same size", "bf16", 640, 360, 8, chunks=2),
    Row("128 channels, same size", "fp32", 512, 288, 6, chunks=2),
    Row("64 channels, same size + compact", "bf16", 320, 256, 4, chunks=2),
    Row(WHOLE, "fp32", 256, 256, 3),
    Row(WHOLE, "bf16", 256, 256, 3),
    Row("real-basicvsr", "bf16", 256, 144, 16, chunks=2),
    Row("real-basicvsr", "fp32", 320, 180, 6, chunks=2),
]

GROUPS = {"fitted": FITTED, "fresh": FRESH}


def chunks_of(row):
    """Return the chunks computed, in one segment."""
    if row.chunks == 1:
        # One kept frame shows the peak as well as all, but where tiles are put together.
        return [Chunk(0, row.frames, 0, row.frames if row.tile else 1)]
    behind = min(4, row.frames - 1)  # frames of context behind the kept ones
    step = row.frames - behind
    return [
        Chunk(k * step, k * step + row.frames, k * step, (k + 1) * step, carries=k > 0)
        for k in range(row.chunks)
    ]


def child(row):
    """Compute the chunks and print the peak of the resident set in bytes."""
    work = row.work
    engine = Engine(
        [new_network(config) for config in work.networks], device=torch.device("cpu"),
        precision=row.precision, threads=1, tile=row.tile, tile_overlap=row.overlap,
        ensemble=row.ensemble,
    )  # fmt: skip
    noise, chunks = np.random.default_rng(1), chunks_of(row)
    shape = (3, row.height, row.width)
    frames = (noise.random(shape, dtype=np.float32) for _ in range(chunks[-1].stop))
    for _ in engine.upscale(frames, chunks):
        pass
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)


def measure(row):
    """Return measured and predicted bytes of a row."""
    command = [sys.executable, __file__, "--child", json.dumps(asdict(row))]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return int(done.stdout), predict_engine(row.work, row.frames, row.tile, row.overlap).host


def table(rows, *, show):
    """Yield the lines of a group's table as they are measured."""
    yield "| network | precision | input | frames | tile | measured | predicted | error |"
    yield "|---|---|---|---|---|---|---|---|"
    for row in rows:
        measured, predicted = measure(row)
        tile = "x".join(map(str, row.tile)) if row.tile else "none"
        line = (
            f"| {row.network}{', ensemble' if row.ensemble else ''} | {row.precision} | "
            f"{row.width}x{row.height} | {row.frames} | {tile} | {measured / 1e6:.0f} MB | "
            f"{predicted / 1e6:.0f} MB | {100 * (predicted / measured - 1):+.0f} % |"
        )
        show(line)
        yield line


def write(path, group, lines):
    """Put a table between the markers of its group."""
    text = path.read_text()
    begin, end = f"<!-- memory {group}: begin -->", f"<!-- memory {group}: end -->"
    pattern = f"(?<={re.escape(begin)}\n).*?(?={re.escape(end)})"
    path.write_text(re.sub(pattern, "\n".join([*lines, ""]), text, flags=re.DOTALL))


def main():
    """Print, or write, the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--child")
    parser.add_argument("--group", choices=GROUPS)
    parser.add_argument("--write", type=Path, help="put the tables into this file")
    given = parser.parse_args()
    if given.child:
        data = json.loads(given.child)
        child(Row(**{**data, "tile": data["tile"] and tuple(data["tile"])}))
        return
    for group in [given.group] if given.group else GROUPS:
        print(f"\n{group}:", flush=True)
        lines = list(table(GROUPS[group], show=lambda line: print(line, flush=True)))
        if given.write:
            write(given.write, group, lines)


if __name__ == "__main__":
    main()
