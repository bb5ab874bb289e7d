"""Computes and commits one segment of a plan, the unit of resume.

`worker(plan, folder, k)` may run on any machine and any number of times: it depends on the plan
alone, and does nothing for a segment that is in the journal and on disk.
"""

import hashlib
import os
import platform
import re
import secrets
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, cast

import numpy as np
from numpy.typing import NDArray

from vsrpp_cli.durable import disk_errors, fsync_path, fsync_tree, remove
from vsrpp_cli.errors import DiskFullError, WorkerError
from vsrpp_cli.inference.events import Event
from vsrpp_cli.inference.keeping.frame_store import FinalPicture
from vsrpp_cli.inference.keeping.landing import Landing
from vsrpp_cli.inference.progress import OnFrames
from vsrpp_cli.inference.window import Picture
from vsrpp_cli.media.output.protocol import output_of
from vsrpp_cli.media.source import FrameSource
from vsrpp_cli.media.types import FinalFrame, Frame, Scan
from vsrpp_cli.planning.chunks import Chunk, Segment
from vsrpp_cli.records import to_json
from vsrpp_cli.runs.plans.plan import Plan
from vsrpp_cli.runs.work.disk import Done
from vsrpp_cli.runs.work.marks import marked, read_marks, write_mark
from vsrpp_cli.runs.work.threads import ReadAhead, WriteBehind
from vsrpp_cli.runs.work.workfolder import WorkFolder


@dataclass(frozen=True)
class Finished:
    """A committed segment, as recorded in the journal or in a worker's mark."""

    index: int
    name: str
    """Name of the file, or of the folder of frames, in the folder of segments."""
    frames: int
    size: int
    """Bytes."""
    digest: str
    """As `measure` returns it."""
    events: tuple[dict[str, Any], ...]
    """The engine's events, as JSON values."""
    seconds: float
    """Wall time to compute and encode it."""
    kernels: str = ""
    """The kernels that computed the networks."""


@dataclass(frozen=True)
class Computed:
    """A segment that is encoded but not committed; only the run that asked for it commits it."""

    partial: Path
    """Its temporary file or folder."""
    record: dict[str, Any]
    """Its line of the journal, without name, size and digest."""
    measured: tuple[int, str] | None = None
    """Size and digest on the machine that computed it, if that is another one."""


class Upscaling(Protocol):
    """What upscales the frames of a segment, such as `inference.engine.Engine`."""

    events: list[Event]
    """What the user should know about the computation so far."""

    @property
    def kernels(self) -> str:
        """The kernels in use, for the report."""

    def land(
        self,
        frames: Iterable[Picture],
        chunks: Iterable[Chunk],
        landing: Landing | None,
        on_frames: OnFrames | None = None,
    ) -> Iterator[Picture | FinalPicture]:
        """Yield the kept frames of a segment's chunks; see `Engine.land`."""


class Readable(Protocol):
    """The source of a segment's frames: a `FrameSource`, or a substitute."""

    def read(self, scan: Scan, start: int, stop: int) -> Iterator[Frame]:
        """Yield frames `start:stop` of a scan."""


def worker(
    plan: Plan,
    folder: WorkFolder,
    index: int,
    engine: Upscaling,
    on_frames: OnFrames | None = None,
    *,
    alone: bool = True,
) -> Finished:
    """Compute segment `index` and commit it, unless that has been done already.

    Args:
        plan: the run.
        folder: its work folder.
        index: of the segment.
        engine: upscales the frames.
        on_frames: called with work done, in units of frames.
        alone: whether this process holds the folder; otherwise other workers, on any machine, may
            commit the same segment.

    Raises:
        VsrppError: reading, computing or writing failed; no file of the segment is left.
    """
    done = finished_segments(plan, folder, only=index)
    if index in done:
        return done[index]
    computed = compute(plan, folder, index, engine, on_frames)
    return commit(plan, folder, computed) if alone else commit_among(folder, computed)


