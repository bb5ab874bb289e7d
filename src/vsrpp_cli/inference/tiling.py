"""Padding clips, and putting tiles and ensemble views together without seams."""

from collections.abc import Iterator

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from vsrpp_cli.planning.tiles import Span

FULL = 32752
"""What 1.0 is in the store: 15 bits, less room for the rounding of a few contributions."""


def pad(clip: Tensor, width: int, height: int) -> Tensor:
    """Return a (..., 3, H, W) clip or frame padded to the right and below to `height` and `width`.

    By reflection, which continues textures; by repeating the border where there is too little to
    reflect.
    """
    right, below = width - clip.shape[-1], height - clip.shape[-2]
    if not right and not below:
        return clip
    enough = right < clip.shape[-1] and below < clip.shape[-2]
    return F.pad(clip, (0, right, 0, below), mode="reflect" if enough else "replicate")


def weights(span: Span, scale: int) -> Tensor:
    """Return the weight of each output pixel of a span, shape (scale * length,), float32.

    Smooth ramps (without a kink at either end) where it fades; the weights of neighbours sum to 1.
    """
    # Positions of output pixels' centres in input pixels.
    at = (torch.arange(span.start * scale, span.stop * scale, dtype=torch.float64) + 0.5) / scale
    weight = torch.ones_like(at)
    if span.fade_in is not None:
        weight *= _ramp(at, span.fade_in)
    if span.fade_out is not None:
        weight *= 1 - _ramp(at, span.fade_out)
    return weight.float()


def _ramp(at: Tensor, fade: tuple[int, int]) -> Tensor:
    t = ((at - fade[0]) / max(fade[1] - fade[0], 1e-9)).clamp(0, 1)
    return t * t * (3 - 2 * t)


def shares(frames: Tensor, weight: Tensor) -> Tensor:
    """Return what frames contribute to a `FrameStore`, on their device.

    Args:
        frames: shape (N, 3, h, w), float32, in [0, 1].
        weight: shape (N, h, w), on the same device.

    Returns:
        shape (N, 3, h, w), int16.
    """
    return (frames * weight.unsqueeze(1)).mul_(FULL).round_().to(torch.int16)


class FrameStore:
    """The kept frames of a chunk while they are put together from weighted contributions.

    Kept in 15 bits, a third of what float32 accumulators and their weights would take; the error
    stays below a sixteenth of a 10-bit code value. It lives in the machine's memory.
    """

    def __init__(self, count: int, width: int, height: int) -> None:
        self._frames = torch.zeros(count, 3, height, width, dtype=torch.int16)

    def add(self, index: int, share: Tensor, top: int, left: int) -> None:
        """Add a contribution to frame `index`.

        Args:
            index: of the frame, from 0.
            share: shape (3, h, w), on the CPU: one of `shares`.
            top: output row of the contribution's first row.
            left: output column of its first column.
        """
        height, width = share.shape[-2:]
        self._frames[index, :, top : top + height, left : left + width] += share

    def frames(self, width: int, height: int) -> Iterator[NDArray[np.float32]]:
        """Yield the frames, cropped: (3, height, width), float32, in [0, 1]."""
        for stored in self._frames:
            frame = stored[:, :height, :width].to(torch.float32)
            yield frame.mul_(1 / FULL).clamp_(0, 1).numpy()
