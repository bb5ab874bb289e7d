"""Chains of 3x3 convolutions for training, with gradients.

A chain is a sequence of convolutions with activations, residual additions and pixel shuffles, as in
BasicVSR++ between two samplings. There are two implementations of the same function:

* `LibraryChains` uses torch's operations; it is slower, and the reference in tests;
* `WinogradChains` computes every convolution and its gradients in Winograd's domain, which needs a
  quarter of the products. It has one backward pass for the whole chain, so that activations, their
  gradients and residual additions are done when results are written.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from vsrpp_cli.kernels import fused, simd
from vsrpp_cli.kernels.loops import TAPS, TILE
from vsrpp_cli.kernels.threads import in_parallel
from vsrpp_cli.kernels.training import loops as kernels

LANES, BLOCK, COLUMNS = kernels.LANES, kernels.BLOCK, kernels.COLUMNS

_KINDS = {torch.float32: np.zeros(0, np.float32), torch.bfloat16: np.zeros(0, np.uint16)}


@dataclass(frozen=True)
class Layer:
    """A 3x3 convolution of a chain and what follows it."""

    name: str
    """Name of the convolution: of its parameters, without `.weight` or `.bias`."""
    slope: float = 1.0
    """Slope of the leaky ReLU that follows; 0 is a ReLU, 1 none."""
    skip: int | None = None
    """Index of the layer whose input is added to the result."""
    shuffled: bool = False
    """Whether a pixel shuffle by two follows."""


class Chains(Protocol):
    """An implementation of chains."""

    def __call__(
        self, layers: Sequence[Layer], inputs: Sequence[Tensor], *, padded: bool = False
    ) -> Tensor:
        """Return the output of the last layer, (N, C, H, W).

        Args:
            layers: in order.
            inputs: images (N, C, H, W) whose channels together are the first layer's input.
            padded: whether the result may have additional channels, up to a multiple of 16. They
                are zeros, and their gradients must be zeros.
        """


class LibraryChains:
    """Computes chains by torch's own operations.

    Args:
        weights: parameters by name, in the precision to compute in.
    """

    def __init__(self, weights: Mapping[str, Tensor]) -> None:
        self._weights = weights

    def __call__(
        self, layers: Sequence[Layer], inputs: Sequence[Tensor], *, padded: bool = False
    ) -> Tensor:
        """See `Chains`."""
        del padded
        images = [inputs[0] if len(inputs) == 1 else torch.cat(list(inputs), 1)]
        for layer in layers:
            x = self._convolve(layer, images[-1].contiguous(memory_format=torch.channels_last))
            images.append(x if layer.skip is None else x + images[layer.skip])
        return images[-1]

    def _convolve(self, layer: Layer, x: Tensor) -> Tensor:
        weight, bias = self._weights[f"{layer.name}.weight"], self._weights[f"{layer.name}.bias"]
        if layer.shuffled:
            order = _shuffle_order(len(bias))
            weight, bias = weight[order], bias[order]
        x = F.conv2d(x, weight.contiguous(memory_format=torch.channels_last), bias, padding=1)
        if layer.slope != 1:
            x = F.leaky_relu(x, layer.slope, inplace=True) if layer.slope else F.relu_(x)
        return _shuffle(x) if layer.shuffled else x


def _shuffle_order(outputs: int) -> Tensor:
    """Return the order of outputs in which a pixel shuffle moves runs of channels."""
    return torch.arange(outputs).view(-1, 4).T.flatten()


def _shuffle(x: Tensor) -> Tensor:
    """Return the pixel shuffle by two of `x`, whose channels are in `_shuffle_order`."""
    batch, channels, height, width = x.shape
    rows = x.permute(0, 2, 3, 1).reshape(batch, height, width, 2, 2, channels // 4)
    rows = rows.transpose(2, 3).reshape(batch, 2 * height, 2 * width, channels // 4)
    return rows.permute(0, 3, 1, 2)


# --- Winograd's domain --------------------------------------------------------------------------


def fits_processor() -> bool:
    """Return whether this processor has vectors of 16 values, which `WinogradChains` need."""
    return simd.WIDTH == LANES


class _Packed(NamedTuple):
    """A convolution's weights, ready for the kernels; channels are padded to multiples of 16."""

    weight: Tensor
    """(9, C_in, C_out), float32; its gradient flows back to the parameter."""
    bias: Tensor
    """(C_out,), float32; likewise."""
    forward: Tensor
    """Transformed weights."""
    backward: Tensor
    """Transformed weights with inputs and outputs exchanged and the kernel turned by half."""


