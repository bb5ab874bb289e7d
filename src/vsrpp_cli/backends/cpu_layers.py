"""The building blocks of `network.layers` for inference on a CPU, with the kernels of `fused`."""

from collections.abc import Sequence
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vsrpp_cli.kernels import fused
from vsrpp_cli.network.layers import SLOPE, Enlarging, ResidualBlock, ResidualBlocks

RELU = 0.0
NOTHING = 1.0
"""Slopes of a leaky ReLU that make it a ReLU, and no ReLU at all."""


_convolve_and_activate = getattr(torch.ops.mkldnn, "_convolution_pointwise", None)
"""What torch's own compiler calls; saves a pass over memory. Not in builds without oneDNN."""


def _in_onednn(dtype: torch.dtype) -> bool:
    """Whether oneDNN convolves in this precision here; torch itself does in any."""
    return dtype != torch.bfloat16 or bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())  # noqa: SLF001


class Convolution(Protocol):
    """A convolution of several images at once, and what follows it."""

    def __call__(
        self,
        inputs: Sequence[Tensor],
        residual: Tensor | None = None,
        *,
        scratch: fused.Scratch | None = None,
        role: str = "",
    ) -> Tensor:
        """Return the result; arguments as of `fused.WinogradConv`."""


class ConvolutionMaker(Protocol):
    """`fused.WinogradConv` or `LibraryConv`."""

    def __call__(
        self,
        weight: Tensor,
        bias: Tensor,
        inputs: Sequence[int],
        *,
        dtype: torch.dtype,
        slope: float = NOTHING,
        shuffled: bool = False,
    ) -> Convolution:
        """Return the convolution; arguments as of `fused.WinogradConv`."""


class LibraryConv:
    """A convolution by oneDNN, which fuses what follows; arguments as of `fused.WinogradConv`."""

    def __init__(
        self,
        weight: Tensor,
        bias: Tensor,
        inputs: Sequence[int],
        *,
        dtype: torch.dtype,
        slope: float = NOTHING,
        shuffled: bool = False,
        stride: int = 1,
    ) -> None:
        weight, bias = weight.detach().to(dtype), bias.detach().to(dtype)
        missing = -weight.shape[0] % fused.LANES if weight.shape[0] > 3 else 0
        parts = torch.split(weight, list(inputs), dim=1)
        if weight.shape[1] > 3:
            parts = tuple(_pad(part, 1, -part.shape[1] % fused.LANES) for part in parts)
        weight = _pad(torch.cat(parts, dim=1), 0, missing)
        self.weight = weight.contiguous(memory_format=torch.channels_last)
        self.bias = _pad(bias, 0, missing)
        self.slope = slope
        self.shuffled = shuffled
        self.stride = stride
        self.padding = weight.shape[-1] // 2

    def __call__(
        self,
        inputs: Sequence[Tensor],
        residual: Tensor | None = None,
        *,
        scratch: fused.Scratch | None = None,
        role: str = "",
    ) -> Tensor:
        """Return the result; arguments as of `fused.WinogradConv`."""
        del scratch, role  # oneDNN brings its own memory
        x = inputs[0] if len(inputs) == 1 else torch.cat(list(inputs), dim=1)
        x = x.contiguous(memory_format=torch.channels_last)
        x = self._convolve(x)
        if self.shuffled:
            x = F.pixel_shuffle(x, 2).contiguous(memory_format=torch.channels_last)
        return x if residual is None else x.add_(residual)

    def _convolve(self, x: Tensor) -> Tensor:
        if _convolve_and_activate is None or not _in_onednn(x.dtype):
            x = F.conv2d(x, self.weight, self.bias, stride=self.stride, padding=self.padding)
            return x if self.slope == NOTHING else F.leaky_relu_(x, self.slope)
        kind, scalars = ("none", []) if self.slope == NOTHING else ("leaky_relu", [self.slope])
        place = [self.padding] * 2, [self.stride, self.stride], [1, 1], 1
        result: Tensor = _convolve_and_activate(
            x, self.weight, self.bias, *place, kind, scalars, ""
        )
        return result


