"""Large frames within little memory: what is planned, and the peak of the resident size.

    python benchmarks/large_frames.py [--only 1080p] [--model compact] [--frames 3]
                                      [--write docs/benchmarks.md]

Each row is a whole run of `vsrpp upscale` (decoding, computing, encoding, joining, verifying) in a
process of its own with `--memory-limit`. Clips are made up: moving waves under grain. Prints the
table of the section "Large frames" of docs/benchmarks.md.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np


@dataclass(frozen=True)
class Row:
    """One job."""

    name: str
    width: int
    height: int
    target: int
    """Height of the output."""
    limit: str
    """As `--memory-limit` has it."""
    more: tuple[str, ...] = ()


ROWS = [
    Row("720p", 1280, 720, 2160, "2G"),
    Row("1080p", 1920, 1080, 2160, "4G"),
    Row("1080p-hevc", 1920, 1080, 2160, "4G", ("--codec", "hevc")),
    Row("1080p-full", 1920, 1080, 4320, "6G"),
    Row("2160p", 3840, 2160, 4320, "8G"),
]


def make_clip(path, width, height, frames):
    """Write a clip of H.264."""
    y, x = np.mgrid[:height, :width].astype(np.float32)
    grain = np.random.default_rng(0).integers(0, 60, (height, width + 4 * frames))
    with av.open(str(path), "w") as file:
        stream = file.add_stream("libx264", rate=25, options={"preset": "veryfast", "crf": "20"})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for i in range(frames):
            waves = np.sin((x + 3 * i) / 9) * np.cos((y - i) / 11) * 60 + 100
            grey = (waves + grain[:, 4 * i : 4 * i + width]).clip(0, 255).astype(np.uint8)
            picture = np.stack([grey, np.roll(grey, 5, 1), grey[::-1]], -1)
            file.mux(stream.encode(av.VideoFrame.from_ndarray(picture, "rgb24")))
        file.mux(stream.encode(None))


def run(command):
    """Run a command; return the peak of its resident size in bytes."""
    process = subprocess.Popen(command)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} ended with {process.returncode}")
    return usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def measure(row, model, frames, folder):
    """Return the line of a row."""
    clip, output, report = folder / "in.mp4", folder / "out.mp4", folder / "report.json"
    make_clip(clip, row.width, row.height, frames)
    options = [
        "--height",
        str(row.target),
        "--memory-limit",
        row.limit,
        "--model",
        model,
        *row.more,
    ]
    vsrpp = [sys.executable, "-m", "vsrpp_cli"]
    told = subprocess.run(
        [*vsrpp, "plan", str(clip), *options, "--json"], check=True, capture_output=True, text=True
    )
    plan = json.loads(told.stdout)
    geometry = plan["geometry"]
    peak = run(
        [*vsrpp, "upscale", str(clip), str(output), *options, "-y", "-q", "--report", str(report)]
    )
    seconds = json.loads(report.read_text())["seconds"]["compute"]
    tile = f"{geometry['tile_w']}x{geometry['tile_h']}" if geometry["tile_w"] else "none"
    return (
        f"| {row.width}x{row.height} | {plan['output']['encode']['width']}x{row.target} "
        f"{' '.join(row.more)} | {row.limit} | {geometry['memory'] / 2**30:.2f} GiB | "
        f"{peak / 2**30:.2f} GiB | {tile} | {geometry['chunk']} | "
        f"{geometry['scratch'] / 1e6:.0f} MB | {seconds / frames:.1f} s |"
    )


def main():
    """Print, or write, the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="*", choices=[row.name for row in ROWS])
    parser.add_argument("--model", default="compact")
    parser.add_argument("--frames", type=int, default=3)
    parser.add_argument("--write", type=Path, help="put the table into this file")
    given = parser.parse_args()
    lines = [
        "| input | output | limit | planned | measured | tile | chunk | files | a frame |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    print("\n".join(lines), flush=True)
    for row in ROWS:
        if given.only is None or row.name in given.only:
            with tempfile.TemporaryDirectory() as folder:
                lines.append(measure(row, given.model, given.frames, Path(folder)))
            print(lines[-1], flush=True)
    if given.write:
        pattern = r"(?<=<!-- large frames: begin -->\n).*?(?=<!-- large frames: end -->)"
        text = given.write.read_text()
        given.write.write_text(re.sub(pattern, "\n".join([*lines, ""]), text, flags=re.DOTALL))


if __name__ == "__main__":
    main()
