"""BasicVSR++'s forward pass arranged for training on CPUs.

It computes the same function of the same parameters as `network.basicvsrpp.BasicVSRPP.forward`, up
to rounding; a test compares the two. It is faster because of its memory access: channels-last
throughout, sampling by the kernels of `kernels.training.sampling`, the flows of both directions in
one batch, convolutions in chains (`kernels.training.convolutions`) with one backward pass each.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from vsrpp_cli.kernels.loops import TAPS
from vsrpp_cli.kernels.training.convolutions import Chains, Layer, LibraryChains
from vsrpp_cli.kernels.training.sampling import column_weight, deform_columns, warp
from vsrpp_cli.network.basicvsrpp import BRANCHES
from vsrpp_cli.network.layers import SLOPE
from vsrpp_cli.network.propagation import Pair, SecondOrder, propagate
from vsrpp_cli.network.warp import warp as warp_image

Weights = Mapping[str, Tensor]
"""Parameters and buffers of a network by their published names."""


class _Cast(Mapping[str, Tensor]):
    """Weights in one precision, converted on first use."""

    def __init__(self, weights: Weights, dtype: torch.dtype) -> None:
        self._weights, self._dtype = weights, dtype
        self._converted: dict[str, Tensor] = {}

    def __getitem__(self, name: str) -> Tensor:
        if name not in self._converted:
            value = self._weights[name]
            if name not in {"spynet.mean", "spynet.std"}:
                value = value.to(self._dtype)
            if value.dim() == 4:
                value = value.contiguous(memory_format=torch.channels_last)
            self._converted[name] = value
        return self._converted[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._weights)

    def __len__(self) -> int:
        return len(self._weights)


def cast(weights: Weights, dtype: torch.dtype) -> Weights:
    """Return the weights in `dtype`, convolutions' channels-last; gradients flow back."""
    return _Cast(weights, dtype)


