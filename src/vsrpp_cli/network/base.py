"""The base class of all networks."""

from abc import abstractmethod

import torch
from torch import Tensor, nn

from vsrpp_cli.network.config import AnyConfig
from vsrpp_cli.network.propagation import Past
from vsrpp_cli.network.spynet import Spynet


class VideoNetwork(nn.Module):
    """A recurrent network for video.

    `forward` takes whole clips and is differentiable. The other methods compute its parts for one
    frame at a time; `vsrpp_cli.streaming` calls them in the order that needs least memory.
    """

    branches: tuple[str, ...]
    """Names in the order they run, beginning with "backward" or "forward"; the last is forward."""
    one_clip = False
    """Whether a call takes one clip at a time; torch's operators take several."""

    def __init__(self, config: AnyConfig) -> None:
        super().__init__()
        self.config = config

    @property
    def dtype(self) -> torch.dtype:
        """The dtype of weights and features."""
        return next(self.parameters()).dtype

    @property
    @abstractmethod
    def flow_network(self) -> Spynet:
        """The flow network."""

    def pyramid(self, frame: Tensor) -> list[Tensor]:
        """Return the flow network's pyramid of flow inputs (N, 3, h, w)."""
        return self.flow_network.pyramid(frame)

    def flow(self, reference: list[Tensor], other: list[Tensor], size: torch.Size) -> Tensor:
        """Return the flow (N, 2, *size) from one pyramid's images to another's."""
        return self.flow_network.flow(reference, other, size)

    @abstractmethod
    def flow_input(self, frames: Tensor, spatial: Tensor) -> Tensor:
        """Return the flow network's input (N, 3, h, w), float32, for frames (N, 3, H, W).

        `spatial` is the result of `extract` for the same frames.
        """

    @abstractmethod
    def extract(self, frame: Tensor) -> Tensor:
        """Return the spatial features (N, C, h, w) of frames (N, 3, H, W).

        Networks without a feature extractor return the frames, cleaned if they do that.
        """

    @abstractmethod
    def step(
        self,
        name: str,
        inputs: list[Tensor],
        past: Past | None,
        flow_1: Tensor | None,
        flow_before: Tensor | None,
    ) -> Tensor:
        """Return a branch's features of its next frame, (N, C, h, w)."""

    @abstractmethod
    def reconstruct(self, features: list[Tensor], frame: Tensor) -> Tensor:
        """Return one output frame, (N, 3, scale * H, scale * W), float32."""
