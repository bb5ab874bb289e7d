"""SPyNet (Ranjan and Black, CVPR 2017): optical flow from coarse to fine."""

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vsrpp_cli.network.config import SpynetConfig
from vsrpp_cli.network.warp import warp


class ConvRelu(nn.Module):
    """A convolution (published name: `conv`) and, except in a level's last, a ReLU."""

    def __init__(self, in_channels: int, out_channels: int, kernel: int, *, relu: bool) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, kernel, padding=kernel // 2)
        self.relu = relu

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, in_channels, H, W) to (N, out_channels, H, W)."""
        x = self.conv(x)
        return F.relu(x) if self.relu else x


class SpynetLevel(nn.Module):
    """Convolutions that refine the flow at one level of the pyramid."""

    def __init__(self, config: SpynetConfig) -> None:
        super().__init__()
        widths = (8, *config.widths, 2)
        self.basic_module = nn.Sequential(
            *(ConvRelu(a, b, config.kernel, relu=b != 2) for a, b in pairwise(widths))
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, 8, H, W), two images and the flow so far, to a flow residue (N, 2, H, W)."""
        residue: Tensor = self.basic_module(x.to(next(self.parameters()).dtype))
        return residue.float()


class Spynet(nn.Module):
    """Flow from one image to another: float32, whatever the precision of the weights."""

    mean: Tensor
    std: Tensor

    def __init__(self, config: SpynetConfig) -> None:
        super().__init__()
        self.config = config
        self.basic_module = nn.ModuleList(SpynetLevel(config) for _ in range(config.levels))
        # The ImageNet statistics; part of the published state dict.
        self.register_buffer("mean", torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor([0.229, 0.224, 0.225]).view(1, 3, 1, 1))

    def forward(self, reference: Tensor, other: Tensor) -> Tensor:
        """Return where each pixel of `reference` is found in `other`.

        Args:
            reference: shape (N, 3, H, W), RGB, [0, 1].
            other: the same.

        Returns:
            shape (N, 2, H, W), float32, pixels, channels x, y; `other` warped by it looks like
            `reference`.
        """
        return self.flow(self.pyramid(reference), self.pyramid(other), reference.shape[-2:])

    def between_neighbours(self, clip: Tensor) -> tuple[Tensor, Tensor]:
        """Return the flows of a (N, T, 3, H, W) clip between neighbours.

        Returns:
            forward flows (N, T-1, 2, H, W): number i from frame i+1 to frame i, which forward
            branches follow; backward flows of the same shape: number i from frame i to frame i+1.
            float32, pixels, channels x, y.
        """
        n, t = clip.shape[:2]
        if t == 1:
            empty = clip.new_zeros(n, 0, 2, *clip.shape[-2:])
            return empty, empty
        pyramid = self.pyramid(clip.flatten(0, 1))
        levels = [split_clips(level, n) for level in pyramid]
        earlier = [level[:, :-1].flatten(0, 1) for level in levels]
        later = [level[:, 1:].flatten(0, 1) for level in levels]
        size = clip.shape[-2:]
        forward = self.flow(later, earlier, size)
        backward = self.flow(earlier, later, size)
        return split_clips(forward, n), split_clips(backward, n)

    def pyramid(self, images: Tensor) -> list[Tensor]:
        """Return (N, 3, H, W) images normalised, in float32, at every level, coarsest first.

        Separate from `flow` because a frame takes part in up to four flows.
        """
        step = self.config.multiple_of
        height, width = (-(-side // step) * step for side in images.shape[-2:])
        level = (images.float() - self.mean.float()) / self.std.float()
        if level.shape[-2:] != (height, width):
            level = F.interpolate(level, (height, width), mode="bilinear", align_corners=False)
        levels = [level]
        for _ in range(self.config.levels - 1):
            levels.append(F.avg_pool2d(levels[-1], 2))
        return levels[::-1]

    def flow(self, reference: list[Tensor], other: list[Tensor], size: torch.Size) -> Tensor:
        """Return the flow between two pyramids, as (N, 2, *size) float32 in pixels of `size`."""
        coarsest = reference[0]
        flow = coarsest.new_zeros(coarsest.shape[0], 2, *coarsest.shape[-2:])
        for index, level in enumerate(self.basic_module):
            if index:
                flow = 2.0 * F.interpolate(
                    flow, scale_factor=2, mode="bilinear", align_corners=True
                )
            warped = warp(other[index], flow, padding="border")
            flow = flow + level(torch.cat([reference[index], warped, flow], dim=1))
        return resize_flow(flow, size)


def resize_flow(flow: Tensor, size: torch.Size) -> Tensor:
    """Return a (N, 2, H, W) flow at another size, its vectors in the new size's pixels."""
    height, width = flow.shape[-2:]
    if (height, width) == tuple(size):
        return flow
    flow = F.interpolate(flow, tuple(size), mode="bilinear", align_corners=False)
    # Plain numbers, not a tensor of them: to copy one to a GPU is to wait for all it has to do.
    x, y = flow.unbind(1)
    return torch.stack([x * (size[1] / width), y * (size[0] / height)], dim=1)


def split_clips(frames: Tensor, n: int) -> Tensor:
    """Undo the flattening of n clips into one row of frames: (N*T, ...) to (N, T, ...)."""
    return frames.reshape(n, -1, *frames.shape[1:])
