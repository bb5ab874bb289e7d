"""The choice of who computes a network's stages."""

from typing import Literal

import torch

from vsrpp_cli.backends.compiled import CompiledRealBasicVSR, CompiledStages
from vsrpp_cli.backends.graphed import GraphedStages
from vsrpp_cli.network.base import VideoNetwork
from vsrpp_cli.network.basicvsr import BasicVSR, RealBasicVSR
from vsrpp_cli.network.basicvsrpp import BasicVSRPP
from vsrpp_cli.streaming.stages import Stages

Kernels = Literal["library", "fused", "winograd", "compiled", "graphed"]
"""See `prepare`."""


def prepare(
    network: VideoNetwork,
    *,
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float32,
    kernels: Kernels = "library",
) -> Stages:
    """Make a network ready for inference, in place: no gradients, weights on a device.

    Args:
        network: the float32 original, or a copy of it. Packed weights are made from those it has
            now: load nothing into it afterwards. Its `forward` always goes by torch's operators.
        device: where to compute.
        dtype: of weights and features, float32, bfloat16 or float16; flows, sampling grids,
            offsets and the statistics that normalise images stay float32.
        kernels: how to compute. "library": by torch's operators, anywhere. "fused": by kernels of
            our own for what is no convolution. "winograd": for 3x3 convolutions too; the fastest
            where the processor has AVX2 or AVX-512 but no AMX. These two need the CPU, float32 or
            bfloat16 and `config.channels` and `config.hr_channels` that are multiples of 16.
            bfloat16 is right on every CPU, and fast where it has instructions for it. "compiled":
            by torch's operators through its compiler, anywhere; takes minutes at first use.
            "graphed": by torch's operators, the branches' as CUDA graphs; on a CPU as "library".

    Returns:
        the network's stages, for `streaming.chunk_run.ChunkRun`.
    """
    network.eval().requires_grad_(requires_grad=False)
    stages = _stages(network, dtype, kernels)
    network.to(device)
    for parameter in network.parameters():
        parameter.data = parameter.data.to(dtype)
    network.to(memory_format=torch.channels_last)
    return stages


def _stages(network: VideoNetwork, dtype: torch.dtype, kernels: Kernels) -> Stages:
    if kernels == "library":
        return network
    if kernels == "graphed":
        return GraphedStages(network)
    if kernels == "compiled":
        if isinstance(network, RealBasicVSR):
            return CompiledRealBasicVSR(network)
        return CompiledStages(network)
    # These need numba, which is slow to import.
    from vsrpp_cli.backends.cpu_basicvsr import FusedBasicVSR, FusedRealBasicVSR  # noqa: PLC0415
    from vsrpp_cli.backends.cpu_basicvsrpp import FusedBasicVSRPP  # noqa: PLC0415

    winograd = kernels == "winograd"
    if isinstance(network, BasicVSRPP):
        return FusedBasicVSRPP(network, dtype, winograd=winograd)
    if isinstance(network, RealBasicVSR):
        return FusedRealBasicVSR(network, dtype, winograd=winograd)
    assert isinstance(network, BasicVSR)
    return FusedBasicVSR(network, dtype, winograd=winograd)
