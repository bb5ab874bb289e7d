"""Checks of the network's output: finite, not black, same colours as the input."""

from dataclasses import dataclass, field

import torch
from torch import Tensor

BLACK = 0.5 / 255
"""Output that stays below this everywhere is black in 8 bits."""
NOT_BLACK = 4 / 255
"""Input with a mean above this is not."""
DRIFT = 0.05
"""Change of a channel's mean over a chunk, of full range, that is worth a warning."""


def look(outputs: Tensor, given: Tensor) -> Tensor:
    """Return what `Guard.fault` wants to know about frames, without waiting for a GPU.

    Args:
        outputs: shape (N, 3, sH, sW), float32, before they are clamped to [0, 1].
        given: the input frames, shape (N, 3, H, W), in [0, 1], on the same device.

    Returns:
        shape (N, 7), on the device: means of red, green and blue of the output, the same of the
        input, and a value that is below `BLACK` only if all of the output is.
    """
    made, brightness = outputs.mean(dim=(2, 3)), given.mean(dim=(2, 3))
    peak = made.amax(dim=1, keepdim=True)
    # Looking for the brightest pixel is another pass over the frame. Nothing is cheaper on a GPU
    # than to do it; on a CPU, where asking costs nothing, it is done only if the mean is dark.
    if outputs.device.type != "cpu" or bool((peak < BLACK).any()):
        peak = outputs.amax(dim=(1, 2, 3)).unsqueeze(1)
    return torch.cat([made, brightness, peak], dim=1)


@dataclass
class Guard:
    """Watches the frames of one chunk; costs one pass over each."""

    _given: Tensor = field(default_factory=lambda: torch.zeros(3))
    _made: Tensor = field(default_factory=lambda: torch.zeros(3))
    _frames: int = 0

    def fault(self, facts: Tensor) -> str | None:
        """Return what is wrong with a frame, or None.

        Args:
            facts: shape (7,), on the CPU: the frame's row of what `look` returned.
        """
        made, brightness, peak = facts[:3], facts[3:6], facts[6]
        if not bool(torch.isfinite(made).all()):
            return "values that are not numbers"
        if float(peak) < BLACK and float(brightness.max()) > NOT_BLACK:
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
