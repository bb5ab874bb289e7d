"""Temporal consistency: how much a result changes where the ground truth only moves.

The warping error of Lai et al. (Learning Blind Video Temporal Consistency, ECCV 2018) is the mean
squared difference between a frame and the next one warped back along the motion, over the pixels
visible in both. Alone it favours blur: on Vid4 it is several times smaller for bicubic
interpolation than for the ground truth, since no flow is exact, and errors of a hundredth of a
pixel show in sharp detail. It is therefore divided by the mean squared gradient. The root of this
ratio is the distance in pixels by which details miss the place to which the motion moves them.

The motion is that of the ground truth, so that all methods are treated alike. It is found by
iterative Lucas-Kanade on a pyramid, not by a model's flow network.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from vsrpp_cli.network.warp import sampling_grid, warp

ITERATIONS = 4
"""Lucas-Kanade steps on each level."""
WINDOW = 9
"""Side in pixels of the window whose pixels are assumed to have the same motion."""
COARSEST = 24
"""Least length in pixels of the shorter side of the coarsest level."""
NOISE = 1e-4
"""Added to the diagonal of the structure tensor; squared gradients below it are noise."""


@dataclass(frozen=True)
class Motion:
    """Motion of the truth between one frame and the next."""

    flow: Tensor
    """Shape (1, 2, h, w), float32, x and y in pixels at half resolution: from each pixel to the
    same content in the next frame."""
    visible: Tensor
    """Shape (1, 1, h, w), bool: whether the flows forward and back agree."""


def motion(frame: Tensor, following: Tensor) -> Motion:
    """Return the motion from `frame` to `following`, found at half resolution.

    Args:
        frame: shape (3, H, W), RGB in [0, 1], float32, at least 2 pixels a side.
        following: the same shape.
    """
    first, second = (F.avg_pool2d(x.mean(0)[None, None], 2) for x in (frame, following))
    there = lucas_kanade(first, second)
    back = lucas_kanade(second, first)
    return Motion(there, _agree(there, back))


@dataclass(frozen=True)
class WarpingError:
    """The difference of a frame and the next one warped back."""

    pixels: float
    """Root of mean squared difference over mean squared gradient, pixels."""
    squared: float
    """Mean squared difference of values in [0, 1], as in the literature."""


def warping_error(frame: Tensor, following: Tensor, moved: Motion) -> WarpingError | None:
    """Compare `frame` with `following` warped back along `moved`.

    Args:
        frame: shape (3, H, W), RGB in [0, 1], float32.
        following: the same shape.
        moved: the truth's motion between these frames.

    Returns:
        Means over visible pixels and channels; None if there are none, or no detail.
    """
    size = frame.shape[-2:]
    scale = torch.tensor([size[1] / moved.flow.shape[3], size[0] / moved.flow.shape[2]])
    flow = _resized(moved.flow, size) * scale.view(1, 2, 1, 1)
    visible = F.interpolate(moved.visible.float(), size, mode="nearest") > 0
    difference = _brought_back(following[None], flow) - frame
    across, down = _slopes(frame[None])
    gradient = across.square() + down.square()
    squared, detail = (
        float(x.mean(1, keepdim=True)[visible].double().mean())
        for x in (difference.square(), gradient)
    )
    if not detail > 0:
        return None
    return WarpingError((squared / detail) ** 0.5, squared)


def _brought_back(image: Tensor, flow: Tensor) -> Tensor:
    """Return `image` warped bicubically: the blur of bilinear sampling would count as an error."""
    return F.grid_sample(
        image, sampling_grid(flow), mode="bicubic", padding_mode="border", align_corners=True
    )


def _slopes(image: Tensor) -> tuple[Tensor, Tensor]:
    """Return horizontal and vertical central differences of `image` (N, C, H, W), same shape."""
    across = F.pad(image, (1, 1, 0, 0), mode="replicate")
    down = F.pad(image, (0, 0, 1, 1), mode="replicate")
    return (across[..., 2:] - across[..., :-2]) / 2, (down[..., 2:, :] - down[..., :-2, :]) / 2


def lucas_kanade(first: Tensor, second: Tensor) -> Tensor:
    """Return the flow (N, 2, H, W), pixels, from `first` (N, 1, H, W) to `second`."""
    pyramid = [(first, second)]
    while min(pyramid[-1][0].shape[-2:]) >= 2 * COARSEST:
        smaller = [F.avg_pool2d(_smooth(x, 3), 2) for x in pyramid[-1]]
        pyramid.append((smaller[0], smaller[1]))
    flow = torch.zeros_like(pyramid[-1][0]).repeat(1, 2, 1, 1)
    for template, image in reversed(pyramid):
        flow = _resized(flow, template.shape[-2:]) * (template.shape[-1] / flow.shape[-1])
        flow = _refined(template, image, flow)
    return flow


def _refined(template: Tensor, image: Tensor, flow: Tensor) -> Tensor:
    """Return `flow` after a few steps of least squares on one level.

    Gradients are those of the template, so that the structure tensor is the same in all steps.
    """
    gx, gy = _slopes(template)
    xx, xy, yy = (_smooth(product, WINDOW) for product in (gx * gx, gx * gy, gy * gy))
    xx, yy = xx + NOISE, yy + NOISE
    determinant = xx * yy - xy * xy
    for _ in range(ITERATIONS):
        residue = template - warp(image, flow, padding="border")
        bx, by = (_smooth(slope * residue, WINDOW) for slope in (gx, gy))
        step = torch.cat([yy * bx - xy * by, xx * by - xy * bx], 1) / determinant
        # Within a pixel the image is nearly linear; larger steps would not be valid.
        flow = _smooth(flow + step.clamp(-1, 1), 3)
    return flow


def _agree(there: Tensor, back: Tensor) -> Tensor:
    """Return where the flows forward and back end near the start (Sundaram et al., ECCV 2010)."""
    returned = warp(back, there, padding="border")
    gap = (there + returned).square().sum(1, keepdim=True)
    length = there.square().sum(1, keepdim=True) + returned.square().sum(1, keepdim=True)
    inside = (sampling_grid(there).abs() <= 1).all(-1)[:, None]
    return (gap < 0.01 * length + 0.1) & inside


def _smooth(x: Tensor, size: int) -> Tensor:
    """Return the mean of `x` (N, C, H, W) over windows of size x size, cropped at the borders."""
    return F.avg_pool2d(x, size, stride=1, padding=size // 2, count_include_pad=False)


def _resized(x: Tensor, size: tuple[int, ...] | torch.Size) -> Tensor:
    return F.interpolate(x, tuple(size), mode="bilinear", align_corners=False)
