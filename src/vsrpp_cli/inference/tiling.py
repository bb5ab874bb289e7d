"""Pads clips, and blends tiles and ensemble views without seams."""

import torch
import torch.nn.functional as F
from torch import Tensor

from vsrpp_cli.planning.tiles import Span

FULL = 32752
"""The integer that stands for 1.0 in the frame store: 15 bits, minus room for the rounding of a few
contributions."""

VIEWS = 8
"""Views of the 8-fold spatial self-ensemble (Timofte et al., CVPR 2016).

View 0 is the unchanged clip; bits 0, 1 and 2 of the number flip left-right, flip up-down and
transpose.
"""


def pad(clip: Tensor, width: int, height: int) -> Tensor:
    """Return a (..., 3, H, W) clip or frame padded on the right and below to `width` and `height`.

    Padding reflects the picture, which continues textures; where the picture is too small for that,
    it repeats the border.
    """
    right, below = width - clip.shape[-1], height - clip.shape[-2]
    if not right and not below:
        return clip
    enough = right < clip.shape[-1] and below < clip.shape[-2]
    return F.pad(clip, (0, right, 0, below), mode="reflect" if enough else "replicate")


def weights(span: Span, scale: int) -> Tensor:
    """Return the weight of each output pixel of a span, shape (scale * length,), float32.

    Where it fades the weight is a smoothstep; the weights of neighbours sum to 1.
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
    """Return weighted frames as contributions to a `keeping.frame_store.FrameStore`.

    Args:
        frames: shape (N, 3, h, w), float32, in [0, 1].
        weight: shape (N, h, w), on the same device.

    Returns:
        shape (N, 3, h, w), int16, on the same device; `FULL` stands for 1.0.
    """
    return (frames * weight.unsqueeze(1)).mul_(FULL).round_().to(torch.int16)


def transform(clip: Tensor, view: int) -> Tensor:
    """Return view `view` of a clip (..., H, W), flipped and transposed; (..., W, H) from view 4."""
    flipped = [axis for bit, axis in ((1, -1), (2, -2)) if view & bit]
    clip = clip.flip(flipped) if flipped else clip
    return clip.transpose(-1, -2).contiguous() if view & 4 else clip


def restore(clip: Tensor, view: int) -> Tensor:
    """Undo `transform`."""
    clip = clip.transpose(-1, -2) if view & 4 else clip
    flipped = [axis for bit, axis in ((1, -1), (2, -2)) if view & bit]
    return clip.flip(flipped) if flipped else clip