def restore(
    weights: Weights, clips: Tensor, chains: Chains | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    """Upscale clips by 4, keeping what is needed for gradients.

    Args:
        weights: as `cast` returns them.
        clips: (N, T, 3, H, W) float32 RGB in [0, 1]; H and W are multiples of 2 to the number of
            flow levels minus 1.
        chains: computes convolutions; `LibraryChains` of the weights by default.

    Returns:
        The upscaled clips, (N, T, 3, 4H, 4W) float32, not clipped; the flows from each frame to the
        next and from each next frame back, both (N, T-1, 2, H, W) float32, x before y, pixels.
    """
    batch, frames, _, height, width = clips.shape
    chains = chains or LibraryChains(weights)
    dtype = weights["deform_align.backward_1.weight"].dtype
    to_next, to_last = flows_both_ways(weights, clips)
    flat = clips.reshape(-1, 3, height, width)
    low = flat.to(dtype).contiguous(memory_format=torch.channels_last)
    spatial = chains(_residual_layers(weights, "feat_extract.main"), [low])
    features: list[Sequence[Tensor]] = [spatial.view(batch, frames, *spatial.shape[1:]).unbind(1)]
    branches = _Branches(weights, chains)
    for name in BRANCHES:
        features.append(propagate(name, branches.step, features, to_last, to_next))
    # Frame by frame, so that tensors of the output's size stay in the processor's cache.
    high = [_reconstruct(weights, chains, list(frame)) for frame in zip(*features, strict=True)]
    base = F.interpolate(flat, scale_factor=4, mode="bilinear", align_corners=False)
    out = base.view(batch, frames, 3, 4 * height, 4 * width) + torch.stack(high, 1).float()
    return out, to_next, to_last


def flows_both_ways(weights: Weights, clips: Tensor) -> tuple[Tensor, Tensor]:
    """Return the flows of clips (N, T, 3, H, W) to the next and to the previous frames.

    Both as `restore` returns them.
    """
    batch, frames, _, height, width = clips.shape
    first = clips[:, :-1].reshape(-1, 3, height, width)
    second = clips[:, 1:].reshape(-1, 3, height, width)
    flows = flow_pyramid(weights, torch.cat((first, second)), torch.cat((second, first)))[-1]
    to_next, to_last = flows.view(2, batch, frames - 1, 2, height, width)
    return to_next, to_last


def flow_pyramid(weights: Weights, reference: Tensor, other: Tensor) -> list[Tensor]:
    """Return the flows (N, 2, h, w) from `reference` to `other` (N, 3, H, W), coarsest first."""
    levels = sum(
        name.startswith("spynet.") and name.endswith(".basic_module.0.conv.weight")
        for name in weights
    )
    mean, std = weights["spynet.mean"], weights["spynet.std"]
    images = [((reference - mean) / std, (other - mean) / std)]
    for _ in range(levels - 1):
        a, b = images[0]
        images.insert(0, (F.avg_pool2d(a, 2), F.avg_pool2d(b, 2)))
    flows: list[Tensor] = []
    for level, (a, image) in enumerate(images):
        b = image
        if level:
            up = 2 * F.interpolate(flows[-1], scale_factor=2, mode="bilinear", align_corners=True)
            b = warp_image(b, up, padding="border")
        else:
            up = a.new_zeros(a.shape[0], 2, *a.shape[2:])
        flows.append(up + _flow_level(weights, level, torch.cat((a, b, up), 1)))
    return flows


def _flow_level(weights: Weights, level: int, x: Tensor) -> Tensor:
    """Apply the five convolutions of one pyramid level, (N, 8, h, w) to (N, 2, h, w) float32."""
    stem = f"spynet.basic_module.{level}.basic_module"
    x = x.to(weights[f"{stem}.0.conv.weight"].dtype)
    x = x.contiguous(memory_format=torch.channels_last)
    for layer in range(5):
        weight = weights[f"{stem}.{layer}.conv.weight"]
        x = F.conv2d(x, weight, weights[f"{stem}.{layer}.conv.bias"], padding=weight.shape[-1] // 2)
        if layer < 4:
            x = F.relu(x, inplace=True)
    return x.float()


def _residual_layers(weights: Weights, stem: str) -> list[Layer]:
    """Return the layers of a convolution and of the residual blocks after it."""
    layers = [Layer(f"{stem}.0", slope=SLOPE)]
    while f"{stem}.2.{len(layers) // 2}.conv1.weight" in weights:
        block = f"{stem}.2.{len(layers) // 2}"
        layers += [Layer(f"{block}.conv1", slope=0.0), Layer(f"{block}.conv2", skip=len(layers))]
    return layers


class _Branches(SecondOrder):
    """The parts of propagation, with gradients."""

    def __init__(self, weights: Weights, chains: Chains) -> None:
        self._weights, self._chains = weights, chains

    def warp(self, features: Tensor, flow: Tensor) -> Tensor:
        """See `SecondOrder`."""
        return warp(features, flow)

    def warp_flow(self, flow: Tensor, along: Tensor) -> Tensor:
        """See `SecondOrder`."""
        return warp(flow, along)

    def deform(self, name: str, past: Pair, seen: list[Tensor], flows: Pair) -> Tensor:
        """See `SecondOrder`."""
        stem = f"deform_align.{name}"
        layers = [Layer(f"{stem}.conv_offset.{number}", slope=SLOPE) for number in (0, 2, 4)]
        layers.append(Layer(f"{stem}.conv_offset.6"))
        raw = self._chains(layers, seen, padded=True)
        weight = self._weights[f"{stem}.weight"]
        columns = deform_columns(*past, raw, *flows)
        rows = column_weight(weight, raw.shape[1] // (3 * TAPS))
        out = torch.addmm(self._weights[f"{stem}.bias"], columns, rows)
        return out.view(*past[0].permute(0, 2, 3, 1).shape[:3], -1).permute(0, 3, 1, 2)

    def refine(self, name: str, inputs: list[Tensor], aligned: Tensor) -> Tensor:
        """See `SecondOrder`."""
        layers = _residual_layers(self._weights, f"backbone.{name}.main")
        return aligned + self._chains(layers, [*inputs, aligned])


def _reconstruct(weights: Weights, chains: Chains, features: list[Tensor]) -> Tensor:
    """Return the residual (N, 3, 4H, 4W) to the interpolated frame.

    `features` are those of all branches, (N, C, H, W) each.
    """
    layers = [
        *_residual_layers(weights, "reconstruction.main"),
        Layer("upsample1.upsample_conv", slope=SLOPE, shuffled=True),
        Layer("upsample2.upsample_conv", slope=SLOPE, shuffled=True),
        Layer("conv_hr", slope=SLOPE),
        Layer("conv_last"),
    ]
    return chains(layers, features)
