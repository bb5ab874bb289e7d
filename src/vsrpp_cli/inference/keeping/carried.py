"""What each pass of a chunk leaves to the one that continues it, from chunk to chunk.

Of a frame cut into many tiles that is more than one pass needs to compute: in memory by default, in
a file where memory is short.
"""

from collections.abc import Callable, Hashable
from typing import Protocol

import torch
from torch import Tensor

from vsrpp_cli.inference.chain import States
from vsrpp_cli.inference.keeping.scratch import ScratchFile


class Carried(Protocol):
    """Keeps the states of passes, each under a key."""

    def put(self, key: Hashable, states: States) -> None:
        """Keep the states of a pass, in place of its earlier ones."""

    def get(self, key: Hashable) -> States | None:
        """Return the states of a pass bit for bit; None if there are none."""

    def clear(self) -> None:
        """Forget all."""


class InMemory:
    """Keeps them where they were computed."""

    def __init__(self) -> None:
        self._states: dict[Hashable, States] = {}

    def put(self, key: Hashable, states: States) -> None:
        """Keep the states of a pass, in place of its earlier ones."""
        self._states[key] = states

    def get(self, key: Hashable) -> States | None:
        """Return the states of a pass; None if there are none."""
        return self._states.get(key)

    def clear(self) -> None:
        """Forget all."""
        self._states = {}


class InFile:
    """Keeps them in a file, each pass at its own place, which is reused."""

    def __init__(self, file: ScratchFile) -> None:
        self._file = file
        self._kept: dict[Hashable, tuple[States, torch.device]] = {}
        """Tensors without content, which know shape, layout and kind, and where they belong."""
        self._places: dict[Hashable, range] = {}
        self._end = 0

    def put(self, key: Hashable, states: States) -> None:
        """Write the states of a pass, over its earlier ones where there is room."""
        tensors = [tensor for state in states if state is not None for tensor in state.tensors()]
        place = self._place(key, sum(tensor.nbytes for tensor in tensors)).start
        for tensor in tensors:
            self._file.write(place, _flat(_dense(tensor)).numpy())
            place += tensor.nbytes
        self._kept[key] = _each(states, _hollow), tensors[0].device

    def get(self, key: Hashable) -> States | None:
        """Read the states of a pass; None if there are none."""
        if key not in self._kept:
            return None
        states, device = self._kept[key]
        place = self._places[key].start

        def read(hollow: Tensor) -> Tensor:
            nonlocal place
            made = torch.empty_like(hollow, device="cpu")
            self._file.read_into(place, _flat(made).numpy())
            place += made.nbytes
            return made.to(device)

        return _each(states, read)

    def clear(self) -> None:
        """Forget all."""
        self._kept, self._places, self._end = {}, {}, 0

    def _place(self, key: Hashable, size: int) -> range:
        if len(self._places.get(key, ())) < size:
            self._places[key] = range(self._end, self._end + size)
            self._end += size
        return self._places[key]


def _each(states: States, change: Callable[[Tensor], Tensor]) -> States:
    """Return states with every tensor changed, in the order of `BranchState.tensors`."""
    return tuple(None if state is None else state.changed(change, change) for state in states)


def _dense(tensor: Tensor) -> Tensor:
    """Return a tensor on the CPU, in its layout, without gaps."""
    made = torch.empty_like(tensor, device="cpu")
    if tensor.device.type == "cpu" and made.stride() == tensor.stride():
        return tensor
    return made.copy_(tensor)


def _hollow(tensor: Tensor) -> Tensor:
    """Return a tensor like this one that has no content."""
    return torch.empty_like(tensor, device="meta")


def _flat(tensor: Tensor) -> Tensor:
    """Return the bytes of a dense tensor in the order they have in memory."""
    return tensor.as_strided((tensor.numel(),), (1,)).view(torch.uint8)
