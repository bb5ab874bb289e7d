"""Estimates the disk space that a run needs, and checks it while the run continues."""

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from vsrpp_cli.errors import DiskFullError
from vsrpp_cli.media.encode.encoder_table import encoder_row
from vsrpp_cli.media.images.format_table import image_row
from vsrpp_cli.media.types import EncodeSettings
from vsrpp_cli.runs.plans.plan import Plan

MARGIN = 64 << 20
"""Bytes left free for the journal, the plan, and other users of the disk."""


@dataclass(frozen=True)
class Done:
    """How much of the segments already exists."""

    frames: int = 0
    size: int = 0
    """Bytes."""


def output_bytes(settings: EncodeSettings, frames: int) -> int:
    """Return the estimated size of the encoded video in bytes."""
    row = image_row(settings.codec) if settings.kind == "frames" else encoder_row(settings.codec)
    deep = 2 if settings.kind == "frames" and "16" in settings.pix_fmt else 1
    return int(settings.width * settings.height * frames * row.bits_per_pixel * deep / 8)


def needed(
    plan: Plan, *, work: Path, output: Path, done: Done = Done(), workers: int = 1
) -> dict[Path, int]:
    """Return the bytes that the run will still need, by folder: one for each file system.

    Segments stay in the work folder until the joined file next to the output has been verified. So
    if both are on one file system, it holds the video twice. The scratch files of workers are gone
    by then.

    Args:
        plan: the run.
        work: the work folder, existing or not.
        output: the output, existing or not.
        done: the finished segments, whose size is known.
        workers: number of workers, each with scratch files of its own.
    """
    scratch = plan.geometry.scratch * min(workers, len(plan.segments))
    if done.frames >= plan.frames:
        scratch = 0
    segments = output_bytes(plan.output.encode, max(0, plan.frames - done.frames))
    source = Path(plan.source.path)
    beside = source.stat().st_size if source.is_file() else 0  # sound and subtitles at most
    joined = done.size + segments + beside
    place = _existing(output.absolute().parent)
    if _device(place) == _device(_existing(work)):
        return {place: segments + max(joined, scratch)}
    return {_existing(work): segments + scratch, place: joined}


def check(plan: Plan, *, work: Path, output: Path, done: Done = Done(), workers: int = 1) -> None:
    """Check that there is room for the rest of the run.

    Raises:
        DiskFullError: there is not; the message has the numbers of bytes.
    """
    room = needed(plan, work=work, output=output, done=done, workers=workers)
    for place, wanted in room.items():
        free = shutil.disk_usage(place).free
        if free < wanted + MARGIN:
            raise DiskFullError(
                f"{place} has {free:,} bytes free, about {wanted + MARGIN:,} are needed: "
                "make room or give `work_dir` on another disk"
            )


@contextmanager
def naming_bytes(
    plan: Plan, *, work: Path, output: Path, done: Callable[[], Done]
) -> Iterator[None]:
    """Extend errors about a full disk by how much room the rest of the run needs.

    Args:
        plan: the run.
        work: the work folder.
        output: the output.
        done: called when such an error was raised; returns what is finished.

    Raises:
        DiskFullError: as raised inside, with the bytes needed and free in each full place.
    """
    try:
        yield
    except DiskFullError as error:
        room = needed(plan, work=work, output=output, done=done())
        short = [
            f"about {wanted + MARGIN:,} bytes are needed at {place}, {free:,} are free"
            for place, wanted in room.items()
            if (free := shutil.disk_usage(place).free) < wanted + MARGIN
        ]
        raise DiskFullError("; ".join([str(error), *short])) from error


def watch(folder: Path, wanted: int) -> None:
    """Check that `folder` has room for the next segment of about `wanted` bytes.

    Raises:
        DiskFullError: it has not; reported before the segment is computed.
    """
    free = shutil.disk_usage(folder).free
    if free < wanted:
        raise DiskFullError(
            f"no space left for {folder}, where the next segment takes about {wanted:,} bytes: "
            "make room and give the same command again to go on"
        )


def _existing(path: Path) -> Path:
    path = path.absolute()
    while not path.exists():
        path = path.parent
    return path


def _device(path: Path) -> int:
    return path.stat().st_dev
