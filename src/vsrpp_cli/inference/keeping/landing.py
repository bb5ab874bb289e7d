"""Where what a chunk makes is kept until it can leave: in memory, or in files if that is short."""

from dataclasses import dataclass
from pathlib import Path

from vsrpp_cli.inference.keeping.carried import Carried, InFile, InMemory
from vsrpp_cli.inference.keeping.frame_store import Shelf, ShelfInFile, ShelfInMemory
from vsrpp_cli.inference.keeping.scratch import ScratchFile


@dataclass(frozen=True)
class Landing:
    """How frames that are put together from several passes are wanted."""

    width: int
    height: int
    """Size in pixels that they are brought to."""
    folder: Path | None = None
    """Where files hold them, and what is carried from chunk to chunk; None for memory."""


class Room:
    """What the chunks of a segment use in turn.

    Args:
        folder: for files; None for memory.

    Raises:
        DiskFullError, UsageError: no file can be made there.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self.carried: Carried = InMemory()
        self._files: list[ScratchFile] = []
        if folder is not None:
            self._files = [ScratchFile(folder), ScratchFile(folder)]
            self.carried = InFile(self._files[0])

    def shelf(self, width: int, height: int) -> Shelf:
        """Return an empty shelf for frames of a size; the one before is not used any more."""
        if self._files:
            return ShelfInFile(self._files[1], width, height)
        return ShelfInMemory(width, height)

    def close(self) -> None:
        """Give everything back."""
        self.carried.clear()
        for file in self._files:
            file.close()
