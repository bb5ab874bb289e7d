"""The reference implementation (the network of PyPI's vsbasicvsrpp==3.0.0), and common inputs.

It needs an environment of its own, which sees the packages of the usual one:

    python -m venv --system-site-packages /tmp/reference
    /tmp/reference/bin/pip install --no-deps vsbasicvsrpp==3.0.0 mmengine yapf platformdirs \
        addict rich termcolor opencv-python-headless
"""

import hashlib
import importlib
import importlib.util
import sys
import types

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def reference_network(blocks: int = 7) -> nn.Module:
    """Return the reference's 64-channel network, without running its package's __init__."""
    found = importlib.util.find_spec("vsbasicvsrpp")
    if found is None or not found.submodule_search_locations:
        sys.exit("vsbasicvsrpp is not installed; see the usage")
    package = types.ModuleType("vsbasicvsrpp")
    package.__path__ = list(found.submodule_search_locations)
    package.__spec__ = found  # to be found again
    sys.modules["vsbasicvsrpp"] = package
    importlib.import_module("vsbasicvsrpp.hack_registry")
    module = importlib.import_module("vsbasicvsrpp.basicvsr_plusplus_net")
    network: nn.Module = module.BasicVSRPlusPlusNet(64, blocks).eval()
    set_weights(network)
    return network


def set_weights(network: nn.Module) -> None:
    """Give every parameter values that follow from its name, as large as training leaves them.

    Residual branches are scaled by 0.1, as published networks are initialised.
    """
    for name, parameter in network.named_parameters():
        seed = int.from_bytes(hashlib.sha256(name.encode()).digest()[:4], "little")
        generator = torch.Generator().manual_seed(seed)
        noise = torch.randn(parameter.shape, generator=generator)
        fan_in = parameter[0].numel() if parameter.dim() > 1 else 10000
        scale = 0.1 if "conv2" in name or "conv_last" in name else 1.0
        parameter.data = noise * scale / fan_in**0.5


def moving_clip(frames: int, width: int, height: int) -> Tensor:
    """Return a picture with detail of every size, (T, 3, H, W), that moves 1.5 pixels a frame."""
    generator = torch.Generator().manual_seed(0)
    wide = torch.zeros(1, 3, 2 * height, 2 * width + 4 * frames)
    for step in (2, 5, 16, 60):
        shape = (1, 3, wide.shape[-2] // step + 1, wide.shape[-1] // step + 1)
        part = torch.rand(shape, generator=generator)
        wide += F.interpolate(part, wide.shape[-2:], mode="bilinear") / 4
    moved = [wide[:, :, :, 3 * i : 3 * i + 2 * width] for i in range(frames)]
    return torch.cat([F.avg_pool2d(frame, 2) for frame in moved])
