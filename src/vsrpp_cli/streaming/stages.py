"""The stages of a network, independent of the backend that computes them."""

from typing import Protocol

import torch
from torch import Tensor

from vsrpp_cli.network.propagation import Past


class Stages(Protocol):
    """The parts of a network, however they are computed; shapes as in `network.basicvsrpp`.

    A `network.base.VideoNetwork` is its own stages, by torch's operators.
    """

    branches: tuple[str, ...]
    """Names of the branches in the order they run. Each begins with "backward" or "forward"; the
    last one is a forward branch."""

    one_clip: bool
    """Whether a call takes one clip at a time, N = 1."""

    def flow_input(self, frames: Tensor, spatial: Tensor) -> Tensor:
        """Return frames (N, 3, H, W) as the flow network sees them, (N, 3, h, w), float32.

        `spatial` is what `extract` made of them.
        """

    def pyramid(self, frame: Tensor) -> list[Tensor]:
        """Return what `flow` needs of one flow input: its images at all levels."""

    def flow(self, reference: list[Tensor], other: list[Tensor], size: torch.Size) -> Tensor:
        """Return the flow between two pyramids, (N, 2, *size), float32."""

    def extract(self, frame: Tensor) -> Tensor:
        """Return the spatial features (N, C, h, w) of a frame (N, 3, H, W).

        Of a network without any it is the frame itself, cleaned or not.
        """

    def step(
        self,
        name: str,
        inputs: list[Tensor],
        past: Past | None,
        flow_1: Tensor | None,
        flow_before: Tensor | None,
    ) -> Tensor:
        """Return a branch's features of its next frame, (N, C, h, w)."""

    def reconstruct(self, features: list[Tensor], frame: Tensor) -> Tensor:
        """Return one output frame, (N, 3, scale * H, scale * W), float32."""
