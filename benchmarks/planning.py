"""Measures the costs of long runs besides computing: planning, plan files and journals.

    python benchmarks/planning.py [--frames 500000] [--hours 1] [--skip-video]

Prints the peak resident size of `vsrpp plan` for a minute and for --hours of video, and how long
writing and reading the plan and journal of a run of --frames frames take.
"""

import argparse
import os
import random
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

from vsrpp_cli.options import UpscaleOptions
from vsrpp_cli.planning.chunks import plan_segments
from vsrpp_cli.runs.plans.plan import Plan
from vsrpp_cli.runs.plans.planner import make_plan, open_input
from vsrpp_cli.runs.work.journal import Journal

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from support.lengthy import write_long_clip


def peak_of_planning(clip, out):
    """Return the peak resident size of `vsrpp plan` in bytes, and its CPU seconds."""
    command = [sys.executable, "-m", "vsrpp_cli", "plan", str(clip), str(out), "--model", "compact"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0
    return usage.ru_maxrss * 1024, usage.ru_utime + usage.ru_stime


def long_plan(folder, frames, segment):
    """Return the plan of a run of so many frames with cuts as films have them."""
    clip = write_long_clip(folder / "short.mp4", 50)
    plan = make_plan(
        open_input(clip, UpscaleOptions(model="compact")), folder / "out.mp4",
        UpscaleOptions(model="compact", device="cpu"),
    )  # fmt: skip
    chance = random.Random(1)
    cuts = tuple(sorted(chance.sample(range(1, frames), frames // 100)))
    scan = replace(
        plan.scan,
        pts=tuple(512 * k + chance.randrange(3) for k in range(frames)),
        cuts=cuts,
        checks="".join(f"{chance.randrange(1 << 16):04x}" for _ in range(frames)),
    )
    segments = plan_segments(frames, cuts, chunk=60, overlap=6, segment=segment)
    return replace(plan, scan=scan, segments=segments)


def seconds(action):
    """Return what `action` returns, and the wall and CPU seconds it took."""
    wall, cpu = time.perf_counter(), time.process_time()
    result = action()
    return result, f"{time.perf_counter() - wall:.2f} s ({time.process_time() - cpu:.2f} s of CPU)"


def journal_lines(count):
    """Return the lines of finished segments as runs write them."""
    return [
        {"event": "segment", "index": k, "frames": 250, "events": [], "seconds": 61.234,
         "kernels": "fused kernels", "size": 12_345_678 + k, "digest": f"{k:032x}"}
        for k in range(count)
    ]  # fmt: skip


def show_plan_and_journal(folder, frames, segment):
    """Print times of one plan and its journal."""
    plan, _ = seconds(lambda: long_plan(folder, frames, segment))
    path = folder / "plan.json"
    _, written = seconds(lambda: plan.write(path))
    again, read = seconds(lambda: Plan.read(path))
    assert again == plan
    chunks = sum(len(s.chunks) for s in plan.segments)
    print(f"{frames:,} frames, {len(plan.segments):,} segments, {chunks:,} chunks:")
    print(f"  plan of {path.stat().st_size / 1e6:.1f} MB written {written}, read {read}")
    lines = journal_lines(len(plan.segments))
    journal = Journal(folder / "journal.jsonl")
    _, written = seconds(lambda: [journal.append(line) for line in lines])
    found, read = seconds(Journal(journal.path).read)
    assert found == lines
    size = journal.path.stat().st_size / 1e6
    print(f"  journal of {size:.1f} MB written {written}, read {read}")
    journal.path.unlink()


def main():
    """Print all figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--frames", type=int, default=500_000)
    parser.add_argument("--hours", type=float, default=1)
    parser.add_argument("--skip-video", action="store_true")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for segment in (250, 30):
            show_plan_and_journal(folder, given.frames, segment)
        for hours in () if given.skip_video else (1 / 60, given.hours):
            clip = write_long_clip(folder / "long.mp4", round(90_000 * hours))
            peak, cpu = peak_of_planning(clip, folder / "out.mp4")
            print(
                f"vsrpp plan, {hours * 60:.0f} min of 64x64: peak {peak / 1e6:.0f} MB, "
                f"{cpu:.0f} s of CPU",
                flush=True,
            )


if __name__ == "__main__":
    main()
