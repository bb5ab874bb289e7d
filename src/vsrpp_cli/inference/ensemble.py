"""The 8-fold spatial self-ensemble (Timofte et al., CVPR 2016): flips and transposition."""

from torch import Tensor

VIEWS = 8
"""View 0 is the clip as it is; bits 0, 1 and 2 flip left-right, flip up-down and transpose."""


def transform(clip: Tensor, view: int) -> Tensor:
    """Return a (..., H, W) clip as view `view` shows it; (..., W, H) for views 4 to 7."""
    flipped = [axis for bit, axis in ((1, -1), (2, -2)) if view & bit]
    clip = clip.flip(flipped) if flipped else clip
    return clip.transpose(-1, -2).contiguous() if view & 4 else clip


def restore(clip: Tensor, view: int) -> Tensor:
    """Undo `transform`."""
    clip = clip.transpose(-1, -2) if view & 4 else clip
    flipped = [axis for bit, axis in ((1, -1), (2, -2)) if view & bit]
    return clip.flip(flipped) if flipped else clip
