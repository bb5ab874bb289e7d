"""Modulated deformable convolution, 3x3, stride 1 (Zhu et al., Deformable ConvNets v2, 2018).

Offsets and masks are laid out as torchvision lays them out: offsets (N, groups * 9 * 2, H, W), y
before x for each of the nine taps of each group; masks (N, groups * 9, H, W).
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from vsrpp_cli.network.warp import normalised

TAPS = 9
"""Sampling points of a 3x3 kernel."""


def deform_torchvision(
    x: Tensor, offset: Tensor, mask: Tensor, weight: Tensor, bias: Tensor
) -> Tensor:
    """Return the deformable convolution by torchvision's operator.

    Args:
        x: shape (N, C, H, W).
        offset: shape (N, groups * 18, H, W), float32, pixels.
        mask: shape (N, groups * 9, H, W), float32.
        weight: shape (C_out, C, 3, 3).
        bias: shape (C_out,).

    Returns:
        shape (N, C_out, H, W), dtype of `x`. The operator takes one dtype for all and computes
        sampling positions in it, so everything is brought to float32.
    """
    from torchvision.ops import deform_conv2d  # noqa: PLC0415  slow to import, not for CPUs

    out: Tensor = deform_conv2d(
        x.float(), offset.float(), weight.float(), bias.float(), padding=1, mask=mask.float()
    )
    return out.to(x.dtype)


def deform_grid_sample(
    x: Tensor, offset: Tensor, mask: Tensor, weight: Tensor, bias: Tensor
) -> Tensor:
    """Return the same by nine grid samples a group, a mask and a 1x1 convolution.

    Exact, on any device and differentiable; backward is many times faster than torchvision's on a
    CPU. Takes and returns what `deform_torchvision` does; the product is in the dtype of `x` (under
    autocast in autocast's).
    """
    columns = sampled_columns(x, offset, mask)
    return F.conv2d(columns.to(x.dtype), weight.reshape(weight.shape[0], -1, 1, 1), bias)


def sampled_columns(x: Tensor, offset: Tensor, mask: Tensor) -> Tensor:
    """Return the masked samples (N, C * 9, H, W), float32; taps vary faster than channels."""
    n, channels, height, width = x.shape
    groups = mask.shape[1] // TAPS
    grid = deform_grid(offset, groups)
    grouped = x.float().reshape(n * groups, channels // groups, height, width)
    samples = F.grid_sample(
        grouped, grid, mode="bilinear", padding_mode="zeros", align_corners=True
    )
    samples = samples.view(n * groups, channels // groups, TAPS, height, width)
    masked = samples * mask.float().reshape(n * groups, 1, TAPS, height, width)
    return masked.view(n, channels * TAPS, height, width)


def deform_grid(offset: Tensor, groups: int) -> Tensor:
    """Return where to sample, as a grid (N * groups, 9 * H, W, 2) for `grid_sample`."""
    n, _, height, width = offset.shape
    offset = offset.float().reshape(n * groups, TAPS, 2, height, width)
    tap = torch.arange(-1, 2, device=offset.device, dtype=torch.float32)
    rows = torch.arange(height, device=offset.device, dtype=torch.float32)
    columns = torch.arange(width, device=offset.device, dtype=torch.float32)
    y = offset[:, :, 0] + tap.repeat_interleave(3).view(TAPS, 1, 1) + rows[:, None]
    x = offset[:, :, 1] + tap.repeat(3).view(TAPS, 1, 1) + columns
    grid = torch.stack([normalised(x, width), normalised(y, height)], dim=-1)
    return grid.view(n * groups, TAPS * height, width, 2)
