"""What training minimises."""

import torch
import torch.nn.functional as F
from torch import Tensor


def charbonnier(x: Tensor, target: Tensor, epsilon: float) -> Tensor:
    """Return the mean of sqrt((x - target)^2 + epsilon^2), any shape."""
    return torch.sqrt((x - target) ** 2 + epsilon * epsilon).mean()


def known_flow(flow: Tensor, truth: Tensor, known: Tensor) -> Tensor:
    """Return the mean error of the flow in pixels over the clips whose flow is known.

    Args:
        flow: (N, T-1, 2, H, W), pixels.
        truth: the same shape.
        known: (N,), 1 for clips whose flow is known, 0 for the others.
    """
    error = torch.sqrt(((flow - truth) ** 2).sum(2) + 1e-4).mean(dim=(1, 2, 3))
    return (error * known).sum() / known.sum().clamp(min=1)


def known_pyramid(levels: list[Tensor], truth: Tensor) -> Tensor:
    """Return the weighted error in pixels of all levels of a flow pyramid.

    Each level weighs half as much as the next finer one.

    Args:
        levels: (N, 2, h, w) each, coarsest first, the last one as large as `truth`.
        truth: (N, 2, H, W), pixels.
    """
    total = truth.new_zeros(())
    for number, flow in enumerate(levels):
        factor = truth.shape[-1] // flow.shape[-1]
        target = F.avg_pool2d(truth, factor) / factor if factor > 1 else truth
        error = torch.sqrt(((flow - target) ** 2).sum(1) + 1e-4).mean() * factor
        total = total + error * 0.5 ** (len(levels) - 1 - number)
    return total


def photometric(first: Tensor, warped: Tensor) -> Tensor:
    """Return the mean difference of a frame and a warped one, (N, C, h, w) both."""
    return torch.sqrt((first - warped) ** 2 + 1e-4).mean()


def roughness(flow: Tensor) -> Tensor:
    """Return the mean magnitude of a flow's (N, 2, h, w) spatial gradients, pixels."""
    horizontal = (flow[..., 1:] - flow[..., :-1]).abs().mean()
    vertical = (flow[..., 1:, :] - flow[..., :-1, :]).abs().mean()
    return horizontal + vertical
