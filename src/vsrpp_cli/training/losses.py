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
        flow: (N, T-1, 2, h, w), or coarser than `truth`, which then is averaged.
        truth: (N, T-1, 2, H, W), in pixels of (H, W).
        known: (N,), 1 where `truth` means something.
    """
    error = torch.sqrt(((flow - truth) ** 2).sum(2) + 1e-4).mean(dim=(1, 2, 3))
    return (error * known).sum() / known.sum().clamp(min=1)


def known_pyramid(levels: list[Tensor], truth: Tensor) -> Tensor:
    """Return the error of all levels of a flow pyramid, finer levels weighing more.

    Args:
        levels: (N, 2, h, w) each, coarsest first, the last as large as `truth`.
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
    """Return how far a warped frame is from the one it should equal, (N, C, h, w) both."""
    return torch.sqrt((first - warped) ** 2 + 1e-4).mean()


def roughness(flow: Tensor) -> Tensor:
    """Return the mean magnitude of a flow's (N, 2, h, w) spatial gradients, pixels."""
    horizontal = (flow[..., 1:] - flow[..., :-1]).abs().mean()
    vertical = (flow[..., 1:, :] - flow[..., :-1, :]).abs().mean()
    return horizontal + vertical
