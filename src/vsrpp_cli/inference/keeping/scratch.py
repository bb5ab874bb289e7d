"""Files for what a run needs again soon and has no memory for.

They have no name where the system allows that, and are gone with the process, however it ends.
Plain reads and writes, not a mapping: pages of a mapped file count as memory of the process, and a
full disk would kill it instead of being an error.
"""

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vsrpp_cli.durable import disk_errors


class ScratchFile:
    """Arrays at given places in a temporary file.

    Args:
        folder: on the disk that has room for it; must exist.

    Raises:
        DiskFullError: the disk has none; here and in `write`.
        UsageError: the folder may not be written to.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        with disk_errors(folder):
            self._file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 - closed by `close`

    def write(self, place: int, array: NDArray[Any]) -> None:
        """Write a C-contiguous array at `place`, in bytes from the beginning."""
        with disk_errors(self._folder):
            self._file.seek(place)
            self._file.write(array.reshape(-1).view(np.uint8).data)

    def read_into(self, place: int, array: NDArray[Any]) -> None:
        """Fill a C-contiguous array with what was written at `place`."""
        with disk_errors(self._folder):
            self._file.seek(place)
            read = self._file.readinto(array.reshape(-1).view(np.uint8).data)
        assert read == array.nbytes

    def close(self) -> None:
        """Give the room back."""
        self._file.close()
