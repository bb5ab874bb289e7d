"""Recurrent propagation: the state passed from frame to frame, and the step of BasicVSR++.

The plain network, the CPU kernels and the training pass each implement the parts of a step;
`SecondOrder` combines them.
"""

from abc import abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from vsrpp_cli.network.warp import warp


@dataclass(frozen=True, slots=True)
class Past:
    """The state of a branch: its features of the last frame and of the one before that.

    Shape (N, C, h, w) each, in the network's dtype; `before` is None after the first frame.
    """

    last: Tensor
    before: Tensor | None

    def changed(self, change: Callable[[Tensor], Tensor]) -> "Past":
        """Return the same with every tensor changed."""
        return Past(change(self.last), None if self.before is None else change(self.before))


Step = Callable[[str, list[Tensor], Past | None, Tensor | None, Tensor | None], Tensor]
"""A network's `step`; see `SecondOrder.step`."""

Pair = tuple[Tensor, Tensor]
"""Of the last frame, and of the one before that."""


def propagate(
    name: str, step: Step, inputs: Sequence[Sequence[Tensor]], to_last: Tensor, to_next: Tensor
) -> list[Tensor]:
    """Run one branch over all frames, backward in time if its name begins so.

    Args:
        name: of the branch.
        step: the network's.
        inputs: for each of spatial features and earlier branches its (N, C, h, w) features, in
            order of time.
        to_last: flows, shape (N, T-1, 2, h, w): number i from frame i+1 to frame i.
        to_next: the same, from frame i to frame i+1.

    Returns:
        the branch's features, (N, C, h, w) each, in order of time.
    """
    backward = name.startswith("backward")
    way = -1 if backward else 1
    flows = (to_next if backward else to_last).unbind(1)[::way]
    states: list[Tensor] = []
    past: Past | None = None
    for i, seen in enumerate(zip(*(features[::way] for features in inputs), strict=True)):
        flow_1 = flows[i - 1] if i > 0 else None
        flow_before = flows[i - 2] if i > 1 else None
        states.append(step(name, list(seen), past, flow_1, flow_before))
        past = Past(states[-1], None if past is None else past.last)
    return states[::way]


class SecondOrder:
    """Second-order propagation (arXiv 2104.13371, section 3) from parts that subclasses provide."""

    def step(
        self,
        name: str,
        inputs: list[Tensor],
        past: Past | None,
        flow_1: Tensor | None,
        flow_before: Tensor | None,
    ) -> Tensor:
        """Return a branch's features of its next frame.

        Args:
            name: of the branch.
            inputs: the frame's spatial features and earlier branches' features, (N, C, h, w) each.
            past: the branch's state; None at its first frame.
            flow_1: shape (N, 2, h, w), float32: from the frame to the branch's last one; None at
                its first.
            flow_before: from the last frame to the one before it; None if there is none.
        """
        if past is None or flow_1 is None:
            aligned = torch.zeros_like(inputs[0])
        else:
            aligned = self.align(name, inputs[0], past, flow_1, flow_before)
        return self.refine(name, inputs, aligned)

    def align(
        self,
        name: str,
        current: Tensor,
        past: Past,
        flow_1: Tensor,
        flow_before: Tensor | None,
    ) -> Tensor:
        """Return the two last states of a branch, aligned with the current frame.

        Args:
            name: of the branch.
            current: the current frame's spatial features, (N, C, h, w).
            past: the branch's features of its last frame and of the one before that.
            flow_1: shape (N, 2, h, w), float32: from the current frame to the last.
            flow_before: from the last frame to the one before; None if there is none.
        """
        last = past.last
        if past.before is None or flow_before is None:
            second, flow_2 = torch.zeros_like(last), torch.zeros_like(flow_1)
        else:
            second, flow_2 = past.before, flow_1 + self.warp_flow(flow_before, flow_1)
        warped_2 = self.warp(second, flow_2)
        flows = flow_1, flow_2
        shown = self.flow_features(flows, current.dtype)
        # No name for the list: `deform` alone holds it, and lets go of it when it has been read.
        return self.deform(
            name, (last, second), [self.warp(last, flow_1), current, warped_2, shown], flows
        )

    def warp(self, features: Tensor, flow: Tensor) -> Tensor:
        """Return features (N, C, h, w) sampled where a flow (N, 2, h, w) points, zeros outside."""
        return warp(features, flow)

    def warp_flow(self, flow: Tensor, along: Tensor) -> Tensor:
        """Return a flow (N, 2, h, w), float32, sampled where another one points."""
        return warp(flow, along)

    def flow_features(self, flows: Pair, dtype: torch.dtype) -> Tensor:
        """Return two flows (N, 2, h, w) as features, (N, 4, h, w)."""
        return torch.cat(flows, dim=1).to(dtype)

    @abstractmethod
    def deform(self, name: str, past: Pair, seen: list[Tensor], flows: Pair) -> Tensor:
        """Return a branch's deformable alignment, (N, C, h, w).

        Args:
            name: of the branch.
            past: its features, (N, C, h, w) each.
            seen: the input for offsets and masks: the first of them warped, the current frame's
                features, the second warped, and the flows.
            flows: shape (N, 2, h, w), float32, from the current frame.
        """

    @abstractmethod
    def refine(self, name: str, inputs: list[Tensor], aligned: Tensor) -> Tensor:
        """Return a branch's features from its inputs and the aligned features, which are added."""
