"""Sampling with gradients for training on CPUs, by the kernels of `sampling_loops`.

Two functions with a backward pass:

* `deform_columns`: gathers the input of a deformable convolution's matrix product, directly from
  the raw output of the offset network (``10 * tanh`` plus flow, sigmoid mask);
* `warp`: bilinear warping of features by a flow, zero padding, ``align_corners=True``.

Both compute in float32, whatever the precision of the features, on channels-last memory, where the
channels of a group are contiguous: one vector register a corner. torch's grid sampling is several
times slower, and torchvision's backward pass for CPUs is slower still. Gradients are summed in an
order that does not depend on the number of threads.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch import Tensor

from vsrpp_cli.kernels.loops import TAPS
from vsrpp_cli.kernels.threads import in_parallel
from vsrpp_cli.kernels.training import sampling_loops as kernels


def _rows(x: Tensor) -> Any:
    """Return a (N, C, H, W) tensor's channels-last memory as a flat array; bfloat16 as uint16."""
    flat = x.permute(0, 2, 3, 1).reshape(-1)
    return (flat.view(torch.uint16) if x.dtype == torch.bfloat16 else flat).numpy()


def _channels_last(x: Tensor) -> Tensor:
    return x.detach().contiguous(memory_format=torch.channels_last)


def _float_rows(x: Tensor) -> Any:
    return _rows(_channels_last(x.float()))


class _DeformColumns(torch.autograd.Function):
    """See `deform_columns`."""

    @staticmethod
    def forward(
        ctx: Any, x1: Tensor, x2: Tensor, raw: Tensor, flow1: Tensor, flow2: Tensor
    ) -> Tensor:
        batch, channels, height, width = x1.shape
        raw = _channels_last(raw)
        half_groups = raw.shape[1] // (6 * TAPS)
        bf16 = raw.dtype == torch.bfloat16
        kernel = kernels.columns_forward(channels // half_groups, half_groups, bf16)
        out = torch.empty(batch * height * width, 2 * TAPS * channels, dtype=raw.dtype)
        target = out.view(-1)
        given = _float_rows(x1), _float_rows(x2), _rows(raw), raw.shape[1]
        flows = _float_rows(flow1), _float_rows(flow2)
        columns = (target.view(torch.uint16) if bf16 else target).numpy()
        work = partial(kernel, *given, *flows, columns, height, width)
        in_parallel(work, batch * height)
        ctx.save_for_backward(x1, x2, raw, flow1, flow2)
        return out

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, ...]:
        x1, x2, raw, flow1, flow2 = ctx.saved_tensors
        batch, channels, height, width = x1.shape
        half_groups = raw.shape[1] // (6 * TAPS)
        bf16 = raw.dtype == torch.bfloat16
        kernel = kernels.columns_backward(channels // half_groups, half_groups, bf16)
        gcols = grads[0].detach().to(raw.dtype).contiguous().view(-1)
        gx1 = torch.zeros(batch, height, width, channels)
        gx2 = torch.zeros_like(gx1)
        graw = torch.empty_like(raw)
        graw[:, 6 * TAPS * half_groups :] = 0
        gflow1 = torch.empty(batch, height, width, 2)
        gflow2 = torch.empty_like(gflow1)
        given = _float_rows(x1), _float_rows(x2), _rows(raw), raw.shape[1]
        flows = _float_rows(flow1), _float_rows(flow2)
        columns = (gcols.view(torch.uint16) if bf16 else gcols).numpy()
        made = (gx1, gx2), (gflow1, gflow2)
        images, motions = ([x.view(-1).numpy() for x in pair] for pair in made)
        work = partial(kernel, *given, *flows, columns, *images, _rows(graw), *motions)
        in_parallel(partial(work, height, width), 2 * batch)
        move = (0, 3, 1, 2)
        return (
            gx1.permute(move).to(x1.dtype),
            gx2.permute(move).to(x2.dtype),
            graw,
            gflow1.permute(move),
            gflow2.permute(move),
        )


class _Warp(torch.autograd.Function):
    """See `warp`."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, flow: Tensor) -> Tensor:
        batch, channels, height, width = x.shape
        out = torch.empty(batch, height, width, channels)
        given = _float_rows(x), _float_rows(flow), out.view(-1).numpy()
        work = partial(kernels.warp_forward, *given, height, width, channels)
        in_parallel(work, batch * height)
        ctx.save_for_backward(x, flow)
        return out.permute(0, 3, 1, 2).to(x.dtype)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor]:
        x, flow = ctx.saved_tensors
        batch, channels, height, width = x.shape
        gx = torch.zeros(batch, height, width, channels)
        gflow = torch.empty(batch, height, width, 2)
        given = _float_rows(x), _float_rows(flow), _float_rows(grads[0])
        made = gx.view(-1).numpy(), gflow.view(-1).numpy()
        work = partial(kernels.warp_backward, *given, *made, height, width, channels)
        in_parallel(work, batch)
        return gx.permute(0, 3, 1, 2).to(x.dtype), gflow.permute(0, 3, 1, 2)


def deform_columns(x1: Tensor, x2: Tensor, raw: Tensor, flow1: Tensor, flow2: Tensor) -> Tensor:
    """Gather the columns of a second-order deformable convolution, with gradients.

    Args:
        x1: features of the first neighbour, (N, C, H, W); read by the first half of the groups.
        x2: features of the second neighbour, likewise; read by the second half.
        raw: output of the offset network, (N, 27G, H, W) for G groups: offsets (y, x for each tap)
            before ``10 * tanh``, then masks before the sigmoid; up to 26 further channels are
            padding. The result has its dtype.
        flow1: (N, 2, H, W) float32, x before y, added to the first half's offsets.
        flow2: likewise for the second half.

    Returns:
        (N*H*W, 18C): for each pixel groups, taps, channels, the order of `column_weight`.
    """
    columns: Tensor = _DeformColumns.apply(x1, x2, raw, flow1, flow2)
    return columns


def column_weight(weight: Tensor, groups: int) -> Tensor:
    """Return a convolution's weight (O, C, 3, 3) as (9C, O), rows ordered as `deform_columns`."""
    out, channels = weight.shape[:2]
    split = weight.reshape(out, groups, channels // groups, TAPS)
    return split.permute(1, 3, 2, 0).reshape(TAPS * channels, out)


def warp(x: Tensor, flow: Tensor) -> Tensor:
    """Warp features (N, C, H, W) by a flow (N, 2, H, W; x before y, pixels), zeros outside."""
    warped: Tensor = _Warp.apply(x, flow)
    return warped
