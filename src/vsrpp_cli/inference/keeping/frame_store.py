"""The kept frames of a chunk while they are put together from tiles and views.

Contributions come from top to bottom. Of the frames at the network's size only the rows that tiles
still reach are kept; rows above are finished: cropped, brought to the final size, and kept in 16
bits, in memory or in a file. So what a chunk needs follows from the final size and the height of
tiles, not from the network's scale.
"""

from collections.abc import Iterator
from typing import Protocol, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vsrpp_cli.inference.keeping.scratch import ScratchFile
from vsrpp_cli.inference.tiling import FULL
from vsrpp_cli.resample import RowFitter

STEP = 16
"""Rows that are finished at a time: they take many times their memory meanwhile."""

FinalPicture = NDArray[np.uint16]
"""Shape (3, height, width), R, G, B; 65535 stands for 1."""


def as_floats(picture: NDArray[np.float32] | FinalPicture) -> NDArray[np.float32]:
    """Return a picture as float32 in [0, 1], which it may be already."""
    if picture.dtype == np.float32:
        return cast("NDArray[np.float32]", picture)
    return picture * np.float32(1 / 65535)


class Shelf(Protocol):
    """Keeps finished rows until their frame is complete."""

    def put(self, index: int, row: int, rows: FinalPicture) -> None:
        """Keep rows `row` and following of frame `index`, shape (3, n, width)."""

    def take(self, index: int) -> FinalPicture:
        """Return frame `index`, shape (3, height, width)."""


class ShelfInMemory:
    """Keeps frames in memory, each by itself: what is taken is not held any longer."""

    def __init__(self, width: int, height: int) -> None:
        self._shape = (3, height, width)
        self._frames: dict[int, FinalPicture] = {}

    def put(self, index: int, row: int, rows: FinalPicture) -> None:
        """Keep rows of a frame."""
        if index not in self._frames:
            self._frames[index] = np.empty(self._shape, np.uint16)
        self._frames[index][:, row : row + rows.shape[1]] = rows

    def take(self, index: int) -> FinalPicture:
        """Return a frame."""
        return self._frames.pop(index)


class ShelfInFile:
    """Keeps frames in a file, from its beginning on."""

    def __init__(self, file: ScratchFile, width: int, height: int) -> None:
        self._file = file
        self._shape = (3, height, width)

    def put(self, index: int, row: int, rows: FinalPicture) -> None:
        """Write rows of a frame."""
        for channel, part in enumerate(rows):
            self._file.write(self._place(index, channel, row), np.ascontiguousarray(part))

    def take(self, index: int) -> FinalPicture:
        """Read a frame."""
        frame = np.empty(self._shape, np.uint16)
        self._file.read_into(self._place(index, 0, 0), frame)
        return frame

    def _place(self, index: int, channel: int, row: int) -> int:
        channels, height, width = self._shape
        return 2 * width * (row + height * (channel + channels * index))


class FrameStore:
    """Frames of a chunk that are being put together.

    While they are it keeps 15 bits, a third of what float32 accumulators and their weights would
    take; the error stays below a sixteenth of a 10-bit code value.

    Args:
        count: frames.
        size: width and height of the frames that contributions are parts of.
        crop: width and height of what is kept of them, from the left and top.
        tile: the most rows that a contribution has.
        final: width and height that this is brought to, as `resample.fit` does it.
        shelf: for finished rows.
    """

    def __init__(
        self,
        count: int,
        *,
        size: tuple[int, int],
        crop: tuple[int, int],
        tile: int,
        final: tuple[int, int],
        shelf: Shelf,
    ) -> None:
        self._fitter = RowFitter((crop[1], crop[0]), (final[1], final[0]))
        self._crop, self._final, self._shelf = crop, final, shelf
        rows = min(size[1], tile + self._fitter.reach)
        self._band = torch.zeros(count, 3, rows, size[0], dtype=torch.int16)
        self._top = 0
        """Which row of the frames the first of the band is."""
        self._done = 0
        """Rows of the result that are on the shelf."""

    def add(self, index: int, share: Tensor, top: int, left: int) -> None:
        """Add a contribution to frame `index`.

        Args:
            index: of the frame, from 0.
            share: shape (3, h, w), on the CPU: one of `tiling.shares`.
            top: row of the contribution's first row; none above is finished.
            left: column of its first column.
        """
        height, width = share.shape[-2:]
        top -= self._top
        self._band[index, :, top : top + height, left : left + width] += share

    def finish(self, rows: int) -> None:
        """Record that the first `rows` rows have all their contributions."""
        rows = min(rows, self._crop[1])
        ready = self._fitter.ready(rows)
        if ready == self._done:
            return
        for index, band in enumerate(self._band):
            for start in range(self._done, ready, STEP):
                made = self._made(band, start, min(ready, start + STEP))
                self._shelf.put(index, start, made)
        self._done = ready
        self._move_to(self._fitter.first(ready))

    def _made(self, band: Tensor, start: int, stop: int) -> FinalPicture:
        """Return rows `start:stop` of the result, in 16 bits."""
        first, last = self._fitter.first(start), self._fitter.last(stop)
        known = band[:, first - self._top : last - self._top, : self._crop[0]]
        floats = known.to(torch.float32).mul_(1 / FULL).clamp_(0, 1)
        made = torch.from_numpy(self._fitter.rows(floats.numpy(), first, start, stop))
        return made.mul_(65535).round_().to(torch.uint16).numpy()

    def _move_to(self, top: int) -> None:
        """Drop the rows above `top`."""
        gone = min(top - self._top, self._band.shape[2])
        left = self._band.shape[2] - gone
        for frame in self._band:  # each alone, for the copy takes memory
            frame[:, :left] = frame[:, gone:].clone()
            frame[:, left:] = 0
        self._top = top

    def frames(self) -> Iterator[FinalPicture]:
        """Yield the frames in order; there once all their rows are finished."""
        assert self._done == self._final[1]
        self._band = self._band[:, :, :0].clone()  # its memory is not needed any more
        yield from map(self._shelf.take, range(len(self._band)))
