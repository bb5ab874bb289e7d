"""Marks of finished segments, one file each: `segments/K.done`.

Any number of workers on any machines write to one work folder without a lock. Each writes its
segment to a file with a unique name, makes it durable, and then renames its mark to `K.done`. The
mark names the file of segment K. If two workers compute the same segment, the later mark is valid;
both files are complete.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from vsrpp_cli.durable import write_durably
from vsrpp_cli.records import to_bytes
from vsrpp_cli.runs.work.workfolder import WorkFolder


def mark_path(folder: WorkFolder, index: int) -> Path:
    """Return the path of the mark of segment `index`."""
    return folder.segments / f"{index:06d}.done"


def write_mark(folder: WorkFolder, record: dict[str, Any]) -> None:
    """Write the mark of a finished segment durably.

    Args:
        folder: the work folder.
        record: as in the journal; the name of the segment's file is unique.

    Raises:
        DiskFullError: there is no room; an older mark is unchanged.
    """
    path = mark_path(folder, record["index"])
    temporary = path.with_name(f"{record['name']}.done.part")
    write_durably(path, to_bytes(record), temporary=temporary)


def marked(folder: WorkFolder) -> set[int]:
    """Return the segments that have marks, without reading these."""
    return {int(path.stem) for path in folder.segments.glob("*.done")}


def read_marks(folder: WorkFolder, only: int | None = None) -> Iterator[dict[str, Any]]:
    """Yield the records of all marks, or that of one segment."""
    if only is not None:
        paths = [mark_path(folder, only)]
    else:
        paths = sorted(folder.segments.glob("*.done"))
    for path in paths:
        if (record := _read(path)) is not None:
            yield record


def _read(path: Path) -> dict[str, Any] | None:
    """Return the record of a mark; None if there is none, or it was torn by a crash."""
    try:
        record = json.loads(path.read_bytes())
    except (FileNotFoundError, ValueError):
        return None
    return record if isinstance(record, dict) else None
