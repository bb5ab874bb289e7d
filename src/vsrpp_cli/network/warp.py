"""Sampling an image where a flow points to."""

import torch
import torch.nn.functional as F
from torch import Tensor


def warp(image: Tensor, flow: Tensor, *, padding: str = "zeros") -> Tensor:
    """Return `image` sampled bilinearly at each pixel's position plus its flow.

    Args:
        image: shape (N, C, H, W), any floating dtype.
        flow: shape (N, 2, H, W), float32, pixels, channels x, y.
        padding: "zeros" or "border": what lies outside the image.

    Returns:
        shape (N, C, H, W), dtype of `image`. Coordinates are computed in float32: half precision
        has a spacing of half a pixel beyond 512.
    """
    grid = sampling_grid(flow)
    sampled = F.grid_sample(
        image.float(), grid, mode="bilinear", padding_mode=padding, align_corners=True
    )
    return sampled.to(image.dtype)


def sampling_grid(flow: Tensor) -> Tensor:
    """Return the (N, H, W, 2) grid of `grid_sample(align_corners=True)` for a (N, 2, H, W) flow."""
    height, width = flow.shape[-2:]
    x = torch.arange(width, device=flow.device, dtype=torch.float32) + flow[:, 0].float()
    y = torch.arange(height, device=flow.device, dtype=torch.float32)[:, None] + flow[:, 1].float()
    return torch.stack([normalised(x, width), normalised(y, height)], dim=-1)


def normalised(position: Tensor, size: int) -> Tensor:
    """Map pixels 0...size-1 to -1...1, as `grid_sample(align_corners=True)` wants them."""
    return position * (2.0 / max(size - 1, 1)) - 1.0
