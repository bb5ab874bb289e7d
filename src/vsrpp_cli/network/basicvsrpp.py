"""BasicVSR++ (Chan et al., CVPR 2022, arXiv 2104.13371), exactly as published.

Parameter names are the published ones, so published checkpoints load with `strict=True`. Unlike
the published code, it keeps no state between calls (the original keeps `is_mirror_extended`, so
that one static clip makes all later results wrong), and its flows, grids and offsets are float32 in
every precision.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vsrpp_cli.network.alignment import Alignment
from vsrpp_cli.network.base import VideoNetwork
from vsrpp_cli.network.config import NetworkConfig
from vsrpp_cli.network.layers import SLOPE, ResidualBlocks, Upsample, enlarged
from vsrpp_cli.network.propagation import Pair, SecondOrder, propagate
from vsrpp_cli.network.spynet import Spynet, split_clips

BRANCHES = ("backward_1", "forward_1", "backward_2", "forward_2")
"""The branches of BasicVSR++ in the order they run; each uses the spatial features and the features
of all branches before it."""


class BasicVSRPP(SecondOrder, VideoNetwork):
    """A BasicVSR++ network with the widths and scale of `config`."""

    config: NetworkConfig
    branches: tuple[str, ...] = BRANCHES

    def __init__(self, config: NetworkConfig | None = None) -> None:
        config = config or NetworkConfig()
        super().__init__(config)
        channels = config.channels
        self.spynet = Spynet(config.spynet)
        self.feat_extract = _feature_extraction(config)
        self.deform_align = nn.ModuleDict(
            {name: Alignment(channels, config.deform_groups) for name in BRANCHES}
        )
        self.backbone = nn.ModuleDict(
            {
                name: ResidualBlocks((2 + index) * channels, channels, config.blocks)
                for index, name in enumerate(BRANCHES)
            }
        )
        self.reconstruction = ResidualBlocks(5 * channels, channels, config.reconstruct_blocks)
        self.upsample1 = Upsample(channels, channels)
        self.upsample2 = Upsample(channels, config.hr_channels)
        self.conv_hr = nn.Conv2d(config.hr_channels, config.hr_channels, 3, padding=1)
        self.conv_last = nn.Conv2d(config.hr_channels, 3, 3, padding=1)

    @property
    def flow_network(self) -> Spynet:
        """The flow network."""
        return self.spynet

    def forward(self, clip: Tensor) -> Tensor:
        """Return the clip at the network's output size, differentiable.

        Args:
            clip: shape (N, T, 3, H, W), RGB, [0, 1], float32; H and W at least `config.minimum` for
                the published accuracy, and multiples of `config.multiple_of`.

        Returns:
            shape (N, T, 3, scale * H, scale * W), float32, not clamped.
        """
        n, t = clip.shape[:2]
        to_last, to_next = self.flows(clip)
        spatial = split_clips(self.extract(clip.flatten(0, 1)), n)
        features: list[Sequence[Tensor]] = [spatial.unbind(1)]
        for name in BRANCHES:
            features.append(propagate(name, self.step, features, to_last, to_next))
        frames = [
            self.reconstruct([branch[i] for branch in features], clip[:, i]) for i in range(t)
        ]
        return torch.stack(frames, dim=1)

    def flows(self, clip: Tensor) -> tuple[Tensor, Tensor]:
        """Return the flows of a (N, T, 3, H, W) clip; see `Spynet.between_neighbours`."""
        small = self.flow_input(clip.flatten(0, 1))
        return self.spynet.between_neighbours(split_clips(small, len(clip)))

    def flow_input(self, frames: Tensor, spatial: Tensor | None = None) -> Tensor:  # noqa: ARG002
        """Return the flow network's input (N, 3, h, w), float32, for frames (N, 3, H, W)."""
        if not self.config.same_size:
            return frames.float()
        return F.interpolate(frames.float(), scale_factor=0.25, mode="bicubic")

    def extract(self, frames: Tensor) -> Tensor:
        """Return the spatial features (N, C, h, w) of (N, 3, H, W) frames."""
        features: Tensor = self.feat_extract(frames.to(self.dtype))
        return features

    def deform(self, name: str, past: Pair, seen: list[Tensor], flows: Pair) -> Tensor:
        """See `SecondOrder`."""
        aligned: Tensor = self.deform_align[name](
            torch.cat(past, dim=1), torch.cat(seen, dim=1), *flows
        )
        return aligned

    def refine(self, name: str, inputs: list[Tensor], aligned: Tensor) -> Tensor:
        """See `SecondOrder`."""
        refined: Tensor = self.backbone[name](torch.cat([*inputs, aligned], dim=1))
        return refined + aligned  # in this order, for a sum is laid out as its first term is

    def reconstruct(self, features: list[Tensor], frame: Tensor) -> Tensor:
        """Return one output frame.

        Args:
            features: the five (N, C, h, w) features of the frame: spatial, then the branches'.
            frame: the input frame, (N, 3, H, W).

        Returns:
            shape (N, 3, scale * H, scale * W), float32.
        """
        x = self.reconstruction(torch.cat(features, dim=1))
        return enlarged(self, x) + self.enlarge(frame)

    def enlarge(self, frame: Tensor) -> Tensor:
        """Return (N, 3, H, W) at the output's size, bilinearly, in float32."""
        if self.config.same_size:
            return frame.float()
        return F.interpolate(frame.float(), scale_factor=4, mode="bilinear", align_corners=False)


def _feature_extraction(config: NetworkConfig) -> nn.Module:
    channels = config.channels
    if not config.same_size:
        return ResidualBlocks(3, channels, config.extract_blocks)
    return nn.Sequential(
        nn.Conv2d(3, channels, 3, stride=2, padding=1),
        nn.LeakyReLU(SLOPE),
        nn.Conv2d(channels, channels, 3, stride=2, padding=1),
        nn.LeakyReLU(SLOPE),
        ResidualBlocks(channels, channels, config.extract_blocks),
    )
