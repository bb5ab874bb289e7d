"""Second-order flow-guided deformable alignment (arXiv 2104.13371, section 3.2)."""

import torch
from torch import Tensor, nn

from vsrpp_cli.network.deform import TAPS, deform_grid_sample, deform_torchvision
from vsrpp_cli.network.layers import SLOPE

MAX_RESIDUE = 10.0
"""The largest difference of a learnt offset from the flow, in pixels."""


class Alignment(nn.Module):
    """Aligns the features of the two previous frames with the current frame."""

    def __init__(self, channels: int, groups: int) -> None:
        super().__init__()
        self.groups = groups
        self.weight = nn.Parameter(torch.empty(channels, 2 * channels, 3, 3))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.conv_offset = nn.Sequential(
            nn.Conv2d(3 * channels + 4, channels, 3, padding=1),
            nn.LeakyReLU(SLOPE),
            nn.Conv2d(channels, channels, 3, padding=1),
            nn.LeakyReLU(SLOPE),
            nn.Conv2d(channels, channels, 3, padding=1),
            nn.LeakyReLU(SLOPE),
            nn.Conv2d(channels, 3 * TAPS * groups, 3, padding=1),
        )
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Initialise as published: no offsets in addition to the flow, every mask at one half."""
        nn.init.kaiming_uniform_(self.weight, a=5**0.5)
        nn.init.zeros_(self.bias)
        last = self.conv_offset[-1]
        assert isinstance(last, nn.Conv2d)
        assert last.bias is not None
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)

    def forward(self, features: Tensor, seen: Tensor, flow_1: Tensor, flow_2: Tensor) -> Tensor:
        """Return the aligned features.

        Args:
            features: shape (N, 2C, H, W), of the frame before and the one before that.
            seen: shape (N, 3C + 4, H, W): the first of them warped, the current frame's, the second
                warped, and both flows.
            flow_1: shape (N, 2, H, W), float32, pixels, x, y, to the frame before.
            flow_2: the same, to the one before that.

        Returns:
            shape (N, C, H, W), dtype of `features`.
        """
        raw = self.conv_offset(seen).float()
        offset, mask = offsets_and_mask(raw, flow_1, flow_2)
        if features.is_cuda and not torch.is_grad_enabled():
            return deform_torchvision(features, offset, mask, self.weight, self.bias)
        return deform_grid_sample(features, offset, mask, self.weight, self.bias)


def offsets_and_mask(raw: Tensor, flow_1: Tensor, flow_2: Tensor) -> tuple[Tensor, Tensor]:
    """Convert the output of `conv_offset` to offsets and mask for `deform`, all float32.

    The first half of the groups samples the frame before and follows `flow_1`, the second half the
    one before that and follows `flow_2`. `raw` has the shape (N, groups * 27, H, W).
    """
    third = raw.shape[1] // 3
    offset = MAX_RESIDUE * torch.tanh(raw[:, : 2 * third])
    pairs = third // 2
    flow = torch.cat([flow_1.flip(1)] * pairs + [flow_2.flip(1)] * pairs, dim=1)
    return offset + flow, torch.sigmoid(raw[:, 2 * third :])