def _pad(x: Tensor, dim: int, count: int) -> Tensor:
    """Return `x` with `count` zeros behind it along a dimension."""
    shape = list(x.shape)
    shape[dim] = count
    return torch.cat([x, x.new_zeros(shape)], dim=dim) if count else x


def weights_of(conv: nn.Module) -> tuple[Tensor, Tensor]:
    """Return weight and bias of a convolution."""
    assert isinstance(conv, nn.Conv2d)
    assert conv.bias is not None
    return conv.weight, conv.bias


class Blocks:
    """`ResidualBlocks`, with an optional last addition."""

    def __init__(
        self,
        blocks: ResidualBlocks,
        inputs: Sequence[int],
        dtype: torch.dtype,
        make: ConvolutionMaker,
    ) -> None:
        first, _, rest = blocks.main
        assert isinstance(rest, nn.Sequential)
        weight, bias = weights_of(first)
        channels = [weight.shape[0]]
        self.first: Convolution = make(weight, bias, inputs, dtype=dtype, slope=SLOPE)
        self.blocks = [
            (
                make(*weights_of(block.conv1), channels, dtype=dtype, slope=RELU),
                make(*weights_of(block.conv2), channels, dtype=dtype),
            )
            for block in rest
            if isinstance(block, ResidualBlock)
        ]

    def __call__(self, inputs: Sequence[Tensor], residual: Tensor | None = None) -> Tensor:
        """Map images (1, C, H, W) to (1, channels, H, W), plus `residual`."""
        x = self.first(inputs)
        for index, (conv1, conv2) in enumerate(self.blocks):
            inner = conv1([x])
            if residual is not None and index == len(self.blocks) - 1:
                x.add_(residual)
            x = conv2([inner], x)
        return x if self.blocks or residual is None else x.add_(residual)


class FusedEnlarging:
    """`layers.enlarged` with kernels."""

    def __init__(
        self, parts: Enlarging, dtype: torch.dtype, make: ConvolutionMaker, scratch: fused.Scratch
    ) -> None:
        up1, up2 = (weights_of(up.upsample_conv) for up in (parts.upsample1, parts.upsample2))
        channels, hr_channels = up1[0].shape[1], parts.conv_hr.in_channels
        self.scratch = scratch
        self.convolutions = [
            make(*up1, [channels], dtype=dtype, slope=SLOPE, shuffled=True),
            make(*up2, [channels], dtype=dtype, slope=SLOPE, shuffled=True),
            make(*weights_of(parts.conv_hr), [hr_channels], dtype=dtype, slope=SLOPE),
        ]
        self.last = LibraryConv(*weights_of(parts.conv_last), [hr_channels], dtype=dtype)

    def __call__(self, x: Tensor) -> Tensor:
        """Map features (1, C, h, w) to (1, 3, 4h, 4w), float32."""
        # The first takes the place of the offsets, which nobody needs between two frames.
        for role, conv in zip(("offsets", "enlarged", "largest"), self.convolutions, strict=True):
            x = conv([x], scratch=self.scratch, role=role)
        return self.last([x]).float()


def blocks_of_frames(blocks: ResidualBlocks, dtype: torch.dtype, make: ConvolutionMaker) -> Blocks:
    """Return blocks whose input is a frame, (1, 3, H, W)."""
    made = Blocks(blocks, [3], dtype, make)
    made.first = LibraryConv(*weights_of(blocks.main[0]), [3], dtype=dtype, slope=SLOPE)
    return made


def few_channels(images: Sequence[Tensor], dtype: torch.dtype) -> Tensor:
    """Return images (1, C, H, W) of few channels as one, with as many zeros as kernels need."""
    height, width = images[0].shape[-2:]
    like = images[0].new_empty(1, 1, height, width, dtype=dtype)
    padded = fused.empty_image(like, fused.LANES).zero_()
    first = 0
    for image in images:
        padded[:, first : first + image.shape[1]] = image
        first += image.shape[1]
    return padded