class WinogradChains:
    """Computes chains in Winograd's domain on CPUs; weights are transformed once.

    Args:
        weights: parameters by name, float32.
        dtype: of images and products, float32 or bfloat16.
    """

    def __init__(self, weights: Mapping[str, Tensor], dtype: torch.dtype) -> None:
        self._weights = weights
        self._dtype = dtype
        self._packed: dict[str, _Packed] = {}

    def __call__(
        self, layers: Sequence[Layer], inputs: Sequence[Tensor], *, padded: bool = False
    ) -> Tensor:
        """See `Chains`."""
        channels = tuple(x.shape[1] for x in inputs)
        packed = []
        for layer in layers:
            if layer.name not in self._packed:
                self._packed[layer.name] = self._pack(layer, channels)
            packed.append(self._packed[layer.name])
            channels = (packed[-1].weight.shape[2] // (4 if layer.shuffled else 1),)
        outputs = None if padded else self._weights[f"{layers[-1].name}.bias"].shape[0]
        chain = _Chain(tuple(layers), packed, self._dtype, outputs)
        parameters = [tensor for p in packed for tensor in (p.weight, p.bias)]
        out: Tensor = _Convolutions.apply(chain, len(inputs), *inputs, *parameters)
        return out

    def _pack(self, layer: Layer, channels: Sequence[int]) -> _Packed:
        weight, bias = self._weights[f"{layer.name}.weight"], self._weights[f"{layer.name}.bias"]
        if layer.shuffled:
            order = _shuffle_order(len(bias))
            weight, bias = weight[order], bias[order]
        missing = -len(bias) % LANES
        if any(count % LANES for count in channels):
            parts = torch.split(weight, list(channels), 1)
            weight = torch.cat([F.pad(p, (0, 0, 0, 0, 0, -p.shape[1] % LANES)) for p in parts], 1)
        elif weight.shape[1] % LANES:  # a layer before this one was padded
            weight = F.pad(weight, (0, 0, 0, 0, 0, -weight.shape[1] % LANES))
        if missing:
            weight = F.pad(weight, (0, 0, 0, 0, 0, 0, 0, missing))
            bias = F.pad(bias, (0, missing))
        c_out, c_in = weight.shape[:2]
        taps = weight.permute(2, 3, 1, 0).reshape(TAPS, c_in, c_out).contiguous()
        turned = taps.detach().transpose(1, 2).contiguous()
        return _Packed(taps, bias, self._transform(taps, 1), self._transform(turned, -1))

    def _transform(self, taps: Tensor, direction: int) -> Tensor:
        """Transform weights (9, C_in, C_out), in the order of taps or, with -1, reversed."""
        taps = taps.detach()
        _, c_in, c_out = taps.shape
        out = torch.empty(36 * c_in * fused.rounded_up(c_out, COLUMNS), dtype=self._dtype)
        tap = 4 * c_in * c_out
        first = taps.data_ptr() + (TAPS - 1) * tap * (direction < 0)
        kernels.transform_weight(
            _KINDS[self._dtype], first, direction * tap, c_in, c_out, out.data_ptr()
        )
        return out


@cache
def _table(
    channels: int, image: int, row: int, pixel: int, size: int, shuffled: bool
) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Return the table of an image at address 0 (see `loops`); strides in bytes."""
    if not shuffled:
        rows = [[c * size, image, row, pixel] for c in range(0, channels, LANES)]
    else:
        rows = [
            [y * row + x * pixel + c * size, image, 2 * row, 2 * pixel]
            for y in range(2)
            for x in range(2)
            for c in range(0, channels, LANES)
        ]
    return np.array(rows, np.int64)


def _tables(images: Sequence[Tensor | None], *, shuffled: bool = False) -> Any:
    """Return the table of images (see `loops`), which are as `_padded` returns them."""
    parts = []
    for x in images:
        assert x is not None
        size = x.element_size()
        image, _, row, pixel = (stride * size for stride in x.stride())
        part = _table(x.shape[1], image, row, pixel, size, shuffled).copy()
        part[:, 0] += x.data_ptr()
        parts.append(part)
    return parts[0] if len(parts) == 1 else np.concatenate(parts)


def _empty(batch: int, channels: int, height: int, width: int, dtype: torch.dtype) -> Tensor:
    """Return an uninitialised image, channels-last and contiguous."""
    return torch.empty(batch, height, width, channels, dtype=dtype).permute(0, 3, 1, 2)


def _padded(x: Tensor, dtype: torch.dtype) -> Tensor:
    """Return an image as the kernels read it: channels-last, channels a multiple of 16."""
    batch, channels, height, width = x.shape
    if x.dtype == dtype and x.stride(1) == 1 and not channels % LANES:
        return x
    out = _empty(batch, fused.rounded_up(channels), height, width, dtype)
    out[:, :channels] = x
    out[:, channels:] = 0
    return out


def _dense(x: Tensor, channels: int, dtype: torch.dtype) -> Tensor:
    """Return an image in the layout of `_empty`, padded with zeros to `channels`."""
    batch, given, height, width = x.shape
    strides = (height * width * given, 1, width * given, given)
    if x.dtype == dtype and given == channels and x.stride() == strides:
        return x
    out = _empty(batch, channels, height, width, dtype)
    out[:, :given] = x
    out[:, given:] = 0
    return out


class _Chain:
    """The forward and backward pass of one chain."""

    def __init__(
        self,
        layers: tuple[Layer, ...],
        packed: Sequence[_Packed],
        dtype: torch.dtype,
        outputs: int | None,
    ) -> None:
        self.layers, self.packed, self.dtype = layers, packed, dtype
        self.outputs = outputs

    def forward(self, inputs: Sequence[Tensor]) -> list[list[Tensor]]:
        """Return the inputs of each layer, then the result."""
        images = [[_padded(x, self.dtype) for x in inputs]]
        for layer, packed in zip(self.layers, self.packed, strict=True):
            batch, _, height, width = images[-1][0].shape
            channels, scale = len(packed.bias), 1
            if layer.shuffled:
                channels, scale = channels // 4, 2
            out = _empty(batch, channels, scale * height, scale * width, self.dtype)
            skip = None if layer.skip is None else images[layer.skip][0]
            _convolve(
                _tables(images[-1]),
                packed.forward,
                _tables([out], shuffled=layer.shuffled),
                (batch, height, width),
                out,
                _After(packed.bias.detach(), layer.slope, skip),
            )
            images.append([out])
        return images

    def backward(
        self, images: Sequence[Sequence[Tensor]], gradient: Tensor, wanted: Sequence[bool]
    ) -> tuple[list[Tensor | None], list[Tensor]]:
        """Return the gradients of the inputs (padded) and of the parameters.

        Args:
            images: as `forward` returned them.
            gradient: of the result.
            wanted: for each input, whether its gradient is needed.
        """
        result = images[-1][0]
        gradient = _dense(gradient, result.shape[1], self.dtype)
        if self.layers[-1].slope != 1:
            assert self.layers[-1].skip is None
            gradient = torch.where(result > 0, gradient, self.layers[-1].slope * gradient)
        kept: dict[int, Tensor] = {}
        parameters: list[Tensor] = []
        for index in reversed(range(len(self.layers))):
            layer = self.layers[index]
            if layer.skip is not None:
                kept[layer.skip] = gradient
            parameters[:0] = self._parameters(index, images[index], gradient)
            if index:
                gradient = self._back(index, images[index][0], gradient, kept.pop(index, None))
        return self._inputs(images[0], gradient, wanted), parameters

    def _parameters(
        self, index: int, images: Sequence[Tensor], gradient: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return the gradients of a layer's weight and bias."""
        packed = self.packed[index]
        weight, bias = torch.empty_like(packed.weight), torch.empty_like(packed.bias)
        sources = _tables(images)
        gradients = _tables([gradient], shuffled=self.layers[index].shuffled)
        batch, _, height, width = images[0].shape

        def work(first: int, last: int) -> None:
            kernels.weight_gradient(
                _KINDS[self.dtype],
                sources,
                gradients,
                batch,
                height,
                width,
                weight.data_ptr(),
                bias.data_ptr(),
                first,
                last,
            )

        in_parallel(work, -(-weight.shape[1] // COLUMNS))
        return weight, bias

    def _back(self, index: int, image: Tensor, gradient: Tensor, more: Tensor | None) -> Tensor:
        """Return the gradient of a layer's input `image`, before the activation that made it."""
        before = self.layers[index - 1]
        assert before.slope == 1 or before.skip is None
        out = torch.empty_like(image)
        _convolve(
            _tables([gradient], shuffled=self.layers[index].shuffled),
            self.packed[index].backward,
            _tables([out]),
            (image.shape[0], *image.shape[2:]),
            out,
            _After(None, before.slope, more, image if before.slope != 1 else None),
        )
        return out

    def _inputs(
        self, images: Sequence[Tensor], gradient: Tensor, wanted: Sequence[bool]
    ) -> list[Tensor | None]:
        """Return the gradients of the chain's inputs."""
        batch, _, height, width = images[0].shape
        if not any(wanted):
            return [None] * len(images)
        out = [
            _empty(batch, x.shape[1], height, width, self.dtype) if want else None
            for x, want in zip(images, wanted, strict=True)
        ]
        targets = [
            np.zeros((x.shape[1] // LANES, 4), np.int64) if made is None else _tables([made])
            for x, made in zip(images, out, strict=True)
        ]
        _convolve(
            _tables([gradient], shuffled=self.layers[0].shuffled),
            self.packed[0].backward,
            np.concatenate(targets),
            (batch, height, width),
            gradient,
        )
        return out


class _After(NamedTuple):
    """Operations on sums before they are written."""

    bias: Tensor | None = None
    """Added first, float32; None for the gradient of an input."""
    slope: float = 1.0
    """Slope of the activation or of the mask; 1 for none."""
    residual: Tensor | None = None
    """Added after the activation or before the mask; has the layout of the written image."""
    mask: Tensor | None = None
    """The result of the activation, whose sign masks the gradients; likewise."""


def _convolve(
    sources: Any,
    weight: Tensor,
    targets: Any,
    shape: tuple[int, ...],
    out: Tensor,
    after: _After = _After(),  # noqa: B008 - a tuple of constants
) -> None:
    """Call `kernels.convolve`.

    Args:
        sources: table of the images read.
        weight: transformed.
        targets: table of the images written.
        shape: number of images, height, width.
        out: the image written, or one of several.
        after: operations on the sums.
    """
    bias, slope, residual, mask = after
    images, height, width = shape
    tiles_y, tiles_x = -(-height // TILE), -(-width // TILE)
    tiles = images * tiles_y * tiles_x
    assert residual is None or residual.stride() == out.stride()
    assert mask is None or mask.stride() == out.stride()

    def work(first: int, last: int) -> None:
        kernels.convolve(
            _KINDS[weight.dtype],
            sources,
            height,
            width,
            weight.data_ptr(),
            0 if bias is None else bias.data_ptr(),
            np.float32(slope),
            0 if residual is None else residual.data_ptr() - out.data_ptr(),
            0 if mask is None else mask.data_ptr() - out.data_ptr(),
            bias is None,
            targets,
            tiles_y,
            tiles_x,
            BLOCK * first,
            min(BLOCK * last, tiles),
        )

    in_parallel(work, -(-tiles // BLOCK))


class _Convolutions(torch.autograd.Function):
    """A `_Chain` with gradients."""

    @staticmethod
    def forward(ctx: Any, chain: _Chain, count: int, *tensors: Tensor) -> Tensor:
        images = chain.forward(tensors[:count])
        ctx.chain, ctx.inputs = chain, [(x.shape[1], x.dtype) for x in tensors[:count]]
        ctx.save_for_backward(*images[0], *(group[0] for group in images[1:]))
        last = images[-1][0]
        return last if chain.outputs is None else last[:, : chain.outputs]

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Any, ...]:
        count = len(ctx.inputs)
        saved = ctx.saved_tensors
        images = [saved[:count], *((x,) for x in saved[count:])]
        wanted = ctx.needs_input_grad[2 : 2 + count]
        found, parameters = ctx.chain.backward(images, grads[0], wanted)
        inputs = [
            None if x is None else x[:, :channels].to(dtype)
            for x, (channels, dtype) in zip(found, ctx.inputs, strict=True)
        ]
        return (None, None, *inputs, *parameters)
