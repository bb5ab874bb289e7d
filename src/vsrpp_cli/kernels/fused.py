"""Calls the kernels from Python: packs weights, allocates images, divides work among threads.

Tensors are (1, C, H, W) in channels-last memory, float32 or bfloat16, C a multiple of 16.
"""

import threading
from collections.abc import Sequence
from functools import cache

import numpy as np
import torch
from torch import Tensor

from vsrpp_cli.kernels import loops as kernels
from vsrpp_cli.kernels import pages, simd
from vsrpp_cli.kernels.threads import in_parallel

LANES = simd.LANES
COLUMNS = simd.TILE_COLUMNS

_KINDS = {torch.float32: np.zeros(0, np.float32), torch.bfloat16: np.zeros(0, np.uint16)}


def rounded_up(count: int, multiple: int = LANES) -> int:
    """Return the smallest multiple that is not less than `count`."""
    return -(-count // multiple) * multiple


def empty_image(like: Tensor, channels: int, *, scale: int = 1) -> Tensor:
    """Return an uninitialised (1, channels, scale * H, scale * W), channels last."""
    height, width = (scale * side for side in like.shape[-2:])
    memory = pages.empty(height * width * channels, like.dtype)
    return memory.view(1, height, width, channels).permute(0, 3, 1, 2)


class Scratch(threading.local):
    """Large temporary images, one for each role and thread, whose memory is reused.

    New memory would cost a page fault every 4 KiB: a fifth of the time of a frame.
    """

    def __init__(self) -> None:
        self._kept: dict[str, Tensor] = {}

    def image(self, role: str, like: Tensor, channels: int, *, scale: int = 1) -> Tensor:
        """Return what `empty_image` does; the last image of this role is overwritten."""
        height, width = (scale * side for side in like.shape[-2:])
        size = height * width * channels
        kept = self._kept.get(role)
        if kept is None or kept.numel() < size or kept.dtype != like.dtype:
            kept = self._kept[role] = torch.empty(size, dtype=like.dtype)
        return kept[:size].view(1, height, width, channels).permute(0, 3, 1, 2)


def is_packed(image: Tensor) -> bool:
    """Return whether an image has the memory layout of the kernels."""
    _, channels, _, width = image.shape
    return image.stride()[1:] == (1, width * channels, channels)


def pack_columns(matrix: Tensor, dtype: torch.dtype) -> Tensor:
    """Pack (..., K, N) for `simd.matrix_tile`: panels of `COLUMNS`, steps of 4 bytes."""
    *batch, depth, count = matrix.shape
    padded = torch.zeros(*batch, depth, rounded_up(count, COLUMNS), dtype=dtype)
    padded[..., :count] = matrix.to(dtype)
    pair = 4 // padded.element_size()
    panels = padded.reshape(*batch, depth // pair, pair, -1, COLUMNS)
    order = (*range(len(batch)), *(len(batch) + i for i in (2, 0, 3, 1)))
    return panels.permute(order).contiguous()


@cache
def _kernel_transform() -> Tensor:
    """Return Winograd's G for F(4, 3), shape (6, 3), float64."""
    a, b = simd.POINT_A, simd.POINT_B
    points = [0.0, a, -a, b, -b]
    rows = []
    for point in points:
        scale = float(np.prod([point - other for other in points if other != point]))
        rows.append([point**power / scale for power in range(3)])
    return torch.tensor([*rows, [0.0, 0.0, 1.0]], dtype=torch.float64)


def pack_winograd(weight: Tensor, dtype: torch.dtype) -> Tensor:
    """Transform and pack weights (C_out, C_in, 3, 3) for `kernels.winograd`."""
    # As one product, which comes out as it is packed: less than half the time of an einsum.
    c_out, c_in = weight.shape[:2]
    columns = weight.double().permute(2, 3, 1, 0).reshape(9, -1)
    spread = torch.kron(_kernel_transform(), _kernel_transform()) @ columns
    return pack_columns(spread.view(36, c_in, c_out), dtype)


def pack_alignment(weight: Tensor, groups: int, dtype: torch.dtype) -> Tensor:
    """Pack the weights (C, 2C, 3, 3) of a deformable convolution for `kernels.align`."""
    c_out, c_in = weight.shape[:2]
    by_group = weight.reshape(c_out, groups, c_in // groups, kernels.TAPS)
    return pack_columns(by_group.permute(1, 3, 2, 0).reshape(-1, c_out), dtype)


class WinogradConv:
    """A 3x3 convolution and what follows it, by Winograd's F(4, 3): a quarter of the products.

    Args:
        weight: shape (C_out, C_in, 3, 3), float32.
        bias: shape (C_out,), float32.
        inputs: channels of each image of which the input consists, before rounding up to 16.
        dtype: of images and products.
        slope: of the leaky ReLU that follows; 1 for none.
        shuffled: whether a pixel shuffle by two follows.
    """

    def __init__(
        self,
        weight: Tensor,
        bias: Tensor,
        inputs: Sequence[int],
        *,
        dtype: torch.dtype,
        slope: float = 1.0,
        shuffled: bool = False,
    ) -> None:
        weight, bias = weight.detach().float(), bias.detach().float()
        if shuffled:  # four runs of channels, one for each pixel of a square
            order = torch.arange(len(bias)).view(-1, 4).T.flatten()
            weight, bias = weight[order], bias[order]
        self.c_out = rounded_up(weight.shape[0])
        self.bias = torch.zeros(self.c_out)
        self.bias[: weight.shape[0]] = bias
        self.channels = np.array([rounded_up(count) for count in inputs], np.int64)
        padded = torch.zeros(self.c_out, int(self.channels.sum()), 3, 3)
        at = 0
        for part, count in zip(
            torch.split(weight, list(inputs), dim=1), self.channels, strict=True
        ):
            padded[: part.shape[0], at : at + part.shape[1]] = part
            at += int(count)
        self.weight = pack_winograd(padded, dtype)
        self.slope = np.float32(slope)
        self.shuffled = shuffled

    def __call__(
        self,
        inputs: Sequence[Tensor],
        residual: Tensor | None = None,
        *,
        scratch: Scratch | None = None,
        role: str = "",
    ) -> Tensor:
        """Return the result, (1, C_out, H, W), or (1, C_out / 4, 2H, 2W) if shuffled.

        Args:
            inputs: images, channels rounded up to 16.
            residual: added after the activation; has the shape of the result.
            scratch: holds the result under `role`; None for new memory.
            role: see `Scratch`.
        """
        image = inputs[0]
        height, width = image.shape[-2:]
        assert all(is_packed(x) for x in inputs)
        assert residual is None or is_packed(residual)
        channels = self.c_out // 4 if self.shuffled else self.c_out
        scale = 2 if self.shuffled else 1
        if scratch is None:
            out = empty_image(image, channels, scale=scale)
        else:
            out = scratch.image(role, image, channels, scale=scale)
        addresses = np.array([x.data_ptr() for x in inputs], np.int64)
        tiles = -(-height // kernels.TILE) * -(-width // kernels.TILE)

        def work(first: int, last: int) -> None:
            kernels.winograd(
                _KINDS[image.dtype],
                addresses,
                self.channels,
                height,
                width,
                self.weight.data_ptr(),
                self.bias.data_ptr(),
                self.c_out,
                0 if residual is None else residual.data_ptr(),
                self.slope,
                out.data_ptr(),
                self.shuffled,
                first,
                last,
            )

        in_parallel(work, -(-tiles // kernels.BLOCK))
        return out


def offset_order(groups: int) -> Tensor:
    """Return for each channel that `FusedAlignment` reads the output of `conv_offset` it is.

    Published networks output y and x alternating for all samples, then the masks: 27 * groups. The
    kernel reads planes of y, of x and of masks, each padded to a multiple of 16; padding is -1.
    """
    samples = kernels.TAPS * groups
    order = torch.full((3, rounded_up(samples)), -1)
    order[:2, :samples] = torch.arange(2 * samples).view(-1, 2).T
    order[2, :samples] = torch.arange(2 * samples, 3 * samples)
    return order.flatten()


def in_offset_order(outputs: Tensor, groups: int, *, dim: int = 0) -> Tensor:
    """Return weights, biases or outputs of `conv_offset`'s last layer in `offset_order`."""
    order = offset_order(groups)
    moved = outputs.index_select(dim, order.clamp(min=0))
    shape = [-1 if i == dim else 1 for i in range(outputs.dim())]
    return moved * (order >= 0).view(shape).to(outputs.dtype)


class FusedAlignment:
    """Deformable alignment from raw offsets to result in one pass.

    Args:
        weight: shape (C, 2C, 3, 3), float32.
        bias: shape (C,), float32.
        groups: of both images' channels together.
        dtype: of images and products.
    """

    def __init__(self, weight: Tensor, bias: Tensor, groups: int, *, dtype: torch.dtype) -> None:
        self.groups = groups
        self.weight = pack_alignment(weight.detach().float(), groups, dtype)
        self.bias = bias.detach().float().clone()

    def __call__(self, last: Tensor, before: Tensor, raw: Tensor, flows: Tensor) -> Tensor:
        """Return the aligned features, (1, C, H, W).

        Args:
            last: features to sample, (1, C, H, W).
            before: the same, of the frame before that.
            raw: the output of `conv_offset`, its channels in `offset_order`.
            flows: shape (2, 2, H, W), float32, pixels: to `last` and to `before`.
        """
        _, channels, height, width = last.shape
        assert is_packed(last)
        assert is_packed(before)
        assert is_packed(raw)
        assert last.nbytes < 2**31, "places are 32-bit"
        out = empty_image(last, channels)
        addresses = np.array([last.data_ptr(), before.data_ptr()], np.int64)
        vectors = flows.contiguous().numpy()

        def work(start: int, stop: int) -> None:
            kernels.align(
                _KINDS[last.dtype],
                addresses,
                raw.data_ptr(),
                vectors,
                height,
                width,
                channels,
                self.groups,
                self.weight.data_ptr(),
                self.bias.data_ptr(),
                out.data_ptr(),
                start,
                stop,
            )

        in_parallel(work, -(-height * width // kernels.BLOCK))
        return out


def warp(image: Tensor, flow: Tensor) -> Tensor:
    """Return an image (1, C, H, W) sampled where `flow` (1, 2, H, W) points, zeros outside."""
    _, channels, height, width = image.shape
    assert is_packed(image)
    out = empty_image(image, channels)
    vectors = flow[0].contiguous().numpy()

    def work(first: int, last: int) -> None:
        kernels.warp(
            _KINDS[image.dtype],
            image.data_ptr(),
            vectors,
            height,
            width,
            channels,
            out.data_ptr(),
            first,
            last,
        )

    in_parallel(work, height)
    return out
