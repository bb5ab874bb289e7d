"""Checks of the network's output: finite, not black, same colours as the input."""

from dataclasses import dataclass, field

import torch
from torch import Tensor

BLACK = 0.5 / 255
"""A frame whose values are all below this is black in 8 bits."""
NOT_BLACK = 4 / 255
"""A frame in which the mean of a channel is above this is not black."""
DRIFT = 0.05
"""Change of a channel's mean over a chunk, as a share of the full range, that causes a warning."""


def look(outputs: Tensor, given: Tensor) -> Tensor:
    """Return the facts about frames that `Guard.fault` needs, without waiting for a GPU.

    Args:
        outputs: shape (N, 3, sH, sW), float32, before they are clamped to [0, 1].
        given: the input frames, shape (N, 3, H, W), in [0, 1], on the same device.

    Returns:
        shape (N, 7), on the device: the means of red, green and blue of the output, the same of the
        input, and a value that is below `BLACK` only if the whole output is.
    """
    made, brightness = outputs.mean(dim=(2, 3)), given.mean(dim=(2, 3))
    peak = made.amax(dim=1, keepdim=True)
    # Finding the brightest pixel takes another pass over the frame. On a GPU that is cheaper than
    # waiting for the mean; on a CPU the mean is known, and the pass is made only if it is dark.
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
        """Return what is wrong with a frame in words, None if nothing is.

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
        """Return the mean changes of red, green and blue (of 1) if one exceeds `DRIFT`."""
        if not self._frames:
            return None
        moved = (self._made - self._given) / self._frames
        return moved.tolist() if float(moved.abs().max()) > DRIFT else None
