"""Where a chunk's tensors are between the steps that need them."""

from typing import Protocol

import torch
from torch import Tensor


class Storage(Protocol):
    """Keeps flows, features and carried states while nothing is computed with them."""

    def put(self, tensor: Tensor) -> Tensor:
        """Return a tensor of any shape and dtype in the form in which it is kept."""

    def get(self, tensor: Tensor) -> Tensor:
        """Undo `put`: return the original values, bit for bit, on the computing device."""


class OnDevice:
    """Keeps everything on the computing device: the fastest, and the one that needs most memory."""

    def put(self, tensor: Tensor) -> Tensor:
        """Return the tensor itself."""
        return tensor

    def get(self, tensor: Tensor) -> Tensor:
        """Return the tensor itself."""
        return tensor


class OnHost:
    """Keeps everything in the machine's memory.

    The device then needs no more memory for longer chunks, but every step waits for copies. The
    memory is not pinned, since this is for machines that are short of it.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device

    def put(self, tensor: Tensor) -> Tensor:
        """Return a copy in the machine's memory (the tensor itself if it is there)."""
        return tensor.to("cpu")

    def get(self, tensor: Tensor) -> Tensor:
        """Return a copy on the device (the tensor itself if that is the CPU)."""
        return tensor.to(self._device)
