"""Runs the network over one chunk, frame by frame, and carries the forward branches' state on.

Backward branches need the whole chunk before the first frame can leave; forward branches need only
earlier frames. A chunk that continues another one therefore needs overlap only after its kept
frames: the `BranchState` of the other chunk stands for all frames before them.

The backward features of the overlap frames were computed with little context and are slightly
wrong. They are kept, and the next chunk fades from them to its own features. A sudden change from
one to the other would be visible in still areas.
"""

from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor

from vsrpp_cli.network.propagation import Past
from vsrpp_cli.streaming.stages import Stages
from vsrpp_cli.streaming.state import BranchState
from vsrpp_cli.streaming.storage import OnDevice, Storage

FLOW_SHARE, EXTRACT_SHARE, BRANCHES_SHARE = 0.11, 0.05, 0.56
"""Shares of a chunk's computing time, roughly measured; reconstruction takes the rest."""

OnWork = Callable[[float], None]
"""Called with the amount of work done since the last call."""

FADE = 3
"""Frames over which a chunk fades from the previous chunk's features to its own; more frames cost
memory and gain nothing."""


class ChunkRun(Iterator[Tensor]):
    """The kept frames of one chunk, computed on demand, without gradients.

    Each is (3, scale * H, scale * W), or (N, 3, ...) of N clips, float32, not clamped, on the
    network's device, a tensor of its own. The first `next()` does most of the work (flows, features
    and all branches but the last for the whole chunk), the others the last branch and the
    reconstruction of one frame each.

    Without a state, frame k of the clip equals `network(clip[None])[0, k]` up to rounding. With
    one, the result differs from that of the whole sequence only because backward branches see fewer
    frames after `keep.stop` than exist; it is bit-identical if both chunks reach the end of the
    sequence.
    """

    def __init__(
        self,
        stages: Stages,
        clip: Tensor,
        *,
        keep: range | slice | None = None,
        state: BranchState | None = None,
        resume_at: int | None = None,
        storage: Storage | None = None,
        on_work: OnWork | None = None,
        work: float = 1.0,
    ) -> None:
        """Prepare to compute some frames of a chunk.

        Args:
            stages: of the network, see `backends.select`.
            clip: the chunk, shape (T, 3, H, W), RGB, [0, 1], float32, on the network's device (or
                as `storage` keeps it); H and W as the network's `forward` requires. It must not be
                modified before the last frame has been returned. Unless `stages.one_clip`, also
                (T, N, 3, H, W): N independent clips that are computed in the same calls.
            keep: which of its T frames to return: consecutive ones (step 1), all by default. The
                others are context.
            state: of an earlier chunk of the same frame size whose kept frames ended just before
                this clip's first frame. Forward branches continue from it, so no context is needed
                before `keep.start`.
            resume_at: the frame of this clip that the next chunk begins with; `keep.stop` by
                default. It is smaller where the next network of a chain needs all frames of this
                chunk, the overlap included.
            storage: where to keep tensors between the steps that use them; on the device by
                default. A `state` must come from a run with the same storage.
            on_work: called after each step of a frame with the part of `work` that it was.
            work: the amount of work that the whole chunk counts as.

        Raises:
            ValueError: `keep` is empty or not inside the clip, `resume_at` is not among
                `1..keep.stop`, or there are several clips where the stages take one.
        """
        if stages.one_clip and clip.dim() == 5 and clip.shape[1] > 1:
            raise ValueError(f"these kernels take one clip at a time, not {clip.shape[1]}")
        self._keep = _kept(keep, len(clip))
        self._resume_at = self._keep.stop if resume_at is None else resume_at
        if not 1 <= self._resume_at <= self._keep.stop:
            raise ValueError(f"cannot resume at frame {resume_at} when keeping {self._keep}")
        self._stages = stages
        self._branch_share = BRANCHES_SHARE / len(stages.branches)
        self._work = work
        self._on_work = on_work or (lambda _: None)
        self._single = clip.dim() == 4
        self._clip = clip.unsqueeze(1) if self._single else clip
        self._before = state
        self._storage = storage or OnDevice()
        self._state: BranchState | None = None
        self._forward_pasts: list[Past] = []
        self._ahead: tuple[tuple[Tensor, ...], ...] = ()
        count = len(clip)
        # Whatever is kept longer than a step goes through the storage (`put`, later `get`).
        self._forward_flows: list[Tensor | None] = [None] * count
        self._backward_flows: list[Tensor | None] = [None] * count
        self._features: list[list[Tensor]] = [[] for _ in range(count)]
        self._frames = self._compute()
        self._left = len(self._keep)

    @property
    def state(self) -> BranchState:
        """What the chunk that begins at `resume_at` continues from, as `storage` keeps it.

        Raises:
            RuntimeError: frame `resume_at - 1` has not been returned yet.
        """
        if self._state is None:
            raise RuntimeError(f"the state is known only after frame {self._resume_at - 1}")
        return self._state

    def __iter__(self) -> "ChunkRun":
        return self

    def __next__(self) -> Tensor:
        with torch.inference_mode():
            frame = next(self._frames)
            self._left -= 1
            if not self._left:
                self._let_go()
        return frame[0] if self._single else frame

    def _let_go(self) -> None:
        """Free everything but the state as soon as the last frame has been returned.

        This object and its generator refer to each other: without this, their tensors would stay in
        memory until Python's cycle collector runs.
        """
        next(self._frames, None)
        self._frames = iter(())
        self._before = None
        self._ahead = ()
        self._forward_flows, self._backward_flows, self._features = [], [], []
        self._clip = self._clip[:0].clone()

    def _all_but_last(self, names: Sequence[str]) -> None:
        """Compute what needs the whole chunk: flows, features, all branches but the last."""
        self._extract_and_find_flows()
        for name in names:
            (self._backward if _is_backward(name) else self._forward)(name)
        self._backward_flows = []
        self._ahead = tuple(
            tuple(features[place] for place in self._backward_places())
            for features in self._features[self._resume_at : self._resume_at + FADE]
        )
        self._drop(range(self._keep.stop, len(self._clip)))

    def _backward_places(self) -> list[int]:
        """Return the indices of the backward branches in a frame's list of features.

        Index 0 holds the spatial features.
        """
        return [1 + i for i, name in enumerate(self._stages.branches) if _is_backward(name)]

    def _extract_and_find_flows(self) -> None:
        """Fill in spatial features, forward flows (to the frame before) and backward ones."""
        stages, before, put = self._stages, self._before, self._storage.put
        earlier = None if before is None else stages.pyramid(self._storage.get(before.frame))
        for i in range(len(self._clip)):
            frame = self._frame(i)
            spatial = stages.extract(frame)
            small = stages.flow_input(frame, spatial)
            self._features[i].append(put(spatial))
            pyramid, size = stages.pyramid(small), small.shape[-2:]
            if earlier is not None:
                self._forward_flows[i] = put(stages.flow(pyramid, earlier, size))
                if i:
                    self._backward_flows[i - 1] = put(stages.flow(earlier, pyramid, size))
            earlier = pyramid
            self._tell((EXTRACT_SHARE + FLOW_SHARE) / len(self._clip))

    def _backward(self, name: str) -> None:
        past: Past | None = None
        last = len(self._clip) - 1
        for i in range(last, -1, -1):
            flow_before = self._backward_flows[i + 1] if i < last else None
            past = self._step(name, i, past, self._backward_flows[i], flow_before)
            self._features[i].append(self._storage.put(past.last))
            self._tell(self._branch_share / len(self._clip))
        self._fade(self._backward_places().index(len(self._features[0]) - 1))

    def _fade(self, number: int) -> None:
        """Blend the first features with the previous chunk's features of the same frames."""
        ahead = () if self._before is None else self._before.ahead
        get, put = self._storage.get, self._storage.put
        # Squared, so that features that had less context count less.
        for i, (features, known) in enumerate(zip(self._features, ahead, strict=False)):
            share = (1 - (i + 1) / (len(ahead) + 1)) ** 2
            features[-1] = put(torch.lerp(get(features[-1]), get(known[number]), share))

    def _forward(self, name: str) -> None:
        """Run a branch over the whole chunk; keep its state at frame `resume_at - 1`."""
        past = self._past_of_next()
        for i in range(len(self._clip)):
            past = self._step(name, i, past, *self._flows_to_past(i))
            self._features[i].append(self._storage.put(past.last))
            self._tell(self._branch_share / len(self._clip))
            if i == self._resume_at - 1:
                self._forward_pasts.append(past.changed(self._storage.put))

    def _past_of_next(self) -> Past | None:
        """Return the previous chunk's state of the forward branch that runs next."""
        if self._before is None:
            return None
        return self._before.forward[len(self._forward_pasts)].changed(self._storage.get)

    def _compute(self) -> Iterator[Tensor]:
        """Run the last branch up to the last kept frame, yielding frames as they are done."""
        *earlier, name = self._stages.branches
        self._all_but_last(earlier)
        past = self._past_of_next()
        share = 1 - FLOW_SHARE - EXTRACT_SHARE
        share -= self._branch_share * len(earlier)
        for i in range(self._keep.stop):
            past = self._step(name, i, past, *self._flows_to_past(i))
            self._tell(share / self._keep.stop)
            features = self._features[i]
            self._drop(range(i, i + 1))
            if i == self._resume_at - 1:
                self._state = self._state_after(i, features, past)
            if i >= self._keep.start:
                features = [*map(self._storage.get, features), past.last]
                yield self._stages.reconstruct(features, self._frame(i))

    def _tell(self, share: float) -> None:
        self._on_work(share * self._work)

    def _frame(self, i: int) -> Tensor:
        """Return frame `i` of all clips, (N, 3, H, W), on the computing device."""
        return self._storage.get(self._clip[i])

    def _flows_to_past(self, i: int) -> tuple[Tensor | None, Tensor | None]:
        if i:
            return self._forward_flows[i], self._forward_flows[i - 1]
        return self._forward_flows[0], None if self._before is None else self._before.flow

    def _step(
        self, name: str, i: int, past: Past | None, flow: Tensor | None, flow_before: Tensor | None
    ) -> Past:
        """Advance a branch by one frame; flows and features are as the storage keeps them."""
        get = self._storage.get
        features = [get(feature) for feature in self._features[i]]
        flows = (None if known is None else get(known) for known in (flow, flow_before))
        state = self._stages.step(name, features, past, *flows)
        return Past(state, None if past is None else past.last)

    def _state_after(self, i: int, features: list[Tensor], last: Past) -> BranchState:
        put, spatial = self._storage.put, self._storage.get(features[0])
        frame = put(self._stages.flow_input(self._frame(i), spatial).clone())
        forward = (*self._forward_pasts, last.changed(put))
        return BranchState(frame, self._forward_flows[i], forward, self._ahead)

    def _drop(self, frames: range) -> None:
        """Free the features of frames that are no longer needed."""
        for i in frames:
            self._features[i] = []


def _is_backward(branch: str) -> bool:
    return branch.startswith("backward")


def _kept(keep: range | slice | None, count: int) -> range:
    if keep is None:
        return range(count)
    kept = range(count)[keep] if isinstance(keep, slice) else keep
    if kept.step != 1 or not 0 <= kept.start < kept.stop <= count:
        raise ValueError(f"cannot keep {keep} of {count} frames")
    return kept
