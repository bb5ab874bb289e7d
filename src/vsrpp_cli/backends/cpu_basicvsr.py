"""The parts of BasicVSR and RealBasicVSR for inference on a CPU; with the kernels of `fused`.

The plain modules of `network.basicvsr` are the slow twin: the same function of the same weights.
"""

import torch
from torch import Tensor

from vsrpp_cli.backends.cpu_layers import (
    Blocks,
    ConvolutionMaker,
    FusedEnlarging,
    LibraryConv,
    blocks_of_frames,
    few_channels,
    weights_of,
)
from vsrpp_cli.backends.flows import NetworkFlows
from vsrpp_cli.kernels import fused
from vsrpp_cli.network.basicvsr import BasicVSR, RealBasicVSR
from vsrpp_cli.network.layers import SLOPE, ResidualBlocks
from vsrpp_cli.network.propagation import Past


class FusedBasicVSR(NetworkFlows):
    """BasicVSR's stages with kernels; arguments as of `cpu_basicvsrpp.FusedBasicVSRPP`."""

    one_clip = True

    def __init__(self, network: BasicVSR, dtype: torch.dtype, *, winograd: bool) -> None:
        super().__init__(network)
        make: ConvolutionMaker = fused.WinogradConv if winograd else LibraryConv
        channels = network.config.channels
        self.network = network
        self.dtype = dtype
        self.propagation = {
            name: Blocks(getattr(network, name), [3, channels], dtype, make)
            for name in network.branches
        }
        weight, bias = weights_of(network.fusion)
        self.fusion = LibraryConv(weight, bias, [channels, channels], dtype=dtype, slope=SLOPE)
        self.enlarged = FusedEnlarging(network, dtype, make, fused.Scratch())

    def extract(self, frame: Tensor) -> Tensor:
        """See `Stages`."""
        return self.network.extract(frame)

    def step(
        self,
        name: str,
        inputs: list[Tensor],
        past: Past | None,
        flow_1: Tensor | None,
        flow_before: Tensor | None,  # noqa: ARG002  of second-order propagation
    ) -> Tensor:
        """See `Stages`."""
        frame = few_channels(inputs[:1], self.dtype)
        if past is None or flow_1 is None:
            warped = fused.empty_image(frame, self.network.config.channels).zero_()
        else:
            warped = fused.warp(past.last, flow_1)
        return self.propagation[name]([frame, warped])

    def reconstruct(self, features: list[Tensor], frame: Tensor) -> Tensor:  # noqa: ARG002
        """See `Stages`."""
        seen, *branches = features
        return self.enlarged(self.fusion(branches)) + self.network.enlarge(seen)


class FusedRealBasicVSR(FusedBasicVSR):
    """The same, with image cleaning."""

    def __init__(self, network: RealBasicVSR, dtype: torch.dtype, *, winograd: bool) -> None:
        super().__init__(network.basicvsr, dtype, winograd=winograd)
        make: ConvolutionMaker = fused.WinogradConv if winograd else LibraryConv
        blocks, last = network.image_cleaning
        assert isinstance(blocks, ResidualBlocks)
        self.cleaned = network.cleaned
        self.cleaning = blocks_of_frames(blocks, dtype, make)
        self.last = LibraryConv(*weights_of(last), [network.config.channels], dtype=dtype)

    def extract(self, frame: Tensor) -> Tensor:
        """See `Stages`."""
        return self.cleaned(frame, self.residue)

    def residue(self, frame: Tensor) -> Tensor:
        """See `RealBasicVSR.residue`."""
        return self.last([self.cleaning([frame.to(self.dtype)])]).float()
