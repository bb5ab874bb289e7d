"""BasicVSR (CVPR 2021, arXiv 2012.02181) and RealBasicVSR (CVPR 2022, arXiv 2111.12704).

Parameter names are the published ones. One difference from the published RealBasicVSR: whether to
clean again is decided for each frame, not for a whole clip, so that results do not depend on the
borders of chunks.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vsrpp_cli.network.base import VideoNetwork
from vsrpp_cli.network.config import BasicVSRConfig
from vsrpp_cli.network.layers import SLOPE, ResidualBlocks, Upsample, enlarged
from vsrpp_cli.network.propagation import Past, propagate
from vsrpp_cli.network.spynet import Spynet, split_clips
from vsrpp_cli.network.warp import warp

BRANCHES = ("backward_resblocks", "forward_resblocks")
"""The branches in the order they run; neither uses the other's features."""

MOST_CLEANINGS = 3


class BasicVSR(VideoNetwork):
    """One backward and one forward branch of first-order propagation."""

    config: BasicVSRConfig
    branches: tuple[str, ...] = BRANCHES

    def __init__(self, config: BasicVSRConfig) -> None:
        super().__init__(config)
        channels, hr_channels = config.channels, config.hr_channels
        self.spynet = Spynet(config.spynet)
        self.backward_resblocks = ResidualBlocks(channels + 3, channels, config.blocks)
        self.forward_resblocks = ResidualBlocks(channels + 3, channels, config.blocks)
        self.fusion = nn.Conv2d(2 * channels, channels, 1)
        self.upsample1 = Upsample(channels, channels)
        self.upsample2 = Upsample(channels, hr_channels)
        self.conv_hr = nn.Conv2d(hr_channels, hr_channels, 3, padding=1)
        self.conv_last = nn.Conv2d(hr_channels, 3, 3, padding=1)

    def forward(self, clip: Tensor) -> Tensor:
        """Return the enlarged clip; see `VideoNetwork.forward`."""
        to_last, to_next = self.spynet.between_neighbours(clip.float())
        frames = self.extract(clip).unbind(1)
        made = [propagate(name, self.step, [frames], to_last, to_next) for name in BRANCHES]
        parts = zip(frames, *made, strict=True)
        return torch.stack([self.reconstruct(list(part), part[0]) for part in parts], dim=1)

    def extract(self, frame: Tensor) -> Tensor:
        """Return the frames in float32: the branches use pixels."""
        return frame.float()

    def flow_input(self, frames: Tensor, spatial: Tensor) -> Tensor:  # noqa: ARG002
        """Return what `extract` returned."""
        return spatial

    def step(
        self,
        name: str,
        inputs: list[Tensor],
        past: Past | None,
        flow_1: Tensor | None,
        flow_before: Tensor | None,  # noqa: ARG002  of second-order propagation
    ) -> Tensor:
        """Return a branch's features of its next frame, which is the first of `inputs`."""
        frame = inputs[0].to(self.dtype)
        if past is None or flow_1 is None:
            n, _, height, width = frame.shape
            warped = frame.new_zeros(n, self.config.channels, height, width)
        else:
            warped = warp(past.last, flow_1)
        features: Tensor = getattr(self, name)(torch.cat([frame, warped], dim=1))
        return features

    def reconstruct(self, features: list[Tensor], frame: Tensor) -> Tensor:  # noqa: ARG002
        """Return one output frame from the branches' input frame and their features."""
        seen, *branches = features
        fused = F.leaky_relu(self.fusion(torch.cat(branches, dim=1)), SLOPE)
        return enlarged(self, fused) + self.enlarge(seen)

    def enlarge(self, frame: Tensor) -> Tensor:
        """Return (N, 3, H, W) four times as large, bilinearly."""
        return F.interpolate(frame, scale_factor=4, mode="bilinear", align_corners=False)

    @property
    def flow_network(self) -> Spynet:
        """The part that computes flows."""
        return self.spynet


class RealBasicVSR(VideoNetwork):
    """Image cleaning, then BasicVSR."""

    config: BasicVSRConfig
    branches: tuple[str, ...] = BRANCHES

    def __init__(self, config: BasicVSRConfig | None = None) -> None:
        config = config or BasicVSRConfig()
        super().__init__(config)
        self.image_cleaning = nn.Sequential(
            ResidualBlocks(3, config.channels, config.cleaning_blocks),
            nn.Conv2d(config.channels, 3, 3, padding=1),
        )
        self.basicvsr = BasicVSR(config)

    def forward(self, clip: Tensor) -> Tensor:
        """Return the enlarged clip; see `VideoNetwork.forward`."""
        frames = self.extract(clip.flatten(0, 1))
        result: Tensor = self.basicvsr(split_clips(frames, len(clip)))
        return result

    def extract(self, frame: Tensor) -> Tensor:
        """Return frames (N, 3, H, W) cleaned, float32."""
        return self.cleaned(frame, self.residue)

    def cleaned(self, frames: Tensor, residue: Callable[[Tensor], Tensor]) -> Tensor:
        """Return frames cleaned up to three times.

        Each is cleaned again while its mean absolute residue is at least
        `config.cleaning_threshold`.

        Args:
            frames: shape (N, 3, H, W), RGB, [0, 1].
            residue: function that returns the change by one cleaning of such frames, float32.

        Returns:
            shape (N, 3, H, W), float32.
        """
        threshold = self.config.cleaning_threshold
        frames = frames.float()
        change = residue(frames)
        frames = frames + change
        going = change.abs().mean((1, 2, 3)) >= threshold
        for _ in range(MOST_CLEANINGS - 1):
            if not bool(going.any()):
                break
            change = residue(frames) * going.view(-1, 1, 1, 1)
            frames = frames + change
            going = going & (change.abs().mean((1, 2, 3)) >= threshold)
        return frames

    def residue(self, frame: Tensor) -> Tensor:
        """Return the change by one cleaning of frames (N, 3, H, W), float32."""
        residue: Tensor = self.image_cleaning(frame.to(self.dtype)).float()
        return residue

    def flow_input(self, frames: Tensor, spatial: Tensor) -> Tensor:
        """See `BasicVSR`."""
        return self.basicvsr.flow_input(frames, spatial)

    def step(
        self,
        name: str,
        inputs: list[Tensor],
        past: Past | None,
        flow_1: Tensor | None,
        flow_before: Tensor | None,
    ) -> Tensor:
        """See `BasicVSR`."""
        return self.basicvsr.step(name, inputs, past, flow_1, flow_before)

    def reconstruct(self, features: list[Tensor], frame: Tensor) -> Tensor:
        """See `BasicVSR`."""
        return self.basicvsr.reconstruct(features, frame)

    @property
    def flow_network(self) -> Spynet:
        """The part that computes flows."""
        return self.basicvsr.spynet
