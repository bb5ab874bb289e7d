"""What recurrent propagation hands from one frame to the next."""

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True, slots=True)
class Past:
    """What a branch remembers: its features of the last frame and of the one before that.

    Shape (N, C, h, w) each, in the network's dtype; `before` is None where there is no such frame.
    """

    last: Tensor
    before: Tensor | None

    def changed(self, change: Callable[[Tensor], Tensor]) -> "Past":
        """Return the same with every tensor changed."""
        return Past(change(self.last), None if self.before is None else change(self.before))
