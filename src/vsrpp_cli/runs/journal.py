"""The journal of a run: what is done of its plan, one JSON object a line.

Append-only and fsynced. A crash can only tear the last line; whatever follows the last whole line
is dropped when the journal is next written to, and ignored when it is read.
"""

import fcntl
import json
import os
from pathlib import Path
from typing import Any

from vsrpp_cli.runs.durable import disk_errors, fsync_path


class Journal:
    """The file `journal.jsonl` of a work folder."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def read(self) -> list[dict[str, Any]]:
        """Return all whole records, oldest first."""
        try:
            data = self.path.read_bytes()
        except FileNotFoundError:
            return []
        return _parse(data)[0]

    def append(self, record: dict[str, Any]) -> None:
        """Add one record and make it durable before returning.

        Raises:
            DiskFullError: there is no room; the journal is as it was before.
        """
        line = json.dumps(record, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"
        with disk_errors(self.path):
            new = not self.path.exists()
            handle = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o666)
            try:
                # Several `vsrpp worker` processes may commit to one journal.
                fcntl.flock(handle, fcntl.LOCK_EX)
                _append_line(handle, line)
            finally:
                os.close(handle)
            if new:
                fsync_path(self.path.parent)


def _append_line(handle: int, line: bytes) -> None:
    end = _parse(_read_all(handle))[1]
    os.ftruncate(handle, end)
    try:
        written = 0
        while written < len(line):
            written += os.pwrite(handle, line[written:], end + written)
        os.fsync(handle)
    except OSError:
        os.ftruncate(handle, end)
        raise


def _read_all(handle: int) -> bytes:
    os.lseek(handle, 0, os.SEEK_SET)
    with os.fdopen(os.dup(handle), "rb") as file:
        return file.read()


def _parse(data: bytes) -> tuple[list[dict[str, Any]], int]:
    """Return the whole records at the beginning of `data`, and where they end."""
    records, end = [], 0
    while (stop := data.find(b"\n", end)) >= 0:
        try:
            record = json.loads(data[end:stop])
        except ValueError:
            break
        if not isinstance(record, dict):
            break
        records.append(record)
        end = stop + 1
    return records, end
