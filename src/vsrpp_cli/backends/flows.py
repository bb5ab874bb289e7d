"""Flows by the network's own flow network, which no backend computes otherwise."""

import torch
from torch import Tensor

from vsrpp_cli.network.base import VideoNetwork


class NetworkFlows:
    """The part of `streaming.stages.Stages` that the plain network does for all backends."""

    def __init__(self, network: VideoNetwork) -> None:
        self.branches = network.branches
        self._flows = network

    def flow_input(self, frames: Tensor, spatial: Tensor) -> Tensor:
        """See `Stages`."""
        return self._flows.flow_input(frames, spatial)

    def pyramid(self, frame: Tensor) -> list[Tensor]:
        """See `Stages`."""
        return self._flows.pyramid(frame)

    def flow(self, reference: list[Tensor], other: list[Tensor], size: torch.Size) -> Tensor:
        """See `Stages`."""
        return self._flows.flow(reference, other, size)
