"""Measures the overhead of a Ray cluster.

    python benchmarks/cluster.py driver [SEGMENTS]   the driver's own time, with idle workers
    python benchmarks/cluster.py overhead [ROUNDS]   --cluster ray against --workers 2, in turns

The first prints CPU and wall time of the driver's process per segment, and its memory after a tenth
of the segments and at the end. The second prints the ratio of the times from the first finished
segment to the last.
"""

import argparse
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from statistics import median

import psutil

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from support.clips import tiny_checkpoint, write_clip
from vsrpp_cli.options import UpscaleOptions
from vsrpp_cli.planning.chunks import Chunk, Segment
from vsrpp_cli.runs.cluster import colleague
from vsrpp_cli.runs.cluster.crew import crew_for
from vsrpp_cli.runs.cluster.remote_worker import RemoteWorker
from vsrpp_cli.runs.plans.planner import plan_only
from vsrpp_cli.runs.run import upscale
from vsrpp_cli.runs.stop import StopToken
from vsrpp_cli.runs.work.segment import Computed, measure, segment_path
from vsrpp_cli.runs.work.workfolder import WorkFolder
from vsrpp_cli.runs.workers import cluster


class Idle(RemoteWorker):
    """A worker that writes a few bytes instead of computing."""

    def compute(self, key, index):
        """Return a segment of a few bytes."""
        job = self._jobs[key]
        target = segment_path(job.plan, job.folder, index)
        partial = target.with_name(f"{index}.part-idle")
        partial.write_bytes(b"segment")
        record = {"event": "segment", "index": index, "frames": 1, "events": [], "seconds": 0.0,
                  "kernels": ""}  # fmt: skip
        return Computed(partial, record, measure(partial))


def driver(segments=10_000):
    """Print the driver's time per segment."""
    process, folder = psutil.Process(), Path(tempfile.mkdtemp())
    colleague.RemoteWorker = Idle
    clip, model = write_clip(folder / "clip.mp4", 2), str(tiny_checkpoint(folder / "tiny.pth"))
    options = UpscaleOptions(model=model, cluster="ray", workers=2, threads=1)
    plan = plan_only(str(clip), str(folder / "out.mp4"), options)
    pieces = tuple(Segment(k, (Chunk(k, k + 1, k, k + 1),)) for k in range(segments))
    plan, work = replace(plan, segments=pieces), WorkFolder(folder / "work")
    with work.locked(), crew_for(options) as crew:
        done = cluster.run(plan, work, range(segments), crew, StopToken(), lambda _: None,
                           on_remark=print)  # fmt: skip
        next(done)
        cpu, wall = process.cpu_times(), time.perf_counter()
        for count, _ in enumerate(done, 2):
            if count in (segments // 10, segments):
                print(f"{count} segments: {process.memory_info().rss / 2**20:.0f} MiB")
        spent = process.cpu_times()
        used = spent.user + spent.system - cpu.user - cpu.system
        wall = time.perf_counter() - wall
    print(
        f"a segment: {1000 * used / segments:.2f} ms of CPU time, {1000 * wall / segments:.2f} ms"
    )


def overhead(rounds=3):
    """Print how many times as long a cluster takes as worker processes."""
    folder = Path(tempfile.mkdtemp())
    clip, model = write_clip(folder / "clip.mp4", 240), str(tiny_checkpoint(folder / "tiny.pth"))
    common = {"model": model, "segment": 12, "chunk": 12, "overlap": 2, "overwrite": True}
    ways = {"processes": {"workers": 2}, "cluster": {"workers": 2, "cluster": "ray"}}
    ratios = []
    for _ in range(rounds):
        spent = {name: _computing(clip, folder, {**common, **way}) for name, way in ways.items()}
        ratios.append(spent["cluster"] / spent["processes"])
        print(", ".join(f"{name} {seconds:.1f} s" for name, seconds in spent.items()), flush=True)
    print(f"cluster / processes: {median(ratios):.3f} (median of {rounds})")


def _computing(clip, folder, options):
    """Return the seconds from the first finished segment to the last."""
    times = {}

    def watch(progress):
        if progress.phase == "compute" and progress.done >= 12:
            times[progress.done] = time.perf_counter()

    upscale(clip, folder / "out.mp4", UpscaleOptions(**options), on_progress=watch)
    return max(times.values()) - min(times.values())


def main():
    """Take one of the two measurements."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    what = parser.add_subparsers(required=True, metavar="WHAT")
    times = what.add_parser("driver", help="the driver's own time, workers that do nothing")
    times.add_argument("count", type=int, nargs="?", default=10_000, metavar="SEGMENTS")
    times.set_defaults(measure=driver)
    ratio = what.add_parser("overhead", help="--cluster ray against --workers 2, in turns")
    ratio.add_argument("count", type=int, nargs="?", default=3, metavar="ROUNDS")
    ratio.set_defaults(measure=overhead)
    given = parser.parse_args()
    given.measure(given.count)


if __name__ == "__main__":
    main()
