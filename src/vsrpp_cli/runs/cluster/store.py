"""Inputs and checkpoints that a node has received, named by content and shared by its workers.

They are kept after a run, so that a continued run sends nothing twice, and removed when they have
not been used for some days.
"""

import os
import shutil
import time
from contextlib import suppress
from pathlib import Path

from vsrpp_cli.durable import disk_errors
from vsrpp_cli.runs.cluster.parcels import Parcel, lay_out, write_piece

KEPT = 3 * 24 * 3600.0
"""Seconds for which unused files are kept."""


class Store:
    """A folder of a node.

    Raises:
        DiskFullError, UsageError: methods that write, where there is no room or permission.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._expected: dict[str, Parcel] = {}

    def find(self, key: str, name: str) -> Path | None:
        """Return the path of the file `name` stored under a key."""
        path = self.root / key / name
        with suppress(OSError):
            os.utime(self.root / key)
        return path if (self.root / key).is_dir() else None

    def expect(self, key: str, parcel: Parcel) -> None:
        """Prepare to receive a parcel."""
        self._expected[key] = parcel
        with disk_errors(self.root):
            shutil.rmtree(self._arriving(key), ignore_errors=True)
            self._arriving(key).mkdir(parents=True)
            lay_out(self._arriving(key), parcel)

    def take_in(self, key: str, number: int, data: bytes) -> None:
        """Receive a piece of an expected parcel."""
        with disk_errors(self.root, len(data)):
            write_piece(self._arriving(key), self._expected[key], number, data)

    def keep(self, key: str) -> None:
        """Record that all pieces were received."""
        del self._expected[key]
        try:
            self._arriving(key).rename(self.root / key)
        except OSError:  # another worker has received the same meanwhile
            shutil.rmtree(self._arriving(key), ignore_errors=True)

    def scratch(self, key: str) -> Path:
        """Return a folder for the segments of a run that this process computes; create it."""
        place = self.root / f"{key}.made-{os.getpid()}"
        with disk_errors(self.root):
            place.mkdir(parents=True, exist_ok=True)
        return place

    def _arriving(self, key: str) -> Path:
        return self.root / f"{key}.part-{os.getpid()}"

    def tidy(self) -> None:
        """Remove unused files, and those of lost workers."""
        with suppress(OSError):
            for path in self.root.iterdir():
                if time.time() - path.stat().st_mtime > KEPT:
                    shutil.rmtree(path, ignore_errors=True)
