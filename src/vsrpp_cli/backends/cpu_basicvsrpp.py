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
from vsrpp_cli.network.propagation import Past
from vsrpp_cli.network.warp import warp as warp_flow


class FusedBasicVSRPP(NetworkFlows):
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
        self.propagation = {
            name: _Branch(network, name, dtype, make, self.scratch) for name in BRANCHES
        }
        self.reconstruction = Blocks(network.reconstruction, [config.channels] * 5, dtype, make)
        self.enlarged = FusedEnlarging(network, dtype, make, self.scratch)
        self.shrinking, self.extraction = _extraction(network, dtype, make)

    def extract(self, frame: Tensor) -> Tensor:
        """See `Stages`."""
        x = frame.to(self.dtype)
        for conv in self.shrinking:
            x = conv([x])
        return self.extraction([x])

    def step(
        self,
        name: str,
        inputs: list[Tensor],
        past: Past | None,
        flow_1: Tensor | None,
        flow_before: Tensor | None,
    ) -> Tensor:
        """See `Stages`."""
        return self.propagation[name].step(inputs, past, flow_1, flow_before)

    def reconstruct(self, features: list[Tensor], frame: Tensor) -> Tensor:
        """See `Stages`."""
        return self.enlarged(self.reconstruction(features)) + self.network.enlarge(frame)


class _Branch:
    """One propagation branch."""

    def __init__(
        self,
        network: BasicVSRPP,
        name: str,
        dtype: torch.dtype,
        make: ConvolutionMaker,
        scratch: fused.Scratch,
    ) -> None:
        self.scratch = scratch
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

    def step(
        self,
        inputs: list[Tensor],
        past: Past | None,
        flow_1: Tensor | None,
        flow_before: Tensor | None,
    ) -> Tensor:
        """Return the branch's features of its next frame; see `BasicVSRPP.step`."""
        if past is None or flow_1 is None:
            aligned = torch.zeros_like(inputs[0], memory_format=torch.channels_last)
        else:
            aligned = self._align(inputs[0], past, flow_1, flow_before)
        return self.backbone([*inputs, aligned], aligned)

    def _align(
        self, current: Tensor, past: Past, flow_1: Tensor, flow_before: Tensor | None
    ) -> Tensor:
        if past.before is None or flow_before is None:
            second = torch.zeros_like(past.last, memory_format=torch.channels_last)
            flow_2, warped_2 = torch.zeros_like(flow_1), second
        else:
            second = past.before
            flow_2 = flow_1 + warp_flow(flow_before, flow_1)
            warped_2 = fused.warp(second, flow_2)
        flows = torch.cat([flow_1, flow_2])
        seen = few_channels(flows.reshape(1, 4, *flows.shape[-2:]), current.dtype)
        said = [fused.warp(past.last, flow_1), current, warped_2, seen]
        for conv in self.offset[:-1]:
            said = [conv(said)]
        said = [self.offset[-1](said, scratch=self.scratch, role="offsets")]
        return self.deform(past.last, second, said[0], flows)


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
