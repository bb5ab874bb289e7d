"""The convolutional building blocks, with the published parameter names."""

from typing import Protocol

import torch.nn.functional as F
from torch import Tensor, nn

SLOPE = 0.1
"""Slope of the leaky ReLUs. Residual blocks and the flow network use plain ReLUs."""


class ResidualBlock(nn.Module):
    """`x + conv2(relu(conv1(x)))`, without normalisation."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Initialise close to the identity, as published: He's initialisation times 0.1."""
        if self.conv1.weight.is_meta:
            return  # nothing to fill, and to find that out torch would load its whole compiler
        for conv in (self.conv1, self.conv2):
            nn.init.kaiming_normal_(conv.weight)
            conv.weight.data.mul_(0.1)
            assert conv.bias is not None
            nn.init.zeros_(conv.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C, H, W) to the same shape."""
        residue: Tensor = self.conv2(F.relu(self.conv1(x)))
        return x + residue


class ResidualBlocks(nn.Module):
    """A convolution to `channels`, a leaky ReLU, then residual blocks (published: `main`)."""

    def __init__(self, in_channels: int, channels: int, blocks: int) -> None:
        super().__init__()
        self.main = nn.Sequential(
            nn.Conv2d(in_channels, channels, 3, padding=1),
            nn.LeakyReLU(SLOPE),
            nn.Sequential(*(ResidualBlock(channels) for _ in range(blocks))),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, in_channels, H, W) to (N, channels, H, W)."""
        result: Tensor = self.main(x)
        return result


class Upsample(nn.Module):
    """A convolution and a pixel shuffle by two."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.upsample_conv = nn.Conv2d(in_channels, out_channels * 4, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, in_channels, H, W) to (N, out_channels, 2H, 2W)."""
        return F.pixel_shuffle(self.upsample_conv(x), 2)


class Enlarging(Protocol):
    """The parts by which networks of this family make a frame of features."""

    upsample1: Upsample
    upsample2: Upsample
    conv_hr: nn.Conv2d
    conv_last: nn.Conv2d


def enlarged(parts: Enlarging, features: Tensor) -> Tensor:
    """Map features (N, C, h, w) to the residual added to a frame, (N, 3, 4h, 4w), float32."""
    x = F.leaky_relu(parts.upsample1(features), SLOPE)
    x = F.leaky_relu(parts.upsample2(x), SLOPE)
    x = F.leaky_relu(parts.conv_hr(x), SLOPE)
    residue: Tensor = parts.conv_last(x).float()
    return residue
