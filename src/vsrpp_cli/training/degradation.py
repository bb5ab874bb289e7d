"""From high-resolution frames to what the network is given, by recipe."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from vsrpp_cli.degrade import bicubic_downsample, blur_downsample
from vsrpp_cli.media.encode.recompress import recompress


@dataclass(frozen=True)
class Degrade:
    """Makes low-resolution clips; which kind, and how much smaller (4, or 1 for same size)."""

    kind: str
    """``bi``, ``bd``, or ``real``: blur, BI, noise and H.264 compression, of random strengths."""
    scale: int = 4

    def __call__(
        self, clips: Tensor, *, margin: int = 0, rng: np.random.Generator | None = None
    ) -> tuple[Tensor, Tensor]:
        """Return low- and high-resolution clips.

        Args:
            clips: (N, T, H, W, 3) uint8.
            margin: high-resolution pixels on each side that only the filters see; a multiple of 4.
            rng: decides the strengths of a real degradation; a fixed one where it is not given.

        Returns:
            (N, T, 3, h, w), rounded to 8 bits as a real input is, and (N, T, 3, H, W), both
            without their margins, float32 in [0, 1].
        """
        pixels = clips.permute(0, 1, 4, 2, 3).float()
        rng = np.random.default_rng(0) if rng is None else rng
        if self.kind == "real":
            low = torch.stack([self._real(clip, rng) for clip in pixels])
        else:
            low = self._shrink(pixels)
        low = _inside(low.round().clamp(0, 255) / 255, margin // self.scale)
        return low, _inside(pixels / 255, margin)

    def _shrink(self, pixels: Tensor) -> Tensor:
        if self.scale == 1:
            return pixels
        return (blur_downsample if self.kind == "bd" else bicubic_downsample)(pixels, self.scale)

    def _real(self, clip: Tensor, rng: np.random.Generator) -> Tensor:
        """Blur, shrink, add noise to and compress one clip (T, 3, H, W), 0..255."""
        low = self._shrink(_blur(clip, float(rng.uniform(0, 0.35)) * self.scale))
        noise = float(rng.uniform(0, 6))
        grain = rng.standard_normal(low.shape, dtype=np.float32)
        low = (low + noise * torch.from_numpy(grain)).round().clamp(0, 255)
        frames = low.byte().permute(0, 2, 3, 1).contiguous().numpy()
        coded = recompress(frames, crf=float(rng.uniform(16, 33)))
        return torch.from_numpy(coded).permute(0, 3, 1, 2).float()


def _inside(x: Tensor, margin: int) -> Tensor:
    return (x[..., margin:-margin, margin:-margin] if margin else x).contiguous()


def _blur(clip: Tensor, sigma: float) -> Tensor:
    """Blur frames (T, 3, H, W) by a Gaussian, borders replicated; under 0.1 pixels not at all."""
    if sigma < 0.1:
        return clip
    radius = int(np.ceil(3 * sigma))
    taps = torch.exp(-0.5 * (torch.arange(-radius, radius + 1) / sigma) ** 2)
    taps = taps / taps.sum()
    flat = clip.flatten(0, 1)[:, None]
    padded = F.pad(flat, (radius,) * 4, mode="replicate")
    blurred = F.conv2d(F.conv2d(padded, taps.view(1, 1, 1, -1)), taps.view(1, 1, -1, 1))
    return blurred.view(clip.shape)
