"""What one chunk leaves to the next."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from vsrpp_cli.network.propagation import Past


@dataclass(frozen=True, slots=True)
class BranchState:
    """What the frames after a certain frame need of that frame and of those before it.

    For the N clips that were computed together; the tensors are as the run's `Storage` keeps them.
    """

    frame: Tensor
    """That frame as the flow network sees it, shape (N, 3, h, w), float32."""

    flow: Tensor | None
    """From it to the frame before, shape (N, 2, h, w), float32; None if it was the first."""

    forward: tuple[Past, ...]
    """The state of each forward branch, in the order they run."""

    ahead: tuple[tuple[Tensor, ...], ...] = ()
    """For each of the next few frames, the features of each backward branch, (N, C, h, w) each;
    later frames were computed with less context."""

    @property
    def dtype(self) -> torch.dtype:
        """Of the features."""
        return self.forward[0].last.dtype

    def changed(
        self, features: Callable[[Tensor], Tensor], others: Callable[[Tensor], Tensor]
    ) -> "BranchState":
        """Return a state with `features` applied to features, `others` to frame and flow."""
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
    """Return the states of several clips, of equal shapes and dtypes, as that of one batch."""
    parts = zip(*(state.tensors() for state in states), strict=True)

    def put(_: Tensor) -> Tensor:
        return torch.cat(next(parts))

    return states[0].changed(put, put)
