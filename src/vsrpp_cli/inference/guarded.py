"""One pass of a chunk through the chain: a batch of tiles in one view, checked by the guard.

Frames are checked when they are returned, not when they are computed, so that the GPU is not waited
for before its result is needed. A tile with a faulty frame is recomputed alone in float32, and its
frames from that one on are replaced; the other tiles are not affected.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from vsrpp_cli.errors import GuardError
from vsrpp_cli.inference.chain import Chain, ChainRun, States, converted, only, together
from vsrpp_cli.inference.guard import Guard, look
from vsrpp_cli.inference.transfer import Downloads
from vsrpp_cli.options import Precision
from vsrpp_cli.streaming.chunk_run import OnWork
from vsrpp_cli.streaming.storage import Storage

Finish = Callable[[Tensor, slice], Tensor]
"""Converts the network's frames (n, 3, sH, sW), which it may modify, on the device into what is
transferred, (n, ...). The second argument is the range of the batch that they are."""


@dataclass(frozen=True, kw_only=True)
class Batch:
    """What goes through the networks together."""

    clip: Tensor
    """Shape (T, N, 3, h, w), float32, [0, 1], as the storage keeps it."""
    keep: range
    """The frames of the clip that are wanted."""
    first: int
    """Index of the clip's first frame in the whole run, for messages."""
    states: States
    """What the previous chunk left, or the chain's `start()`."""
    work: float = 1.0
    """The amount of work that it counts as."""


class Pass:
    """Computes the kept frames of a batch and transfers them to the CPU."""

    def __init__(
        self,
        chain: Chain,
        batch: Batch,
        precision: Precision,
        storage: Storage,
        *,
        downloads: Downloads,
        guard: Guard | None,
        on_fault: Callable[[str], None],
        on_work: OnWork | None = None,
    ) -> None:
        """Prepare a pass; see `frames`.

        Args:
            chain: the networks.
            batch: what to compute.
            precision: `fp32`, `fp16` or `bf16`.
            storage: where to keep tensors between the steps that use them.
            downloads: transfers results to the CPU; must not be used elsewhere meanwhile.
            guard: checks each frame; None for no checks.
            on_fault: called with a description when a tile is recomputed.
            on_work: called with parts of the batch's work as they are done.
        """
        self._chain = chain
        self._batch = batch
        self._precision = precision
        self._storage = storage
        self._downloads = downloads
        self._guard = guard
        self._on_fault = on_fault
        self._count = batch.clip.shape[1]
        self._run: ChainRun | None = ChainRun(
            chain, batch.clip, batch.keep, batch.states, precision, storage, on_work, batch.work
        )
        self._alone: dict[int, ChainRun] = {}
        """The tiles that are recomputed in float32."""

    def frames(self, finish: Finish) -> Iterator[Tensor]:
        """Yield the kept frames, (N, ...), in order, on the CPU; call it in inference mode.

        Raises:
            GuardError: a frame is black or not a number in float32, too.
        """
        computed = self._computed(finish)
        for index in self._batch.keep:
            if self._run is None:
                yield torch.cat([self._recomputed(n, index, finish) for n in range(self._count)])
            elif self._guard is None:
                yield next(computed)[0]
            else:
                frames, facts = next(computed)
                yield self._mended(index, frames, facts, finish)

    @property
    def states(self) -> States:
        """What the next chunk continues from; available once all frames have been yielded."""
        if self._run is not None and not self._alone:
            return self._run.states
        parts = [
            converted(self._alone[n].states, self._precision, self._storage)
            if n in self._alone or self._run is None
            else only(self._run.states, n)
            for n in range(self._count)
        ]
        return together(parts)

    def _computed(self, finish: Finish) -> Iterator[list[Tensor]]:
        """Yield finished frames and the facts about them as they arrive; the device is ahead."""
        everything = slice(0, self._count)
        for index in self._batch.keep:
            assert self._run is not None
            frames = next(self._run)
            facts = [] if self._guard is None else [look(frames, self._given(index, everything))]
            self._downloads.put(finish(frames, everything), *facts)
            if self._downloads.full:
                yield self._downloads.take()
        while self._downloads:
            yield self._downloads.take()

    def _mended(self, index: int, frames: Tensor, facts: Tensor, finish: Finish) -> Tensor:
        """Return finished frames, those of faulty tiles replaced."""
        assert self._guard is not None
        for n in range(self._count):
            if n not in self._alone and (fault := self._guard.fault(facts[n])):
                self._begin_alone(n, index, fault)
        if not self._alone:
            return frames
        parts = [
            self._recomputed(n, index, finish) if n in self._alone else frames[n : n + 1]
            for n in range(self._count)
        ]
        return torch.cat(parts)

    def _begin_alone(self, n: int, index: int, fault: str) -> None:
        """Recompute a tile in float32, up to the frame before `index`."""
        if self._precision == "fp32":
            raise self._hopeless(index, fault)
        self._on_fault(f"{fault} in {self._precision}: recomputed in float32")
        if len(self._alone) + 1 == self._count:
            # All tiles are recomputed alone now; free the memory of the batch.
            self._run = None
        batch = self._batch
        clip, states = batch.clip[:, n : n + 1], only(batch.states, n)
        run = ChainRun(self._chain, clip, batch.keep, states, "fp32", self._storage)
        for _ in range(batch.keep.start, index):
            next(run)
        self._alone[n] = run

    def _recomputed(self, n: int, index: int, finish: Finish) -> Tensor:
        assert self._guard is not None
        one = slice(n, n + 1)
        frame = next(self._alone[n])
        if fault := self._guard.fault(look(frame, self._given(index, one))[0].cpu()):
            raise self._hopeless(index, fault)
        return finish(frame, one).cpu()

    def _given(self, index: int, which: slice) -> Tensor:
        return self._storage.get(self._batch.clip[index, which])

    def _hopeless(self, index: int, fault: str) -> GuardError:
        return GuardError(
            f"frame {self._batch.first + index}: {fault}, in float32 too; "
            "the model or the input may be damaged (`guard=False` keeps it)"
        )
