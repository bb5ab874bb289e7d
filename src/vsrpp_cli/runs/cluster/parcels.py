"""Files as one sequence of bytes, cut into pieces of limited size for the object store."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

PIECE = 8 << 20
"""Largest size of a piece in bytes."""


@dataclass(frozen=True)
class Parcel:
    """Files below one folder, in the order in which their bytes are concatenated."""

    files: tuple[tuple[str, int], ...]
    """Names below the folder, with `/`, and sizes in bytes."""

    @property
    def pieces(self) -> int:
        """How many pieces there are."""
        return -(-sum(size for _, size in self.files) // PIECE)

    def part(self, number: int) -> Iterator[tuple[str, int, int]]:
        """Yield the parts of a piece: name of a file, offset in it, number of bytes."""
        begin, end = number * PIECE, (number + 1) * PIECE
        position = 0
        for name, size in self.files:
            first, last = max(begin, position), min(end, position + size)
            if first < last:
                yield name, first - position, last - first
            position += size


def pack(root: Path, names: Iterable[str]) -> Parcel:
    """Return the parcel of files below `root`."""
    return Parcel(tuple((name, (root / name).stat().st_size) for name in names))


def pack_whole(path: Path) -> Parcel:
    """Return the parcel, below the path's own folder, of a file or of a folder's files."""
    files = sorted(path.iterdir()) if path.is_dir() else [path]
    return pack(path.parent, [file.relative_to(path.parent).as_posix() for file in files])


def read_piece(root: Path, parcel: Parcel, number: int) -> bytes:
    """Return piece `number` of a parcel whose files stand below `root`."""
    blocks = []
    for name, offset, length in parcel.part(number):
        with (root / name).open("rb") as file:
            file.seek(offset)
            blocks.append(file.read(length))
    return b"".join(blocks)


def lay_out(root: Path, parcel: Parcel) -> None:
    """Make empty files below `root`, to be filled piece by piece."""
    for name, _ in parcel.files:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()


def write_piece(root: Path, parcel: Parcel, number: int, data: bytes) -> None:
    """Write piece `number` of a parcel that is laid out below `root`, in any order."""
    start = 0
    for name, offset, length in parcel.part(number):
        with (root / name).open("r+b") as file:
            file.seek(offset)
            file.write(data[start : start + length])
        start += length
