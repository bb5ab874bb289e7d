"""Measures the time until a run computes, with and without a cache of compiled kernels.

Usage: python benchmarks/start_up.py [CLIP ...] [--model compact] [--rounds 2]

Each round starts `vsrpp upscale CLIP` three times and ends it when the first frame's worth of work
is done: with an empty cache of compiled kernels, as on a new machine, with the cache which that run
filled, and with one filled by `vsrpp doctor --warm`. Times are the best of the rounds.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

EXAMPLE = Path(__file__).parents[1] / "examples" / "chickens.mp4"


def first_frame(clip: Path, model: str, folder: Path, cache: Path) -> tuple[float, float]:
    """Return seconds until the scan is done and until a frame's worth of work is."""
    command = [sys.executable, "-m", "vsrpp_cli", "upscale", str(clip), str(folder / "out.mp4"),
               "-m", model, "--restart", "--progress", "json"]  # fmt: skip
    begin, scanned = time.perf_counter(), 0.0
    with subprocess.Popen(
        command,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "NUMBA_CACHE_DIR": str(cache)},
    ) as process:
        assert process.stderr is not None
        for line in process.stderr:
            news = json.loads(line) if line.startswith("{") else {}
            if news.get("phase") == "compute":
                scanned = scanned or time.perf_counter() - begin
                if news["done"]:
                    process.kill()
                    return scanned, time.perf_counter() - begin
        sys.exit(f"{clip} was not computed: {line}")


def warm(cache: Path) -> None:
    """Fill a cache of compiled kernels without a run."""
    subprocess.run(
        [sys.executable, "-m", "vsrpp_cli", "doctor", "--warm"],
        stdout=subprocess.DEVNULL,
        env={**os.environ, "NUMBA_CACHE_DIR": str(cache)},
        check=True,
    )


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("clips", nargs="*", type=Path, default=[EXAMPLE])
    parser.add_argument("--model", default="compact")
    parser.add_argument("--rounds", type=int, default=2)
    args = parser.parse_args()
    print("| clip | kernels | scanned and planned | first frame's work |")
    print("|---|---|---|---|")
    for clip in args.clips:
        kinds = {"to be compiled": "run", "compiled": "run", "compiled by `--warm`": "warm"}
        times: dict[str, list[tuple[float, float]]] = {kernels: [] for kernels in kinds}
        for _ in range(args.rounds):
            with tempfile.TemporaryDirectory() as name:
                warm(Path(name) / "warm")
                for kernels, cache in kinds.items():
                    found = first_frame(clip, args.model, Path(name), Path(name) / cache)
                    times[kernels].append(found)
        for kernels, measured in times.items():
            scanned, frame = min(measured, key=lambda pair: pair[1])
            print(f"| {clip.name} | {kernels} | {scanned:.1f} s | {frame:.1f} s |")


if __name__ == "__main__":
    main()