def compute(
    plan: Plan,
    folder: WorkFolder,
    index: int,
    engine: Upscaling,
    on_frames: OnFrames | None = None,
    *,
    source: Readable | None = None,
) -> Computed:
    """Compute and encode segment `index` into a temporary file.

    Args:
        plan: the run.
        folder: its work folder.
        index: of the segment.
        engine: upscales the frames.
        on_frames: called with work done, in units of frames.
        source: of the frames; None for the plan's input.

    Raises:
        VsrppError: reading, computing or writing failed; no file of the segment is left.
    """
    target = segment_path(plan, folder, index)
    partial = target.with_name(f"{target.stem}.part-{_unique()}{target.suffix}")
    started, before = time.perf_counter(), len(engine.events)
    source = source or reopen_source(plan)
    try:
        frames = _encode(plan, plan.segments[index], partial, engine, on_frames, source)
    except BaseException:
        remove(partial)
        raise
    return Computed(
        partial,
        {
            "event": "segment",
            "index": index,
            "frames": frames,
            "events": [to_json(event) for event in _events(engine, before)],
            "seconds": round(time.perf_counter() - started, 3),
            "kernels": engine.kernels,
        },
    )


def _unique() -> str:
    """Return a name that is unique among all workers, on all machines and in all containers."""
    host = re.sub("[^A-Za-z0-9-]", "-", platform.node())[:32]
    return f"{host}-{os.getpid()}-{secrets.token_hex(4)}"


def _events(engine: Upscaling, before: int) -> list[Event]:
    """Return the events after the first `before`, and those that concern all segments."""
    return [e for i, e in enumerate(engine.events) if i >= before or e.chunk is None]


def commit(plan: Plan, folder: WorkFolder, computed: Computed) -> Finished:
    """Make a segment durable, rename it, and record it in the journal, in that order.

    Raises:
        DiskFullError: there is no room; the segment's files are removed.
        WorkerError: its content is not what was computed on another machine.
    """
    return commit_together(plan, folder, [computed])[0]


def commit_together(plan: Plan, folder: WorkFolder, batch: Sequence[Computed]) -> list[Finished]:
    """Do the same as `commit` for several segments at once.

    Renames and records are made durable once for all of them, which takes most of the time where
    segments are short.
    """
    targets = [segment_path(plan, folder, computed.record["index"]) for computed in batch]
    return _commit(targets, batch, folder.journal.append_all)


def commit_among(folder: WorkFolder, computed: Computed) -> Finished:
    """Commit a segment while others may commit the same one from other machines.

    Raises:
        DiskFullError: there is no room; the segment's files are removed.
        WorkerError: a run or a join has taken the folder over.
    """
    partial = computed.partial
    if not partial.exists():
        raise WorkerError(f"{partial} is gone: a run or a join has taken the work folder over")
    target = partial.with_name(partial.name.replace(".part-", "-", 1))
    return _commit([target], [computed], lambda records: write_mark(folder, *records))[0]


def _commit(
    targets: Sequence[Path], batch: Sequence[Computed], note: Callable[[list[dict[str, Any]]], None]
) -> list[Finished]:
    """Commit segments of one folder: contents first, then names, then records."""
    folder = targets[0].parent
    try:
        with disk_errors(targets[0]):
            records = [_durable(*pair) for pair in zip(batch, targets, strict=True)]
            for computed, target in zip(batch, targets, strict=True):
                remove(target)
                computed.partial.replace(target)
            fsync_path(folder)
        note(records)
    except DiskFullError:
        for path in (*targets, *(computed.partial for computed in batch)):
            remove(path)
        raise
    return [_finished(record) for record in records]


def _durable(computed: Computed, target: Path) -> dict[str, Any]:
    """Make a segment's content durable, and return its complete record."""
    fsync_tree(computed.partial)
    size, digest = measure(computed.partial)
    if computed.measured not in (None, (size, digest)):
        raise WorkerError(f"{computed.partial} is not what its worker wrote")
    return {**computed.record, "name": target.name, "size": size, "digest": digest}


def remove_partial(folder: WorkFolder) -> None:
    """Remove temporary files of workers that were killed; the caller holds the folder alone."""
    for path in folder.segments.glob("*.part*"):
        remove(path)


def segment_path(plan: Plan, folder: WorkFolder, index: int) -> Path:
    """Return the path of the finished segment."""
    return folder.segment(index, output_of(plan.output).segment_suffix)


def reopen_source(plan: Plan) -> FrameSource:
    """Open the plan's input with the settings it was planned with."""
    return plan.decoding.open(Path(plan.source.path))


