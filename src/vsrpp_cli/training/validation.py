"""Measures the network in training on held-out clips."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from vsrpp_cli.degrade import bicubic_upsample
from vsrpp_cli.metrics import psnr, to_8bit
from vsrpp_cli.training.material.degradation import Degrade
from vsrpp_cli.training.material.sampler import Pack
from vsrpp_cli.training.networks import TrainedNetwork


def validate(
    trained: TrainedNetwork, weights: Mapping[str, Tensor], pack: Pack, degrade: Degrade
) -> tuple[float, float]:
    """Return mean PSNR on Y (dB) over the held-out clips: of the network, and of bicubic.

    Args:
        trained: the network; its parameters are restored afterwards.
        weights: parameters to measure instead of its own (the moving average).
        pack: holds the clips; each has the same weight, whatever its length.
        degrade: makes low-resolution frames.
    """
    own = {name: p.detach().clone() for name, p in trained.network.named_parameters()}
    step = 4 * trained.network.config.spynet.multiple_of
    device = next(trained.parameters()).device
    results = []
    _assign(trained, weights)
    with torch.no_grad():
        for number in range(len(pack.held_out_rows)):
            clip = pack.held_out(number)
            # Low-resolution sides must be multiples of the flow network's coarsest step.
            height, width = (side // step * step for side in clip.shape[1:3])
            low, high = degrade.measured(
                torch.from_numpy(np.array(clip[None, :, :height, :width])), number
            )
            restored, _ = trained(low.to(device), "restore")
            assert restored is not None
            plain = bicubic_upsample(low[0], degrade.scale)
            results.append((_mean(restored[0].cpu(), high[0]), _mean(plain, high[0])))
    _assign(trained, own)
    ours, bicubic = np.mean(results, axis=0)
    return float(ours), float(bicubic)


def _assign(trained: TrainedNetwork, weights: Mapping[str, Tensor]) -> None:
    with torch.no_grad():
        for name, parameter in trained.network.named_parameters():
            parameter.copy_(weights[name])


def _mean(frames: Tensor, truth: Tensor) -> float:
    """Return the mean PSNR on Y of frames (T, 3, H, W) against the truth."""
    pairs = zip(frames.float().numpy(), truth.numpy(), strict=True)
    return float(np.mean([psnr(to_8bit(a), to_8bit(b)) for a, b in pairs]))
