"""Measures the costs of distributed runs, and checks the simulation in fleet.py with them.

    python benchmarks/fleet_costs.py [--size 320x180] [--rounds 3] [--model compact] [--clock cpu]

Runs real workers (`vsrpp worker`, one thread each), alone and two at a time, on segments of
several lengths and numbers, and solves for the seconds per start, segment and frame; likewise for
joins. Then the time of a different plan is predicted by `benchmarks/fleet.py` and measured with one
worker and with two.

With `--clock cpu` seconds are processor time, as if each process had a core of its own: for
machines that are also used otherwise.
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from fleet import Costs, Fleet, simulate

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from support.clips import write_clip

KEEP = 8
"""Frames kept of each chunk."""
OVERLAP = 2
LONG = 96
"""Frames of the clip that costs are taken from; one of `KEEP` times 2 is the short one."""
OTHER = 120
"""Frames of the clip that is predicted."""


class Bench:
    """Plans in a folder, carried out as often as needed."""

    def __init__(self, place: Path, size: tuple[int, int], model: str, clock: str) -> None:
        self._place, self._size, self._model, self._clock = place, size, model, clock
        self._runs = 0
        self._ready: dict[Path, Path] = {}

    def plan(self, frames: int, segment: int) -> Path:
        """Write a plan with segments of so many frames; return its work folder."""
        output = self._place / f"{frames}-{segment}.mp4"
        clip = self._place / f"{frames}.mp4"
        if not clip.exists():
            write_clip(clip, frames, self._size)
        folder = output.with_name(f"{output.name}.vsrpp")
        if not folder.exists():
            wishes = ("--model", self._model, "--threads", 1, "--scenes", "off",
                      "--chunk", KEEP + 2 * OVERLAP, "--overlap", OVERLAP,
                      "--segment", segment)  # fmt: skip
            vsrpp(("plan", clip, output, "--write", *wishes))
        return folder

    def fresh(self, folder: Path) -> Path:
        """Return a copy of a work folder without finished segments."""
        self._runs += 1
        return Path(shutil.copytree(folder, self._place / f"run-{self._runs}" / folder.name))

    def compute(self, folder: Path, shares: Sequence[Sequence[object]], copies: bool) -> float:
        """Return the seconds from the common start of some workers to the end of the last.

        Args:
            folder: the work folder of a plan.
            shares: the arguments after PLAN, one list per worker.
            copies: whether each worker gets a copy of the plan, so that all do the same work.
        """
        first = self.fresh(folder)
        folders = [first, *(self.fresh(folder) if copies else first for _ in shares[1:])]
        commands = [("worker", f, *s) for f, s in zip(folders, shares, strict=True)]
        return vsrpp(*commands, clock=self._clock)

    def join(self, folder: Path, *words: str) -> float:
        """Return the seconds of joining a plan; its segments are computed before."""
        if folder not in self._ready:
            self._ready[folder] = self.fresh(folder)
            vsrpp(("worker", self._ready[folder], 0, "--of", 1))
        return vsrpp(("join", self.fresh(self._ready[folder]), *words), clock=self._clock)


def vsrpp(*commands: Sequence[object], clock: str = "wall") -> float:
    """Run commands of `vsrpp` at once; return the seconds until the last is done."""
    with tempfile.TemporaryFile("w+") as said:
        began = time.perf_counter()
        started = [
            subprocess.Popen([sys.executable, "-m", "vsrpp_cli", *map(str, words)], stderr=said)
            for words in commands
        ]
        used = []
        for process in started:
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
            used.append(usage.ru_utime + usage.ru_stime)
        took = time.perf_counter() - began
        if any(process.returncode for process in started):
            said.seek(0)
            raise SystemExit(said.read())
    return took if clock == "wall" else max(used)


def costs(bench: Bench, at_once: int, rounds: int) -> Costs:
    """Measure so many workers at once; the costs of joins are left at 0."""
    short, long = bench.plan(LONG, KEEP), bench.plan(LONG, 3 * KEEP)
    one, six, two = [], [], []
    for _ in range(rounds):  # in turns
        one.append(bench.compute(short, [[5]] * at_once, copies=True))
        six.append(bench.compute(short, [[2, 3, 4, 6, 7, 8]] * at_once, copies=True))
        two.append(bench.compute(long, [[1, 2]] * at_once, copies=True))
    a, b, c = (statistics.median(times) for times in (one, six, two))
    # a = start + segment + 8 frames; b = start + 6 segments + 48 frames; c has 2 segments for 48.
    segment = (b - c) / 4
    frame = (b - a - 5 * segment) / (5 * KEEP)
    start_ = a - segment - KEEP * frame
    return Costs(start=start_, segment=segment, frame=frame, join=0.0, join_frame=0.0)


def with_joins(bench: Bench, found: Costs, rounds: int, *words: str) -> Costs:
    """Return costs with the times of joins with these options added."""
    short, long = bench.plan(2 * KEEP, KEEP), bench.plan(LONG, 3 * KEEP)
    pairs = [(bench.join(short, *words), bench.join(long, *words)) for _ in range(rounds)]
    a, b = (statistics.median(times) for times in zip(*pairs, strict=True))
    frame = max(0.0, (b - a) / (LONG - 2 * KEEP))
    return replace(found, join=a - 2 * KEEP * frame, join_frame=frame)


def check(bench: Bench, found: dict[int, Costs], rounds: int) -> None:
    """Print the predicted and the measured time of another plan."""
    folder = bench.plan(OTHER, 2 * KEEP)
    plan = json.loads((folder / "plan.json").read_text())
    segments = len(plan["segments"])
    print(f"{OTHER} frames in {segments} segments, computed and joined:\n")
    print("| workers | predicted | measured | off by |\n|---|---|---|---|")
    for workers, known in found.items():
        fleet = Fleet(workers=workers)
        predicted = simulate([OTHER], fleet, known, -(-OTHER // segments)).seconds
        shares = [[k, "--of", workers] for k in range(workers)]
        took = statistics.median(
            bench.compute(folder, shares, copies=False) for _ in range(rounds)
        ) + statistics.median(bench.join(folder) for _ in range(rounds))
        off = predicted / took - 1
        print(f"| {workers} | {predicted:.1f} s | {took:.1f} s | {100 * off:+.0f} % |", flush=True)


def main() -> None:
    """Print costs and the comparison."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", default="320x180")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--model", default="compact")
    parser.add_argument("--clock", choices=("wall", "cpu"), default="wall")
    given = parser.parse_args()
    width, height = map(int, given.size.split("x"))
    with tempfile.TemporaryDirectory() as name:
        bench = Bench(Path(name), (width, height), given.model, given.clock)
        found = {}
        for workers in (1, 2):
            found[workers] = with_joins(bench, costs(bench, workers, given.rounds), given.rounds)
            print(f"{workers} at once: {found[workers]}", flush=True)
        plain = with_joins(bench, found[1], given.rounds, "--no-verify")
        print(f"join --no-verify: {plain.join:.2f} s and {plain.join_frame:.4f} s a frame\n")
        check(bench, found, given.rounds)


if __name__ == "__main__":
    main()