def _encode(
    plan: Plan,
    segment: Segment,
    target: Path,
    engine: Upscaling,
    on_frames: OnFrames | None,
    source: Readable,
) -> int:
    passing = _Passing(segment.keep_start, segment.keep_stop)
    encode, geometry = plan.output.encode, plan.geometry
    # Scratch files are next to the segment, where `disk.check` has looked for room.
    landing = Landing(encode.width, encode.height, target.parent if geometry.scratch else None)
    ahead, behind = geometry.thrift.queues
    with (
        disk_errors(target),
        ReadAhead(source.read(plan.scan, segment.start, segment.stop), ahead) as frames,
    ):
        writer = output_of(plan.output).open_writer(target, first=segment.keep_start)
        with WriteBehind(writer, behind) as output:
            given = passing.note(frames, segment.start)
            for rgb in engine.land(given, segment.chunks, landing, on_frames):
                output.write(passing.frame(rgb))
            return output.close()


class _Passing:
    """What bypasses the network: the timestamps and alpha of frames being computed."""

    def __init__(self, keep_start: int, keep_stop: int) -> None:
        self._keep = range(keep_start, keep_stop)
        self._beside: dict[int, tuple[int, NDArray[np.float32] | None]] = {}
        self._next = keep_start

    def note(self, frames: ReadAhead[Frame], start: int) -> Iterator[NDArray[np.float32]]:
        """Yield the pictures of `frames`; the first one is frame `start` of the run."""
        for index, frame in enumerate(frames, start):
            if index in self._keep:
                self._beside[index] = frame.pts, frame.alpha
            yield frame.rgb

    def frame(self, rgb: Picture | FinalPicture) -> Frame | FinalFrame:
        """Return the next kept frame with the network's picture."""
        pts, alpha = self._beside.pop(self._next)
        self._next += 1
        if rgb.dtype == np.uint16:
            return FinalFrame(pts, cast("FinalPicture", rgb), alpha)
        return Frame(pts, cast("Picture", rgb), alpha)


def _finished(record: dict[str, Any]) -> Finished:
    return Finished(
        index=record["index"],
        name=record["name"],
        frames=record["frames"],
        size=record["size"],
        digest=record["digest"],
        events=tuple(record["events"]),
        seconds=record["seconds"],
        kernels=record["kernels"],
    )


def finished_segments(
    plan: Plan, folder: WorkFolder, *, only: int | None = None
) -> dict[int, Finished]:
    """Return the segments in the journal or with a mark whose files are complete and unchanged."""
    done: dict[int, Finished] = {}
    for source in (_journaled(folder, only), read_marks(folder, only)):
        for segment in _last(source):
            known = segment.index in done or segment.index >= len(plan.segments)
            if not known and _is_whole(folder, segment):
                done[segment.index] = segment
    return done


def _journaled(folder: WorkFolder, only: int | None = None) -> Iterator[dict[str, Any]]:
    """Yield the journal's records of segments, or of one segment."""
    for record in folder.journal.read():
        if record.get("event") == "segment" and only in (None, record["index"]):
            yield record


def _last(records: Iterable[dict[str, Any]]) -> Iterable[Finished]:
    """Return the last record of each segment."""
    return {record["index"]: _finished(record) for record in records}.values()


def named_segments(folder: WorkFolder) -> set[int]:
    """Return the segments that are recorded as done, without checking their files."""
    return marked(folder) | {record["index"] for record in _journaled(folder)}


def noted(folder: WorkFolder) -> Done:
    """Return how much is recorded as done, without checking the files of segments."""
    found = _last([*_journaled(folder), *read_marks(folder)])
    return Done(sum(segment.frames for segment in found), sum(segment.size for segment in found))


def _is_whole(folder: WorkFolder, segment: Finished) -> bool:
    path = folder.segments / segment.name
    return path.exists() and measure(path) == (segment.size, segment.digest)


def measure(path: Path) -> tuple[int, str]:
    """Return size in bytes and BLAKE2b digest of a file, or of a folder's files and their names."""
    digest = hashlib.blake2b(digest_size=16)
    if path.is_dir():
        size = 0
        for child in sorted(path.iterdir()):
            child_size, child_digest = measure(child)
            size += child_size
            digest.update(os.fsencode(child.name) + b"\0" + child_digest.encode())
        return size, digest.hexdigest()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return path.stat().st_size, digest.hexdigest()
