"""The stages of BasicVSR++ for inference on a CPU, with the kernels of `fused`.

The plain modules of `network.basicvsrpp` are the slow twin: the same function of the same weights.
"""

import torch
from torch import Tensor, nn

from vsrpp_cli.backends.cpu_layers import (
    NOTHING,
    Blocks,
    Convolution,
    ConvolutionMaker,
    FusedEnlarging,
    LibraryConv,
    blocks_of_frames,
    few_channels,
    weights_of,
)
from vsrpp_cli.backends.flows import NetworkFlows
from vsrpp_cli.kernels import fused
from vsrpp_cli.network.alignment import Alignment
from vsrpp_cli.network.basicvsrpp import BRANCHES, BasicVSRPP
from vsrpp_cli.network.layers import SLOPE, ResidualBlocks
from vsrpp_cli.network.propagation import Pair, SecondOrder


class FusedBasicVSRPP(SecondOrder, NetworkFlows):
    """The network's stages with kernels; see `streaming.stages.Stages`.

    Args:
        network: its weights are copied; flows go through its own flow network.
        dtype: of features and products, float32 or bfloat16.
        winograd: whether 3x3 convolutions go through our kernel or through oneDNN.
    """

    one_clip = True

    def __init__(self, network: BasicVSRPP, dtype: torch.dtype, *, winograd: bool) -> None:
        config = network.config
        super().__init__(network)
        make: ConvolutionMaker = fused.WinogradConv if winograd else LibraryConv
        self.network = network
        self.dtype = dtype
        self.scratch = fused.Scratch()
        self.propagation = {name: _Branch(network, name, dtype, make) for name in BRANCHES}
        self.reconstruction = Blocks(network.reconstruction, [config.channels] * 5, dtype, make)
        self.enlarged = FusedEnlarging(network, dtype, make, self.scratch)
        self.shrinking, self.extraction = _extraction(network, dtype, make)

    def extract(self, frame: Tensor) -> Tensor:
        """See `Stages`."""
        x = frame.to(self.dtype)
        for conv in self.shrinking:
            x = conv([x])
        return self.extraction([x])

    def warp(self, features: Tensor, flow: Tensor) -> Tensor:
        """See `SecondOrder`."""
        return fused.warp(features, flow)

    def flow_features(self, flows: Pair, dtype: torch.dtype) -> Tensor:
        """See `SecondOrder`; with as many zeros behind the flows as kernels need."""
        return few_channels(flows, dtype)

    def deform(self, name: str, past: Pair, seen: list[Tensor], flows: Pair) -> Tensor:
        """See `SecondOrder`."""
        branch = self.propagation[name]
        *convs, last = branch.offset
        for conv in convs:
            seen = [conv(seen)]
        raw = last(seen, scratch=self.scratch, role="offsets")
        return branch.deform(*past, raw, torch.cat(flows))

    def refine(self, name: str, inputs: list[Tensor], aligned: Tensor) -> Tensor:
        """See `SecondOrder`."""
        return self.propagation[name].backbone([*inputs, aligned], aligned)

    def reconstruct(self, features: list[Tensor], frame: Tensor) -> Tensor:
        """See `Stages`."""
        return self.enlarged(self.reconstruction(features)) + self.network.enlarge(frame)


class _Branch:
    """The parts of one propagation branch."""

    def __init__(
        self,
        network: BasicVSRPP,
        name: str,
        dtype: torch.dtype,
        make: ConvolutionMaker,
    ) -> None:
        channels = network.config.channels
        alignment = network.deform_align[name]
        assert isinstance(alignment, Alignment)
        convs = [m for m in alignment.conv_offset if isinstance(m, nn.Conv2d)]
        inputs: list[list[int]] = [[channels] * 3 + [4], [channels], [channels], [channels]]
        slopes = [SLOPE] * 3 + [NOTHING]
        weights = [weights_of(conv) for conv in convs]
        weight, bias = (fused.in_offset_order(x, alignment.groups) for x in weights[-1])
        weights[-1] = weight, bias
        self.offset = [
            make(*both, parts, dtype=dtype, slope=slope)
            for both, parts, slope in zip(weights, inputs, slopes, strict=True)
        ]
        self.deform = fused.FusedAlignment(
            alignment.weight, alignment.bias, alignment.groups, dtype=dtype
        )
        blocks = network.backbone[name]
        assert isinstance(blocks, ResidualBlocks)
        parts = [channels] * (BRANCHES.index(name) + 2)
        self.backbone = Blocks(blocks, parts, dtype, make)


def _extraction(
    network: BasicVSRPP, dtype: torch.dtype, make: ConvolutionMaker
) -> tuple[list[Convolution], Blocks]:
    """Return the convolutions that make a frame smaller, and the blocks behind them."""
    channels = network.config.channels
    module = network.feat_extract
    if isinstance(module, ResidualBlocks):
        return [], blocks_of_frames(module, dtype, make)
    assert isinstance(module, nn.Sequential)
    first, _, second, _, rest = module
    assert isinstance(rest, ResidualBlocks)
    shrinking: list[Convolution] = [
        LibraryConv(*weights_of(first), [3], dtype=dtype, slope=SLOPE, stride=2),
        LibraryConv(*weights_of(second), [channels], dtype=dtype, slope=SLOPE, stride=2),
    ]
    return shrinking, Blocks(rest, [channels], dtype, make)
