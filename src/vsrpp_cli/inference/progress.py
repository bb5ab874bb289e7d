"""Progress of the computation, in units of frames.

Most of a chunk's work is done before its first frame is finished, which takes minutes on a slow
machine. Progress therefore counts work, not finished frames.
"""

from collections.abc import Callable

OnFrames = Callable[[float], None]
"""Called with the work done since the last call, in units of frames."""


class Meter:
    """Adds up the work of chunks; the total reported at the end is the number of frames."""

    def __init__(self, on_frames: OnFrames | None) -> None:
        self._on_frames = on_frames or (lambda _: None)
        self._told = 0.0
        self._frames = 0

    def begin(self, frames: int) -> None:
        """Begin a chunk with this number of kept frames."""
        self._frames += frames

    def add(self, frames: float) -> None:
        """Report work; more than the frames begun so far is not reported (repeated work)."""
        frames = min(frames, self._frames - self._told)
        if frames > 0:
            self._told += frames
            self._on_frames(frames)

    def end(self) -> None:
        """End the chunk: report the rest of its work."""
        self.add(self._frames - self._told)
