"""The rehearsal: the whole run with a few frames, before the first frame is computed.

Without it, some problems would show only at the end of a run, after hours of computing. A few
frames, resized instead of upscaled, take the way of the real ones: they are encoded into segments,
joined with all that is kept of the source, verified, and given a name as long as the real one.
Problems become errors or notes before any work is done.

The frames are the first ones of the run, and the same pictures again with the timestamps of the
last ones. Of other streams only a portion is copied, so that long files cost no more than short
ones.
"""

import os
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vsrpp_cli.durable import disk_errors, remove
from vsrpp_cli.errors import StrictError, VsrppError
from vsrpp_cli.inference.events import Event
from vsrpp_cli.inference.keeping.landing import Landing
from vsrpp_cli.inference.progress import OnFrames
from vsrpp_cli.media.mux.joined import Portion
from vsrpp_cli.media.output.assembly import Assembled, Assembly
from vsrpp_cli.media.output.protocol import output_of
from vsrpp_cli.media.output.publish import publish
from vsrpp_cli.media.types import Frame, Scan
from vsrpp_cli.planning.chunks import Chunk, Segment
from vsrpp_cli.runs.names import temporary_output
from vsrpp_cli.runs.plans.plan import Plan, Rehearsed
from vsrpp_cli.runs.work.segment import compute, reopen_source
from vsrpp_cli.runs.work.workfolder import WorkFolder

FIRST, LAST = 3, 1
"""Frames from the beginning and the end; fewer where they are very large."""

PIXELS = 25_000_000
"""Most pixels of all frames from the beginning together; encoding so many takes about a second."""

LEAST_SECONDS, SHARE = 0.7, 0.005
"""Time limit for copying other streams' packets: so many seconds, or this share of the run's time
if that is more."""


def rehearse(plan: Plan, folder: WorkFolder, *, strict: bool, seconds: float) -> Plan:
    """Return the plan without what cannot be kept, with a finding on each such thing.

    Args:
        plan: the run.
        folder: its work folder; all temporary files are removed again.
        strict: whether a loss is an error.
        seconds: estimated time of the run.

    Raises:
        StrictError: something cannot be kept, and `strict` is set.
        VsrppError: the run would fail.
    """
    place = WorkFolder(folder.path / "rehearsal")
    try:
        with disk_errors(place.path):
            place.segments.mkdir(parents=True)
        found = _Rehearsal(plan, place, seconds).run()
    except VsrppError as error:
        raise type(error)(f"{error} (found by rehearsing, nothing has been computed)") from error
    finally:
        remove(place.path)
    changed = found.left_out(plan.output.streams)
    lost = [*(choice.reason for choice in changed if choice.loss), *found.deviations]
    if strict and lost:
        raise StrictError(f"`strict`: {'; '.join(lost)}")
    output = replace(plan.output, streams=found.streams)
    findings = (*(choice.reason for choice in changed), *found.deviations)
    return replace(plan, output=output, rehearsed=Rehearsed(findings=findings))


class _Rehearsal:
    """One rehearsal."""

    def __init__(self, plan: Plan, place: WorkFolder, seconds: float) -> None:
        self._plan, self._place = plan, place
        self._portion = Portion(seconds=max(LEAST_SECONDS, SHARE * seconds))
        self._first, self._last = _ends(plan)

    def run(self) -> Assembled:
        """Encode, join, verify and publish the few frames."""
        short = replace(
            self._plan,
            scan=_shortened(self._plan.scan, self._first, self._last),
            segments=_segments(self._first, self._last),
        )
        pictures = _Pictures(self._plan, self._first)
        partial = [
            compute(short, self._place, k, Resizing(), source=pictures).partial
            for k in range(len(short.segments))
        ]
        output = self._place.path / Path(self._plan.output.path).name
        temporary = temporary_output(output)
        with disk_errors(temporary):
            found = Assembly(
                partial,
                short.scan,
                short.source,
                short.output,
                temporary,
                decode=True,
                portion=self._portion,
            ).run()
            publish(temporary, output)
            self._try_names(output)
        return found

    def _try_names(self, output: Path) -> None:
        """Create a file with the longest name of a frame, and one next to the real output."""
        names = output_of(self._plan.output).names(self._plan.scan, self._plan.source)
        if output.is_dir():
            (output / max(names, key=lambda name: len(os.fsencode(name)))).touch()
        beside = temporary_output(Path(self._plan.output.path))
        with disk_errors(beside):
            remove(beside)
            beside.touch()
            beside.unlink()


def _ends(plan: Plan) -> tuple[int, int]:
    """Return how many frames from the beginning and from the end are used."""
    encode = plan.output.encode
    first = min(FIRST, plan.frames, max(1, PIXELS // (encode.width * encode.height)))
    if plan.scan.jumps:  # the last frames would need the timestamps of those left out
        return first, 0
    return first, min(LAST, plan.frames - first)


def _shortened(scan: Scan, first: int, last: int) -> Scan:
    """Return the scan with its first and last frames only."""
    pts = scan.pts[:first] + scan.pts[scan.frames - last :]
    length = scan.last_duration
    if not last and scan.frames > first:
        length = scan.pts[first] - scan.pts[first - 1]
    jumps = tuple(jump for jump in scan.jumps if jump.frame < scan.first + first)
    return replace(scan, pts=pts, last_duration=length, cuts=(), checks="", jumps=jumps)


def _segments(first: int, last: int) -> tuple[Segment, ...]:
    ranges = [(0, first)] + ([(first, first + last)] if last else [])
    return tuple(Segment(k, (Chunk(a, b, a, b),)) for k, (a, b) in enumerate(ranges))


class _Pictures:
    """The first pictures of the input, repeated."""

    def __init__(self, plan: Plan, count: int) -> None:
        self._frames = list(reopen_source(plan).read(plan.scan, 0, count))

    def read(self, scan: Scan, start: int, stop: int) -> Iterator[Frame]:
        """Yield pictures with the times of frames `start:stop` of a scan."""
        for index in range(start, stop):
            yield self._frames[index % len(self._frames)]._replace(pts=scan.pts[index])


class Resizing:
    """Replaces the networks: returns frames unchanged, which the writer resizes."""

    kernels = ""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def land(
        self,
        frames: Iterable[NDArray[np.float32]],
        chunks: Iterable[Chunk],
        landing: Landing | None,  # noqa: ARG002 - nothing is put together
        on_frames: OnFrames | None = None,  # noqa: ARG002 - it is over at once
    ) -> Iterator[NDArray[np.float32]]:
        """Yield the kept frames as they are."""
        parts = list(chunks)
        kept = range(parts[0].keep_start, parts[-1].keep_stop)
        for index, frame in enumerate(frames, parts[0].start):
            if index in kept:
                yield frame
