"""One chunk through the network, frame by frame, with the forward branches' state carried on.

Backward branches need the whole chunk before the first frame can leave; forward branches need only
what came before. So a chunk that continues another one needs overlap behind its kept frames alone:
what lies before them is in the `BranchState` the other chunk left.

What backward branches made of the overlap, for want of context a little off, is not thrown away:
the next chunk fades from it to its own. Without that, the error of a chunk's last frames would end
all at once, which shows where nothing moves.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

BRANCHES = ("backward_1", "forward_1", "backward_2", "forward_2")
"""In the order they run; each sees the spatial features and all branches before it."""
BACKWARD_1, BACKWARD_2 = 1, 3
"""Where a frame's features hold those of the backward branches, its spatial ones being first."""

FADE = 3
"""Frames over which a chunk fades from what the one before made of them; more only cost memory."""


@dataclass(frozen=True, slots=True)
class Past:
    """What a branch remembers: its features of the last frame and of the one before that.

    Shape (1, C, h, w) each, in the network's dtype; `before` is None where there is no such frame.
    """

    last: Tensor
    before: Tensor | None


@dataclass(frozen=True, slots=True)
class BranchState:
    """All that the frames after some frame need to know of it and of those before it."""

    frame: Tensor
    """That frame as the flow network sees it, shape (1, 3, h, w), float32."""

    flow: Tensor | None
    """From it to the frame before, shape (1, 2, h, w), float32; None if it was the first."""

    forward_1: Past
    forward_2: Past

    ahead: tuple[tuple[Tensor, Tensor], ...] = ()
    """Features of `backward_1` and `backward_2` of the frames that follow, (1, C, h, w) each: made
    with less and less context."""


class Stages(Protocol):
    """The parts of a network, however they are computed; shapes as in `basicvsrpp.BasicVSRPP`."""

    def flow_input(self, frames: Tensor) -> Tensor:
        """Return frames (1, 3, H, W) as the flow network sees them, (1, 3, h, w), float32."""

    def pyramid(self, frame: Tensor) -> list[Tensor]:
        """Return what `flow` needs to know of one flow input."""

    def flow(self, reference: list[Tensor], other: list[Tensor], size: torch.Size) -> Tensor:
        """Return the flow between two pyramids, (1, 2, *size), float32."""

    def extract(self, frame: Tensor) -> Tensor:
        """Return the spatial features (1, C, h, w) of a frame (1, 3, H, W)."""

    def step(
        self,
        name: str,
        inputs: list[Tensor],
        past: Past | None,
        flow_1: Tensor | None,
        flow_before: Tensor | None,
    ) -> Tensor:
        """Return a branch's features of its next frame, (1, C, h, w)."""

    def reconstruct(self, features: list[Tensor], frame: Tensor) -> Tensor:
        """Return one output frame, (1, 3, scale * H, scale * W), float32."""


