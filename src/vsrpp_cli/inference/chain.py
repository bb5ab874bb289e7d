"""A chain of networks as one: each keeps its own state, each reads what the one before made."""

import copy
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from vsrpp_cli.inference.device import DTYPES, choose_kernels
from vsrpp_cli.network.base import Kernels, VideoNetwork
from vsrpp_cli.streaming.storage import OnDevice, Storage
from vsrpp_cli.streaming.chunk_run import BranchState, ChunkRun, OnWork, joined

States = tuple[BranchState | None, ...]
"""What the networks of a chain go on from, one entry each."""


class Chain:
    """Networks ready to run on a device, in one precision or another."""

    def __init__(
        self, networks: Sequence[VideoNetwork], device: torch.device, compiled: str | None = None
    ) -> None:
        """Take the networks, which stay as they are.

        Args:
            networks: in float32, in order.
            device: to run on.
            compiled: the precision in which torch's compiler is used; None for never.
        """
        self._originals = list(networks)
        self._compiled = compiled
        self._device = device
        self._ready: dict[str, list[VideoNetwork]] = {}
        self.scale = 1
        for network in networks:
            self.scale *= network.config.scale

    def start(self) -> States:
        """Return the states of a chunk that nothing precedes."""
        return (None,) * len(self._originals)

    def networks(self, precision: str) -> list[VideoNetwork]:
        """Return the networks with their weights in `precision`, on the device."""
        if precision not in self._ready:
            self._ready[precision] = [self._prepared(net, precision) for net in self._originals]
        return self._ready[precision]

    def kernels(self, precision: str) -> list[str]:
        """Return the implementations in use, each once."""
        return list(dict.fromkeys(self._kernels_of(n, precision) for n in self._originals))

    def _kernels_of(self, network: VideoNetwork, precision: str) -> Kernels:
        if precision == self._compiled:
            return "compiled"
        return choose_kernels(self._device, precision, network.config)

    def batches(self, precision: str) -> bool:
        """Tell whether several clips can share a run: kernels of our own take one at a time."""
        return {"fused", "winograd"}.isdisjoint(self.kernels(precision))

    def _prepared(self, network: VideoNetwork, precision: str) -> VideoNetwork:
        # A copy, for the float32 original may be needed to check or to recompute.
        return copy.deepcopy(network).prepare(
            device=self._device,
            dtype=DTYPES[precision],
            kernels=self._kernels_of(network, precision),
        )

    def run(
        self,
        clip: Tensor,
        keep: range,
        states: States,
        precision: str,
        storage: Storage | None = None,
        on_work: OnWork | None = None,
    ) -> "ChainRun":
        """Return an iterator over the kept frames of clips, (N, 3, sH, sW); see `VideoNetwork.run`.

        Args:
            clip: shape (T, N, 3, H, W), [0, 1], float32, as `storage` keeps it.
            keep: the kept frames.
            states: of the chunk that ended before these clips' first frame, or `start()`.
            precision: `fp32`, `fp16` or `bf16`; states of another one are converted.
            storage: where to keep what is not being computed with; on the device by default.
            on_work: told of shares of the work as they are done, the networks counting alike.
        """
        return ChainRun(self, clip, keep, states, precision, storage or OnDevice(), on_work)


class ChainRun(Iterator[Tensor]):
    """The kept frames of one chunk as the last network of the chain makes them."""

    def __init__(
        self,
        chain: Chain,
        clip: Tensor,
        keep: range,
        states: States,
        precision: str,
        storage: Storage,
        on_work: OnWork | None,
    ) -> None:
        *earlier, last = networks = chain.networks(precision)
        each = None if on_work is None else lambda share: on_work(share / len(networks))
        states = converted(states, precision, storage)
        self._earlier_states: list[BranchState] = []
        for network, state in zip(earlier, states, strict=False):
            # The next network wants all frames, but goes on where this chunk's kept ones end.
            run = network.run(clip, state=state, resume_at=keep.stop, storage=storage, on_work=each)
            clip = torch.stack([storage.put(frame.clamp(0, 1)) for frame in run])
            self._earlier_states.append(run.state)
        self._last: ChunkRun = last.run(
            clip, keep=keep, state=states[-1], storage=storage, on_work=each
        )

    def __next__(self) -> Tensor:
        return next(self._last)

    @property
    def states(self) -> States:
        """What the next chunk goes on from; there once all frames are out."""
        return (*self._earlier_states, self._last.state)


def converted(states: States, precision: str, storage: Storage) -> States:
    """Return states with their features in another precision; flows and frame stay float32."""
    dtype = DTYPES[precision]

    def cast(kept: Tensor) -> Tensor:
        return storage.put(storage.get(kept).to(dtype))

    return tuple(
        state if state is None or state.dtype == dtype else state.changed(cast, lambda kept: kept)
        for state in states
    )


def only(states: States, number: int) -> States:
    """Return the states of one clip out of a batch, as those of a batch of one."""

    def one(kept: Tensor) -> Tensor:
        return kept[number : number + 1]

    return tuple(None if state is None else state.changed(one, one) for state in states)


def together(parts: Sequence[States]) -> States:
    """Return the states of several clips, none at its start, as those of one batch."""
    if len(parts) == 1:
        return parts[0]
    networks = zip(*parts, strict=True)
    return tuple(joined([state for state in of if state is not None]) for of in networks)
