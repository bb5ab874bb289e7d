"""The network as training calls it: one module whose forward pass returns all that losses need."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from vsrpp_cli.inference.machine.device import choose_kernels
from vsrpp_cli.kernels.training.convolutions import WinogradChains, fits_processor
from vsrpp_cli.network.basicvsrpp import BasicVSRPP
from vsrpp_cli.training.forward import cast, flow_pyramid, restore
from vsrpp_cli.training.recipe import StageKind, TrainingPrecision


class TrainedNetwork(nn.Module):
    """Runs a network's forward pass in the way that is fastest on its device.

    On CPUs a 4x network is computed by `training.forward`. On other devices, and for networks whose
    output has the size of the input, the network's own `forward` is called, under autocast for
    bfloat16.
    """

    def __init__(self, network: BasicVSRPP, *, precision: TrainingPrecision) -> None:
        super().__init__()
        self.network = network
        self.precision = precision
        self.dtype = torch.bfloat16 if precision == "bf16" else torch.float32

    def forward(self, low: Tensor, kind: StageKind) -> tuple[Tensor | None, list[Tensor]]:
        """Run a step's forward pass.

        Args:
            low: (N, T, 3, H, W), float32, [0, 1].
            kind: of the stage: ``restore``, or ``flow``, for which T is 2.

        Returns:
            For ``restore`` the restored clips and the flows to the next and to the previous frame,
            (N, T-1, 2, h, w) each; for ``flow`` None and the levels of the flow pyramid from the
            first frame to the second, (N, 2, h, w) each, coarsest first.
        """
        if kind == "flow":
            weights = cast(self._weights("spynet."), self.dtype)
            return None, flow_pyramid(weights, low[:, 0], low[:, 1])
        if low.device.type == "cpu" and not self.network.config.same_size:
            weights = self._weights("")
            chosen = choose_kernels(low.device, self.precision, self.network.config)
            winograd = chosen == "winograd" and fits_processor()
            chains = WinogradChains(weights, self.dtype) if winograd else None
            out, to_next, to_last = restore(cast(weights, self.dtype), low, chains)
            return out, [to_next, to_last]
        with torch.autocast(low.device.type, torch.bfloat16, enabled=self.dtype != torch.float32):
            out = self.network(low)
            to_last, to_next = self.network.flows(low)
        return out.float(), [to_next, to_last]

    def _weights(self, prefix: str) -> dict[str, Tensor]:
        pairs = [*self.network.named_parameters(), *self.network.named_buffers()]
        return {name: value for name, value in pairs if name.startswith(prefix)}