class ChunkRun(Iterator[Tensor]):
    """The kept frames of one chunk, computed as they are asked for; see `BasicVSRPP.run`."""

    def __init__(
        self,
        stages: Stages,
        clip: Tensor,
        keep: range,
        state: BranchState | None,
        resume_at: int | None = None,
    ) -> None:
        self._stages = stages
        self._clip = clip
        self._keep = keep
        self._resume_at = keep.stop if resume_at is None else resume_at
        self._before = state
        self._state: BranchState | None = None
        self._ahead: tuple[tuple[Tensor, Tensor], ...] = ()
        count = len(clip)
        self._forward_flows: list[Tensor | None] = [None] * count
        self._backward_flows: list[Tensor | None] = [None] * count
        self._features: list[list[Tensor]] = [[] for _ in range(count)]
        self._frames = self._compute()

    @property
    def state(self) -> BranchState:
        """What the chunk beginning at `resume_at` is to continue from.

        There once the frame before that has been handed out; asked for earlier, `RuntimeError`.
        """
        if self._state is None:
            raise RuntimeError(f"the state is known only after frame {self._resume_at - 1}")
        return self._state

    def __iter__(self) -> "ChunkRun":
        return self

    def __next__(self) -> Tensor:
        with torch.inference_mode():
            return next(self._frames)

    def _compute(self) -> Iterator[Tensor]:
        self._find_flows()
        for frame, features in zip(self._clip, self._features, strict=True):
            features.append(self._stages.extract(frame[None]))
        self._backward("backward_1", 0)
        forward_1 = self._forward_1()
        self._backward("backward_2", 1)
        self._ahead = tuple(
            (features[BACKWARD_1], features[BACKWARD_2])
            for features in self._features[self._resume_at : self._resume_at + FADE]
        )
        self._drop(range(self._keep.stop, len(self._clip)))
        yield from self._forward_2(forward_1)

    def _find_flows(self) -> None:
        """Fill in the flows: forward ones to the frame before, backward ones to the next."""
        stages, before = self._stages, self._before
        earlier = None if before is None else stages.pyramid(before.frame)
        for i, frame in enumerate(self._clip):
            small = stages.flow_input(frame[None])
            pyramid, size = stages.pyramid(small), small.shape[-2:]
            if earlier is not None:
                self._forward_flows[i] = stages.flow(pyramid, earlier, size)
                if i:
                    self._backward_flows[i - 1] = stages.flow(earlier, pyramid, size)
            earlier = pyramid

    def _backward(self, name: str, number: int) -> None:
        past: Past | None = None
        last = len(self._clip) - 1
        for i in range(last, -1, -1):
            flow_before = self._backward_flows[i + 1] if i < last else None
            past = self._step(name, i, past, self._backward_flows[i], flow_before)
            self._features[i].append(past.last)
        self._fade(number)

    def _fade(self, number: int) -> None:
        """Begin with the features the chunk before made, and fade to those just computed."""
        ahead = () if self._before is None else self._before.ahead
        # Squared: the less context those features had, the less they count.
        for i, (features, known) in enumerate(zip(self._features, ahead, strict=False)):
            share = (1 - (i + 1) / (len(ahead) + 1)) ** 2
            features[-1] = torch.lerp(features[-1], known[number], share)

    def _forward_1(self) -> Past:
        """Run the branch over the whole chunk; return its memory just before `resume_at`."""
        past = None if self._before is None else self._before.forward_1
        kept = past
        for i in range(len(self._clip)):
            past = self._step("forward_1", i, past, *self._flows_to_past(i))
            self._features[i].append(past.last)
            kept = past if i == self._resume_at - 1 else kept
        assert kept is not None
        return kept

    def _forward_2(self, forward_1: Past) -> Iterator[Tensor]:
        """Run the last branch up to the last kept frame, handing out frames as they are done."""
        past = None if self._before is None else self._before.forward_2
        for i in range(self._keep.stop):
            past = self._step("forward_2", i, past, *self._flows_to_past(i))
            features = [*self._features[i], past.last]
            self._drop(range(i, i + 1))
            if i == self._resume_at - 1:
                self._state = self._state_after(i, forward_1, past)
            if i >= self._keep.start:
                yield self._stages.reconstruct(features, self._clip[i : i + 1])[0]

    def _flows_to_past(self, i: int) -> tuple[Tensor | None, Tensor | None]:
        if i:
            return self._forward_flows[i], self._forward_flows[i - 1]
        return self._forward_flows[0], None if self._before is None else self._before.flow

    def _step(
        self, name: str, i: int, past: Past | None, flow: Tensor | None, flow_before: Tensor | None
    ) -> Past:
        state = self._stages.step(name, self._features[i], past, flow, flow_before)
        return Past(state, None if past is None else past.last)

    def _state_after(self, i: int, forward_1: Past, forward_2: Past) -> BranchState:
        frame = self._stages.flow_input(self._clip[i : i + 1]).clone()
        return BranchState(frame, self._forward_flows[i], forward_1, forward_2, self._ahead)

    def _drop(self, frames: range) -> None:
        """Free the features of frames that nobody needs any more."""
        for i in frames:
            self._features[i] = []
