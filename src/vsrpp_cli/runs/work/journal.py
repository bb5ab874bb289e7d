"""The journal of a run: a record of the finished parts of its plan, one JSON object a line.

Append-only and fsynced. A crash can only leave an incomplete last line; whatever follows the last
complete line is ignored when the journal is read, and overwritten when it is next written.
"""

import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import IO, Any

from vsrpp_cli.durable import disk_errors, fsync_path
from vsrpp_cli.records import to_bytes
from vsrpp_cli.runs.work.locks import short_lock


class Journal:
    """The file `journal.jsonl` of a work folder.

    Keeps what it has read, so that the time of reading and appending does not grow with the
    journal; lines appended by other processes are read at the next call.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.lock = path.with_suffix(".lock")
        """The lock file: several batches may write to one journal."""
        self._forget()

    def _forget(self) -> None:
        self._records: list[dict[str, Any]] = []
        self._end = 0
        """Offset of the end of the last complete line."""
        self._last = b""
        """That line: if it is unchanged, so is everything before it."""

    def read(self) -> list[dict[str, Any]]:
        """Return all complete records, oldest first."""
        try:
            with self.path.open("rb", buffering=0) as file:
                self._catch_up(file)
        except FileNotFoundError:
            self._forget()
        return list(self._records)

    def append(self, record: dict[str, Any]) -> None:
        """Add one record and make it durable before returning.

        Raises:
            DiskFullError: there is no room; the journal is unchanged.
        """
        self.append_all([record])

    def append_all(self, records: Iterable[dict[str, Any]]) -> None:
        """Add records with one fsync; after a crash only the first of them may be there.

        Raises:
            DiskFullError: there is no room; the journal is unchanged.
        """
        lines = b"".join(map(to_bytes, records))
        with disk_errors(self.path, len(lines)):
            with short_lock(self.lock):
                new = not self.path.exists()
                if new:
                    self.path.touch()
                with self.path.open("r+b", buffering=0) as file:
                    self._catch_up(file)
                    _write(file, lines, self._end)
                    self._catch_up(file)
            if new:
                fsync_path(self.path.parent)

    def _catch_up(self, file: IO[bytes]) -> None:
        """Read the lines added since the last call; everything if earlier lines have changed."""
        size = os.fstat(file.fileno()).st_size
        if _read(file, self._end - len(self._last), self._end) != self._last:
            self._forget()
        records, last, end = _parse(_read(file, self._end, size))
        if records:
            self._records += records
            self._last = last
            self._end += end


def _write(file: IO[bytes], lines: bytes, end: int) -> None:
    """Write lines at `end`, replacing an incomplete line, and make them durable."""
    file.truncate(end)
    try:
        file.seek(end)
        written = 0
        while written < len(lines):
            written += file.write(lines[written:])
        os.fsync(file.fileno())
    except OSError:
        file.truncate(end)
        raise


def _read(file: IO[bytes], start: int, stop: int) -> bytes:
    """Return the bytes `start:stop`, as far as they exist."""
    file.seek(start)
    blocks = []
    while start < stop and (block := file.read(stop - start)):
        blocks.append(block)
        start += len(block)
    return b"".join(blocks)


def _parse(data: bytes) -> tuple[list[dict[str, Any]], bytes, int]:
    """Return the complete records in `data`, the line of the last one, and its end."""
    records: list[dict[str, Any]] = []
    start, end = 0, 0
    while (stop := data.find(b"\n", end)) >= 0:
        try:
            record = json.loads(data[end:stop])
        except ValueError:
            break
        if not isinstance(record, dict):
            break
        records.append(record)
        start, end = end, stop + 1
    return records, data[start:end], end
