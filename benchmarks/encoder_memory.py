"""Measures the memory of encoders, in bytes per pixel of their pictures.

    python benchmarks/encoder_memory.py [--size 1920x1080] [--frames 60] [--only libx265] [...]

Each encoder encodes synthetic frames in a process of its own, with its usual settings and with
those for less memory. The growth of the resident size to its peak is divided by the pixels of a
picture. The figures in `media/encode/encoder_table.py` are these, rounded up. Small pictures give
larger figures, because each thread has memory of its own.
"""

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import psutil

from vsrpp_cli.media.encode.encoder_memory import encoder_ways
from vsrpp_cli.media.encode.encoder_table import ROWS
from vsrpp_cli.media.encode.selection import is_present, resolve
from vsrpp_cli.media.encode.writer import SegmentWriter
from vsrpp_cli.media.source import open_source
from vsrpp_cli.media.types import FinalFrame
from vsrpp_cli.options import UpscaleOptions

CLIP = Path(__file__).parents[1] / "examples" / "chickens.mp4"


def ways(encoder, size, preset):
    """Return the ways to set an encoder."""
    options = UpscaleOptions(codec=encoder, width=size[0], height=size[1], preset=preset)
    suffix = ".mov" if encoder == "prores_ks" else ".mkv"
    info = open_source(CLIP).info
    settings = resolve(info, options, Path(f"x{suffix}"), scale=4, threads=2)
    return encoder_ways(settings, free=True)


def child(encoder, size, frames, preset, number):
    """Encode, and print by how many bytes the peak of the resident size is above the beginning."""
    settings = ways(encoder, size, preset)[number].settings
    grain = np.random.default_rng(0).integers(
        0, 6000, (3, size[1], size[0] + 4 * frames), np.uint16
    )
    pictures = (np.ascontiguousarray(grain[..., 4 * i : 4 * i + size[0]]) for i in range(frames))
    with tempfile.TemporaryDirectory() as folder:
        Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
        before = psutil.Process().memory_info().rss
        writer = SegmentWriter(Path(folder) / "x.mkv", settings)
        for pts, picture in enumerate(pictures):
            writer.write(FinalFrame(pts, picture))
        writer.close()
    print(_peak() - before)


def _peak():
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))


def main():
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--child", nargs=2)
    parser.add_argument("--size", default="1920x1080")
    parser.add_argument("--frames", type=int, default=60)
    parser.add_argument("--preset")
    parser.add_argument("--only", nargs="*")
    given = parser.parse_args()
    size = tuple(map(int, given.size.split("x")))
    if given.child:
        child(given.child[0], size, given.frames, given.preset, int(given.child[1]))
        return
    print("| encoder | settings | measured | table |\n|---|---|---|---|")
    for row in ROWS:
        if row.hardware or not is_present(row) or (given.only and row.encoder not in given.only):
            continue
        preset = given.preset if row.preset_option else None
        for number, way in enumerate(ways(row.encoder, size, preset)):
            command = [sys.executable, __file__, *sys.argv[1:], "--child", row.encoder, str(number)]
            done = subprocess.run(command, check=True, capture_output=True, text=True)
            measured, told = (
                value / (size[0] * size[1]) for value in (int(done.stdout), way.memory)
            )
            kind = "lighter" if number else "usual"
            print(f"| {row.encoder} | {kind} | {measured:.0f} | {told:.0f} |", flush=True)


if __name__ == "__main__":
    main()
