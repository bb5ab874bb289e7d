"""What one chunk leaves to the next."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from vsrpp_cli.network.propagation import Past


@dataclass(frozen=True, slots=True)
class BranchState:
    """All that the frames after some frame need to know of it and of those before it.

    For the N clips that were computed together; kept as the run's `Storage` keeps tensors.
    """

    frame: Tensor
    """That frame as the flow network sees it, shape (N, 3, h, w), float32."""

    flow: Tensor | None
    """From it to the frame before, shape (N, 2, h, w), float32; None if it was the first."""

    forward: tuple[Past, ...]
    """Of each forward branch, in the order they run."""

    ahead: tuple[tuple[Tensor, ...], ...] = ()
    """For each of the frames that follow the features of each backward branch, (N, C, h, w) each:
    made with less and less context."""

    @property
    def dtype(self) -> torch.dtype:
        """Of features."""
        return self.forward[0].last.dtype

    def changed(
        self, features: Callable[[Tensor], Tensor], others: Callable[[Tensor], Tensor]
    ) -> "BranchState":
        """Return the same with features changed by the one, frame and flow by the other."""
        return BranchState(
            frame=others(self.frame),
            flow=None if self.flow is None else others(self.flow),
            forward=tuple(past.changed(features) for past in self.forward),
            ahead=tuple(tuple(map(features, one)) for one in self.ahead),
        )

    def tensors(self) -> list[Tensor]:
        """Return all tensors, always in the same order."""
        found: list[Tensor] = []

        def note(tensor: Tensor) -> Tensor:
            found.append(tensor)
            return tensor

        self.changed(note, note)
        return found


def joined(states: Sequence[BranchState]) -> BranchState:
    """Return the states of several clips, of the same frames and dtypes, as those of one batch."""
    parts = zip(*(state.tensors() for state in states), strict=True)

    def put(_: Tensor) -> Tensor:
        return torch.cat(next(parts))

    return states[0].changed(put, put)
