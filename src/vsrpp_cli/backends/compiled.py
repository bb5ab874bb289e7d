"""The parts of a network through torch's compiler, for GPUs.

It fuses what lies between the convolutions: activations, sums, concatenations, offsets. It picks
nothing by time here, so that two workers on GPUs of one kind compute the same bits. The plain
modules of the networks are the slow twin: the same function of the same weights.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from vsrpp_cli.backends.flows import NetworkFlows
from vsrpp_cli.errors import UsageError
from vsrpp_cli.network.base import VideoNetwork
from vsrpp_cli.network.basicvsr import RealBasicVSR
from vsrpp_cli.network.propagation import Past

SHAPES = 64
"""Variants of a part that are compiled, each for one size of tiles, before torch gives up on it."""


class CompiledStages(NetworkFlows):
    """A network's stages, compiled when first used; see `streaming.stages.Stages`.

    Each part is compiled for the shapes it meets (padded tiles are all of one size), and each
    branch for itself: torch limits how often one function is compiled.

    Args:
        network: ready for inference; its modules are used as they are.
        backend: of `torch.compile`.
    """

    one_clip = False

    def __init__(self, network: VideoNetwork, backend: str = "inductor") -> None:
        super().__init__(network)
        self._network = network
        self._backend = backend
        self._compiled: dict[str, Callable[..., Tensor]] = {}

    def flow(self, reference: list[Tensor], other: list[Tensor], size: torch.Size) -> Tensor:
        """See `Stages`."""
        return self.call("flow", self._network.flow, reference, other, size)

    def extract(self, frame: Tensor) -> Tensor:
        """See `Stages`."""
        return self.call("extract", self._network.extract, frame)

    def step(
        self,
        name: str,
        inputs: list[Tensor],
        past: Past | None,
        flow_1: Tensor | None,
        flow_before: Tensor | None,
    ) -> Tensor:
        """See `Stages`."""
        return self.call(name, self._network.step, name, inputs, past, flow_1, flow_before)

    def reconstruct(self, features: list[Tensor], frame: Tensor) -> Tensor:
        """See `Stages`."""
        return self.call("reconstruct", self._network.reconstruct, features, frame)

    def call(self, part: str, function: Callable[..., Tensor], *arguments: Any) -> Tensor:
        """Return what a function returns, compiled under the name of a part."""
        from torch._dynamo.exc import TorchDynamoException  # noqa: PLC0415  slow to import

        if part not in self._compiled:
            self._compiled[part] = torch.compile(  # type: ignore[call-overload]
                function,
                backend=self._backend,
                fullgraph=True,
                dynamic=False,
                isolate_recompiles=True,
                recompile_limit=SHAPES,
            )
        try:
            return self._compiled[part](*arguments)
        except TorchDynamoException as error:
            cause = " ".join(str(error).split("\n")[:2])
            raise UsageError(
                f"`compile`: torch's compiler does not work here ({cause}): leave the option out"
            ) from error


class CompiledRealBasicVSR(CompiledStages):
    """Compiled but for the decision whether to clean again, which no compiler can foresee."""

    def __init__(self, network: RealBasicVSR) -> None:
        super().__init__(network)
        self._cleaning = network

    def extract(self, frame: Tensor) -> Tensor:
        """See `RealBasicVSR.extract`."""

        def residue(frame: Tensor) -> Tensor:
            return self.call("residue", self._cleaning.residue, frame)

        return self._cleaning.cleaned(frame, residue)
