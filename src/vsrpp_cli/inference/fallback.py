"""What is tried when memory runs out although the plan was predicted to fit.

First one tile at a time, then smaller tiles, then shorter chunks, then, where the device has its
own memory, features kept in the machine's memory. After the last step the run fails with a message
that lists the sizes tried.
"""

from dataclasses import dataclass, field

import torch

from vsrpp_cli.errors import OutOfMemoryError

_SIGNS = (
    "can't allocate memory",
    "not enough memory",
    "out of memory",
    "std::bad_alloc",
    "ALLOC_FAILED",
)
"""Parts of messages of plain RuntimeErrors by which libraries report lack of memory."""


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether an error means that memory ran out."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and any(sign in str(error) for sign in _SIGNS)


@dataclass
class Ladder:
    """The current geometry, and the steps to smaller ones."""

    tile: tuple[int, int] | None
    """Width and height of tiles in input pixels; None for whole frames."""
    least_tile: int
    """Tiles are not made smaller than this."""
    batch: int = 1
    """Tiles computed together."""
    apart: bool = False
    """Whether the device has its own memory, so that the machine's memory can hold features."""
    most: int | None = None
    """Most frames of a chunk, overlap included; None for as many as planned."""
    on_host: bool = False
    """Whether features are kept in the machine's memory."""
    tried: list[str] = field(default_factory=list)
    """Descriptions of the geometries that did not fit."""

    def step_down(self, size: tuple[int, int], seen: int, overlap: int) -> str:
        """Take the next step; return a description of the new geometry.

        Args:
            size: width and height of the frames in pixels.
            seen: frames of the chunk that failed, overlap included.
            overlap: its frames of context.

        Raises:
            OutOfMemoryError: there is no further step.
        """
        self.tried.append(self._named(seen, size))
        if self.batch > 1:
            self.batch = 1
            return "one tile at a time"
        if self._smaller_tile(size):
            assert self.tile is not None
            return f"tiles of {self.tile[0]}x{self.tile[1]}"
        least = 2 * overlap + 1
        if seen > least:
            self.most = max(least, (seen + 1) // 2)
            return f"chunks of {self.most} frames"
        if self.apart and not self.on_host:
            self.on_host = True
            return "features kept in the machine's memory"
        raise OutOfMemoryError(
            f"out of memory at every size tried: {'; '.join(self.tried)}. "
            "Close other programs, or give a smaller `chunk` or `tile`"
        )

    def _named(self, seen: int, size: tuple[int, int]) -> str:
        width, height = self.tile or size
        together = f", {self.batch} tiles at a time" if self.batch > 1 else ""
        where = ", features in the machine's memory" if self.on_host else ""
        return f"{seen} frames of {width}x{height}{together}{where}"

    def _smaller_tile(self, size: tuple[int, int]) -> bool:
        width, height = self.tile or size
        if width >= height and width > self.least_tile:
            self.tile = max(self.least_tile, (width + 1) // 2), height
        elif height > self.least_tile:
            self.tile = width, max(self.least_tile, (height + 1) // 2)
        else:
            return False
        return True
