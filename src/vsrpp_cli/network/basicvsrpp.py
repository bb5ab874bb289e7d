"""BasicVSR++ (Chan et al., CVPR 2022, arXiv 2104.13371), exactly as published.

Parameter names are the published ones, so published checkpoints load with `strict=True`. What the
published code does not have: it remembers nothing from one call to the next (the original keeps
`is_mirror_extended`, so that one static clip spoils all later ones), and its flows, grids and
offsets are float32 in every precision.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vsrpp_cli.network.alignment import Alignment
from vsrpp_cli.network.base import VideoNetwork
from vsrpp_cli.network.config import NetworkConfig
from vsrpp_cli.network.layers import SLOPE, ResidualBlocks, Upsample, enlarged
from vsrpp_cli.network.propagation import Past
from vsrpp_cli.network.spynet import Spynet, split_clips
from vsrpp_cli.network.warp import warp

BRANCHES = ("backward_1", "forward_1", "backward_2", "forward_2")
"""Those of BasicVSR++, in the order they run; each sees the spatial features and all branches
before it."""


class BasicVSRPP(VideoNetwork):
    """The network; `config` says which."""

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
        """The part that computes flows."""
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
        flows_forward, flows_backward = self.flows(clip)
        spatial = split_clips(self.extract(clip.flatten(0, 1)), n)
        features: list[list[Tensor]] = [list(spatial.unbind(1))]
        for name in BRANCHES:
            backward = name.startswith("backward")
            flows = flows_backward.flip(1) if backward else flows_forward
            inputs = [branch[::-1] for branch in features] if backward else features
            states = self.propagate(name, inputs, flows)
            features.append(states[::-1] if backward else states)
        frames = [
            self.reconstruct([branch[i] for branch in features], clip[:, i]) for i in range(t)
        ]
        return torch.stack(frames, dim=1)

    def flows(self, clip: Tensor) -> tuple[Tensor, Tensor]:
        """Return the flows of a (N, T, 3, H, W) clip; see `Spynet.between_neighbours`."""
        small = self.flow_input(clip.flatten(0, 1))
        return self.spynet.between_neighbours(split_clips(small, len(clip)))

    def flow_input(self, frames: Tensor, spatial: Tensor | None = None) -> Tensor:  # noqa: ARG002
        """Return what the flow network sees of (N, 3, H, W) frames: (N, 3, h, w), float32."""
        if not self.config.same_size:
            return frames.float()
        return F.interpolate(frames.float(), scale_factor=0.25, mode="bicubic")

    def extract(self, frames: Tensor) -> Tensor:
        """Return the spatial features (N, C, h, w) of (N, 3, H, W) frames."""
        features: Tensor = self.feat_extract(frames.to(self.dtype))
        return features

    def propagate(self, name: str, inputs: list[list[Tensor]], flows: Tensor) -> list[Tensor]:
        """Run one branch over all frames.

        Args:
            name: of the branch.
            inputs: for each of spatial features and earlier branches its (N, C, h, w) features in
                the branch's own order of time.
            flows: shape (N, T-1, 2, h, w): number i from the branch's frame i+1 to its frame i.

        Returns:
            the branch's features, (N, C, h, w) each, in the branch's order of time.
        """
        states: list[Tensor] = []
        past: Past | None = None
        for i, current in enumerate(zip(*inputs, strict=True)):
            flow_1 = flows[:, i - 1] if i > 0 else None
            flow_before = flows[:, i - 2] if i > 1 else None
            states.append(self.step(name, list(current), past, flow_1, flow_before))
            past = Past(states[-1], None if past is None else past.last)
        return states

    def step(
        self,
        name: str,
        inputs: list[Tensor],
        past: Past | None,
        flow_1: Tensor | None,
        flow_before: Tensor | None,
    ) -> Tensor:
        """Return a branch's features of its next frame.

        Args:
            name: of the branch.
            inputs: the frame's spatial features and earlier branches' features, (N, C, h, w) each.
            past: what the branch remembers; None at its first frame.
            flow_1: shape (N, 2, h, w), float32: from the frame to the branch's last one, None at
                its first.
            flow_before: from the last frame to the one before it, None where there is none.
        """
        if past is None or flow_1 is None:
            aligned = torch.zeros_like(inputs[0])
        else:
            aligned = self.align(name, inputs[0], past, flow_1, flow_before)
        refined: Tensor = self.backbone[name](torch.cat([*inputs, aligned], dim=1))
        return refined + aligned  # in this order, for a sum is laid out as its first term is

    def align(
        self,
        name: str,
        current: Tensor,
        past: Past,
        flow_1: Tensor,
        flow_before: Tensor | None,
    ) -> Tensor:
        """Return the two last states of a branch, aligned with the current frame.

        Args:
            name: of the branch.
            current: the current frame's spatial features, (N, C, h, w).
            past: the branch's features of its last frame and of the one before that.
            flow_1: shape (N, 2, h, w), float32: from the current frame to the last.
            flow_before: from the last frame to the one before, None where there is none.
        """
        last = past.last
        warped_1 = warp(last, flow_1)
        if past.before is None or flow_before is None:
            second = torch.zeros_like(last)
            flow_2, warped_2 = torch.zeros_like(flow_1), torch.zeros_like(warped_1)
        else:
            second = past.before
            flow_2 = flow_1 + warp(flow_before, flow_1)
            warped_2 = warp(second, flow_2)
        warped = torch.cat([warped_1, current, warped_2], dim=1)
        aligned: Tensor = self.deform_align[name](
            torch.cat([last, second], dim=1), warped, flow_1, flow_2
        )
        return aligned

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
