"""The frames that chunks see, out of a stream that gives each only once."""

from collections import deque
from collections.abc import Iterable, Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Picture = NDArray[np.float32]


class Window:
    """Frames `first` and following of a stream, as far as they are still needed."""

    def __init__(self, frames: Iterable[Picture], first: int) -> None:
        self._source: Iterator[Picture] = iter(frames)
        self._frames: deque[Picture] = deque()
        self.first = first
        """Index of the first frame still here: of the stream's first one, to begin with."""

    def reach(self, stop: int) -> int:
        """Read on until frames before `stop` are here; return where the stream ended if sooner."""
        while self.first + len(self._frames) < stop:
            frame = next(self._source, None)
            if frame is None:
                break
            self._frames.append(frame)
        return min(stop, self.first + len(self._frames))

    def drop(self, before: int) -> None:
        """Drop the frames before index `before`."""
        while self._frames and self.first < before:
            self._frames.popleft()
            self.first += 1

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the frames."""
        height, width = self._frames[0].shape[-2:]
        return height, width

    def tensors(self, start: int, stop: int) -> list[Tensor]:
        """Return frames `start:stop`, (3, H, W) each, float32, on the CPU; not to be written to."""
        chosen = (self._frames[i] for i in range(start - self.first, stop - self.first))
        # No copy, except of what torch would warn of.
        return [torch.from_numpy(f if f.flags.writeable else f.copy()) for f in chosen]


class LookAhead(Iterator[Picture]):
    """A stream of which frames can be known to exist before they are taken."""

    def __init__(self, frames: Iterable[Picture]) -> None:
        self._source = iter(frames)
        self._ahead: deque[Picture] = deque()
        self._taken = 0

    def __next__(self) -> Picture:
        self.reach(self._taken + 1)
        if not self._ahead:
            raise StopIteration
        self._taken += 1
        return self._ahead.popleft()

    def reach(self, stop: int) -> int:
        """Read on until frames before `stop` are known; return how many there are if fewer."""
        while self._taken + len(self._ahead) < stop:
            try:
                self._ahead.append(next(self._source))
            except StopIteration:
                break
        return min(stop, self._taken + len(self._ahead))
