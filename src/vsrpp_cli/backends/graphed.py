"""A network's branches as CUDA graphs: all kernels of a step are started by one call.

A step of a branch is several dozen kernels, which a GPU computes faster than Python starts them
where frames are small. Recorded once, they read and write buffers of their own: what a step is
given is copied there, and what it makes is copied out, so that results are those of the plain
network, bit for bit.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from vsrpp_cli.backends.flows import NetworkFlows
from vsrpp_cli.network.base import VideoNetwork
from vsrpp_cli.network.propagation import Past

MOST = 32
"""Steps that are kept recorded: of four branches at eight sizes. The next one makes all go."""

Kind = tuple[torch.Size, torch.dtype, bool]
"""What a buffer must have in common with a tensor: shape, dtype, and whether channels come last."""


class Rerun:
    """Runs the work itself again: what graphs do, slowly, where there are none."""

    def __call__(self, work: Callable[[], None]) -> Callable[[], None]:
        """Return what does the work again."""
        return work


class CudaRecorder:
    """Records work on a GPU; all records share the memory for what comes up within."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._pool = torch.cuda.graph_pool_handle()

    def __call__(self, work: Callable[[], None]) -> Callable[[], None]:
        """Return what does the work again: the same kernels on the same memory."""
        with torch.cuda.device(self._device):
            aside: torch.cuda.Stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
            aside.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(aside):  # libraries choose algorithms and get workspaces
                work()
            torch.cuda.current_stream().wait_stream(aside)
            graph = torch.cuda.CUDAGraph()
            # Other threads, which pin memory for frames on their way, may go on.
            with torch.cuda.graph(graph, pool=self._pool, capture_error_mode="thread_local"):
                work()
        replay: Callable[[], None] = graph.replay
        return replay


Recorder = Rerun | CudaRecorder


@dataclass(frozen=True)
class Recorded:
    """A step, ready to be repeated."""

    inputs: list[Tensor]
    output: Tensor
    repeat: Callable[[], None]

    def __call__(self, given: list[Tensor]) -> Tensor:
        """Return what the step makes of other tensors, in memory of its own."""
        torch._foreach_copy_(self.inputs, given)
        self.repeat()
        return self.output.clone()


class GraphedStages(NetworkFlows):
    """A network's stages, its branches recorded when first used; see `streaming.stages.Stages`.

    Recorded is the step with two frames behind it; those before it, at the beginning of a scene,
    are run as they are.

    Args:
        network: ready for inference; its modules are used as they are.
    """

    one_clip = False

    def __init__(self, network: VideoNetwork) -> None:
        super().__init__(network)
        self._network = network
        self.forget()

    def forget(self) -> None:
        """Free all that is recorded, and its buffers."""
        self._recorded: dict[tuple[str, tuple[Kind, ...]], Recorded] = {}
        # All steps of a shape share them: one is over before the next one's inputs are copied.
        self._buffers: dict[tuple[str, Kind], Tensor] = {}
        self._recorder: Recorder | None = None

    def extract(self, frame: Tensor) -> Tensor:
        """See `Stages`."""
        return self._network.extract(frame)

    def step(
        self,
        name: str,
        inputs: list[Tensor],
        past: Past | None,
        flow_1: Tensor | None,
        flow_before: Tensor | None,
    ) -> Tensor:
        """See `Stages`."""
        if past is None or past.before is None or flow_1 is None or flow_before is None:
            return self._network.step(name, inputs, past, flow_1, flow_before)
        given = [past.last, past.before, flow_1, flow_before, *inputs]
        key = name, tuple(map(_kind, given))
        if key not in self._recorded:
            if len(self._recorded) >= MOST:
                self.forget()
            self._recorded[key] = self._record(name, given)
        return self._recorded[key](given)

    def reconstruct(self, features: list[Tensor], frame: Tensor) -> Tensor:
        """See `Stages`."""
        return self._network.reconstruct(features, frame)

    def _record(self, name: str, given: list[Tensor]) -> Recorded:
        """Return a branch's step, recorded for tensors like those given."""
        inputs = [self._buffer(str(place), like) for place, like in enumerate(given)]
        last, before, flow_1, flow_before, *seen = inputs
        output = self._buffer("output", last)

        def work() -> None:
            made = self._network.step(name, seen, Past(last, before), flow_1, flow_before)
            output.copy_(made)

        torch._foreach_copy_(inputs, given)
        if self._recorder is None:
            self._recorder = CudaRecorder(last.device) if last.is_cuda else Rerun()
        return Recorded(inputs, output, self._recorder(work))

    def _buffer(self, role: str, like: Tensor) -> Tensor:
        """Return the buffer of a role for tensors like one."""
        key = role, _kind(like)
        if key not in self._buffers:
            self._buffers[key] = torch.empty_like(like)
        return self._buffers[key]


def _kind(tensor: Tensor) -> Kind:
    last = tensor.is_contiguous(memory_format=torch.channels_last)
    return tensor.shape, tensor.dtype, last
