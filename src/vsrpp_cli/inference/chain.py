"""A chain of networks as one: each keeps its own state, each reads what the one before made."""

import copy
from collections.abc import Iterator, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from vsrpp_cli.inference.device import DTYPES, choose_kernels
from vsrpp_cli.network.basicvsrpp import BasicVSRPP
from vsrpp_cli.network.streaming import BranchState, ChunkRun, Past

States = tuple[BranchState | None, ...]
"""What the networks of a chain go on from, one entry each."""


class Chain:
    """Networks ready to run on a device, in one precision or another."""

    def __init__(self, networks: Sequence[BasicVSRPP], device: torch.device) -> None:
        self._originals = list(networks)
        self._device = device
        self._ready: dict[str, list[BasicVSRPP]] = {}
        self.scale = 1
        for network in networks:
            self.scale *= network.config.scale

    def start(self) -> States:
        """Return the states of a chunk that nothing precedes."""
        return (None,) * len(self._originals)

    def networks(self, precision: str) -> list[BasicVSRPP]:
        """Return the networks with their weights in `precision`, on the device."""
        if precision not in self._ready:
            self._ready[precision] = [self._prepared(net, precision) for net in self._originals]
        return self._ready[precision]

    def kernels(self, precision: str) -> list[str]:
        """Return the implementations in use, each once."""
        chosen = (choose_kernels(self._device, precision, n.config) for n in self._originals)
        return list(dict.fromkeys(chosen))

    def _prepared(self, network: BasicVSRPP, precision: str) -> BasicVSRPP:
        # A copy, for the float32 original may be needed to check or to recompute.
        return copy.deepcopy(network).prepare(
            device=self._device,
            dtype=DTYPES[precision],
            kernels=choose_kernels(self._device, precision, network.config),
        )

    def run(self, clip: Tensor, keep: range, states: States, precision: str) -> "ChainRun":
        """Return an iterator over the kept frames of a clip; see `BasicVSRPP.run`.

        Args:
            clip: shape (T, 3, H, W), [0, 1], float32, on any device.
            keep: the kept frames.
            states: of the chunk that ended before this clip's first frame, or `start()`.
            precision: `fp32`, `fp16` or `bf16`; states of another one are converted.
        """
        return ChainRun(self, clip.to(self._device), keep, states, precision)


class ChainRun(Iterator[Tensor]):
    """The kept frames of one chunk as the last network of the chain makes them."""

    def __init__(
        self, chain: Chain, clip: Tensor, keep: range, states: States, precision: str
    ) -> None:
        *earlier, last = chain.networks(precision)
        converted = [_converted(state, DTYPES[precision]) for state in states]
        self._earlier_states: list[BranchState] = []
        for network, state in zip(earlier, converted, strict=False):
            # The next network wants all frames, but goes on where this chunk's kept ones end.
            run = network.run(clip, state=state, resume_at=keep.stop)
            clip = torch.stack([frame.clamp(0, 1) for frame in run])
            self._earlier_states.append(run.state)
        self._last: ChunkRun = last.run(clip, keep=keep, state=converted[-1])

    def __next__(self) -> Tensor:
        return next(self._last)

    @property
    def states(self) -> States:
        """What the next chunk goes on from; there once all frames are out."""
        return (*self._earlier_states, self._last.state)


def _converted(state: BranchState | None, dtype: torch.dtype) -> BranchState | None:
    """Return a state with its features in another precision; flows and frame stay float32."""
    if state is None or state.forward_1.last.dtype == dtype:
        return state
    return replace(
        state,
        forward_1=_cast(state.forward_1, dtype),
        forward_2=_cast(state.forward_2, dtype),
        ahead=tuple((one.to(dtype), two.to(dtype)) for one, two in state.ahead),
    )


def _cast(past: Past, dtype: torch.dtype) -> Past:
    before = None if past.before is None else past.before.to(dtype)
    return Past(past.last.to(dtype), before)
