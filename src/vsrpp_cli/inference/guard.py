"""A look at what the network gave: numbers at all, not black, not another colour than the input."""

from dataclasses import dataclass, field

import torch
from torch import Tensor

BLACK = 0.5 / 255
"""Output that stays below this everywhere is black in 8 bits."""
NOT_BLACK = 4 / 255
"""Input with a mean above this is not."""
DRIFT = 0.05
"""Change of a channel's mean over a chunk, of full range, that is worth a warning."""


@dataclass
class Guard:
    """Watches the frames of one chunk; costs one pass over each."""

    _given: Tensor = field(default_factory=lambda: torch.zeros(3))
    _made: Tensor = field(default_factory=lambda: torch.zeros(3))
    _frames: int = 0

    def fault(self, output: Tensor, given: Tensor) -> str | None:
        """Return what is wrong with a frame, or None.

        Args:
            output: shape (3, sH, sW), float32, before it is clamped to [0, 1].
            given: the input frame, shape (3, H, W), in [0, 1].
        """
        made, brightness = output.mean(dim=(1, 2)).cpu(), given.mean(dim=(1, 2)).cpu()
        if not bool(torch.isfinite(made).all()):
            return "values that are not numbers"
        # The mean first: looking for the brightest pixel is another pass over the frame.
        dark = float(made.max()) < BLACK and float(brightness.max()) > NOT_BLACK
        if dark and float(output.max()) < BLACK:
            return "a black frame from one that is not"
        self._given += brightness
        self._made += made
        self._frames += 1
        return None

    def drift(self) -> list[float] | None:
        """Return by how much red, green and blue moved on average, if that is too much."""
        if not self._frames:
            return None
        moved = (self._made - self._given) / self._frames
        return moved.tolist() if float(moved.abs().max()) > DRIFT else None
