"""A chain of networks: the output of each is the input of the next; each has its own state."""

import copy
from collections.abc import Iterator, Sequence
from itertools import chain
from math import prod

import torch
from torch import Tensor

from vsrpp_cli.backends.graphed import GraphedStages
from vsrpp_cli.backends.select import Kernels, prepare
from vsrpp_cli.inference.machine.device import DTYPES, choose_kernels
from vsrpp_cli.network.base import VideoNetwork
from vsrpp_cli.options import Precision
from vsrpp_cli.streaming.chunk_run import ChunkRun, OnWork
from vsrpp_cli.streaming.stages import Stages
from vsrpp_cli.streaming.state import BranchState, joined
from vsrpp_cli.streaming.storage import OnDevice, Storage

States = tuple[BranchState | None, ...]
"""The state of each network of a chain; None at the start of a scene."""


class Chain:
    """Networks ready to run on a device, in one precision or another."""

    def __init__(
        self,
        networks: Sequence[VideoNetwork],
        device: torch.device,
        chosen: tuple[Precision, Kernels] | None = None,
    ) -> None:
        """Keep the networks, unchanged.

        Args:
            networks: in float32, in order.
            device: to run on.
            chosen: a precision and who computes in it; the fastest is taken otherwise.
        """
        self._originals = list(networks)
        self._chosen = chosen
        self._device = device
        self._ready: dict[str, list[Stages]] = {}
        self.scale = prod(network.config.scale for network in networks)

    def start(self) -> States:
        """Return the states of a chunk that nothing precedes."""
        return (None,) * len(self._originals)

    def stages(self, precision: Precision) -> list[Stages]:
        """Return the networks' stages with their weights in `precision`, on the device."""
        if precision not in self._ready:
            self._ready[precision] = [self._prepared(net, precision) for net in self._originals]
        return self._ready[precision]

    def kernels(self, precision: Precision) -> list[Kernels]:
        """Return which kernels the networks use in `precision`, without repetition."""
        return list(dict.fromkeys(self._kernels_of(n, precision) for n in self._originals))

    def _kernels_of(self, network: VideoNetwork, precision: Precision) -> Kernels:
        if self._chosen is not None and precision == self._chosen[0]:
            return self._chosen[1]
        return choose_kernels(self._device, precision, network.config)

    def batches(self, precision: Precision) -> bool:
        """Return whether several clips can share a call: the CPU kernels take one at a time."""
        return not any(stages.one_clip for stages in self.stages(precision))

    def forget_graphs(self) -> None:
        """Free what recorded steps hold; they are recorded again when they are next wanted."""
        for stages in chain.from_iterable(self._ready.values()):
            if isinstance(stages, GraphedStages):
                stages.forget()

    def _prepared(self, network: VideoNetwork, precision: Precision) -> Stages:
        # A copy: the float32 original may be needed to recompute frames.
        return prepare(
            copy.deepcopy(network),
            device=self._device,
            dtype=DTYPES[precision],
            kernels=self._kernels_of(network, precision),
        )


class ChainRun(Iterator[Tensor]):
    """The kept frames of a chunk as the last network makes them, (N, 3, sH, sW) each."""

    def __init__(
        self,
        chain: Chain,
        clip: Tensor,
        keep: range,
        states: States,
        precision: Precision,
        storage: Storage | None = None,
        on_work: OnWork | None = None,
        work: float = 1.0,
    ) -> None:
        """Run all networks but the last over the chunk; the last one computes on demand.

        Args:
            chain: the networks.
            clip: shape (T, N, 3, H, W), [0, 1], float32, as `storage` keeps it.
            keep: the kept frames.
            states: of the chunk whose kept frames ended just before this clip's first frame, or
                the chain's `start()`.
            precision: `fp32`, `fp16` or `bf16`; states in another precision are converted.
            storage: where to keep tensors between the steps that use them; on the device by
                default.
            on_work: called with parts of `work` as they are done; each network counts equally.
            work: the amount of work that the whole chunk counts as.
        """
        storage = storage or OnDevice()
        *earlier, last = chain.stages(precision)
        work /= len(earlier) + 1
        states = converted(states, precision, storage)
        self._earlier_states: list[BranchState] = []
        for stages, state in zip(earlier, states, strict=False):
            # The next network needs all frames, but the next chunk begins after the kept ones.
            run = ChunkRun(
                stages,
                clip,
                state=state,
                resume_at=keep.stop,
                storage=storage,
                on_work=on_work,
                work=work,
            )
            clip = torch.stack([storage.put(frame.clamp(0, 1)) for frame in run])
            self._earlier_states.append(run.state)
        self._last = ChunkRun(
            last, clip, keep=keep, state=states[-1], storage=storage, on_work=on_work, work=work
        )

    def __next__(self) -> Tensor:
        return next(self._last)

    @property
    def states(self) -> States:
        """What the next chunk continues from; available once all frames have been returned."""
        return (*self._earlier_states, self._last.state)


def converted(states: States, precision: Precision, storage: Storage) -> States:
    """Return states with features in `precision`; flows and frames stay float32."""
    dtype = DTYPES[precision]

    def cast(kept: Tensor) -> Tensor:
        return storage.put(storage.get(kept).to(dtype))

    return tuple(
        state if state is None or state.dtype == dtype else state.changed(cast, lambda kept: kept)
        for state in states
    )


def only(states: States, number: int) -> States:
    """Return the states of clip `number` of a batch, as those of a batch of one."""

    def one(kept: Tensor) -> Tensor:
        return kept[number : number + 1]

    return tuple(None if state is None else state.changed(one, one) for state in states)


def together(parts: Sequence[States]) -> States:
    """Return the states of several clips (no entry None) as those of one batch."""
    if len(parts) == 1:
        return parts[0]
    networks = zip(*parts, strict=True)
    return tuple(joined([state for state in of if state is not None]) for of in networks)
