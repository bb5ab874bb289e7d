"""Where a chunk's tensors are between the steps that need them."""

from typing import Protocol

import torch
from torch import Tensor


class Storage(Protocol):
    """Keeps flows, features and carried states while nothing is computed with them."""

    def put(self, tensor: Tensor) -> Tensor:
        """Return a tensor, of any shape and dtype, the way it is kept."""

    def get(self, tensor: Tensor) -> Tensor:
        """Return what `put` returned as it was before, bit for bit, on the computing device."""


class OnDevice:
    """Keeps everything where it is computed: the fastest, and what needs most of its memory."""

    def put(self, tensor: Tensor) -> Tensor:
        """Return the tensor itself."""
        return tensor

    def get(self, tensor: Tensor) -> Tensor:
        """Return the tensor itself."""
        return tensor


class OnHost:
    """Keeps everything in the machine's memory.

    What the device needs then no longer grows with the number of frames, but every step waits for
    copies. They are plain ones: pinned memory would be taken from a machine already short of it.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device

    def put(self, tensor: Tensor) -> Tensor:
        """Return a copy in the machine's memory (the tensor itself if it is there)."""
        return tensor.to("cpu")

    def get(self, tensor: Tensor) -> Tensor:
        """Return a copy on the device (the tensor itself if that is the CPU)."""
        return tensor.to(self._device)
