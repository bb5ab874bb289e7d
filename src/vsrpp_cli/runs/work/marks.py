"""Records of what workers have done, one file per segment: `segments/K.done`.

Any number of workers on any machines write to one work folder without a lock. Each names its
segment's file as no other does, makes it durable, and only then renames its mark into place: that
rename alone decides which file is segment K. Where two have computed the same one the later mark
counts, and either file is whole.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from vsrpp_cli.durable import write_durably
from vsrpp_cli.records import to_bytes
from vsrpp_cli.runs.work.workfolder import WorkFolder


def mark_path(folder: WorkFolder, index: int) -> Path:
    """Return the path of the mark that segment `index` is done."""
    return folder.segments / f"{index:06d}.done"


def write_mark(folder: WorkFolder, record: dict[str, Any]) -> None:
    """Make it durable that a segment is done.

    Args:
        folder: the work folder.
        record: as a line of the journal has it; the segment's name is in no other.

    Raises:
        DiskFullError: there is no room; the mark is as it was before.
    """
    path = mark_path(folder, record["index"])
    temporary = path.with_name(f"{record['name']}.done.part")
    write_durably(path, to_bytes(record), temporary=temporary)


def marked(folder: WorkFolder) -> set[int]:
    """Return which segments there are marks of, without reading them."""
    return {int(path.stem) for path in folder.segments.glob("*.done")}


def read_marks(folder: WorkFolder, only: int | None = None) -> Iterator[dict[str, Any]]:
    """Yield the records of the segments that workers have done, or that of one."""
    if only is not None:
        paths = [mark_path(folder, only)]
    else:
        paths = sorted(folder.segments.glob("*.done"))
    for path in paths:
        if (record := _read(path)) is not None:
            yield record


def _read(path: Path) -> dict[str, Any] | None:
    """Return what a mark says; None if there is none, or a machine died before it was durable."""
    try:
        record = json.loads(path.read_bytes())
    except (FileNotFoundError, ValueError):
        return None
    return record if isinstance(record, dict) else None
