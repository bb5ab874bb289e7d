"""Makes low-resolution clips from high-resolution ones, as a recipe says."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from vsrpp_cli.degrade import bicubic_downsample, blur_downsample, gaussian_blur
from vsrpp_cli.media.encode.encoding import Encoding
from vsrpp_cli.training.recipe import Degradation, Mixture

MEASURED = (18.0, 23.0, 28.0)
"""CRF of the held-out clips, in turn, where a recipe's degradation is ``real``."""

OTHER_CODECS: dict[str, Callable[[Mixture], tuple[float, float]]] = {
    "mpeg2video": lambda mixture: mixture.quantiser,
    "mpeg4": lambda mixture: mixture.quantiser,
    "libvpx-vp9": lambda mixture: mixture.vp9_crf,
}
"""The codecs that may replace H.264 in the last compression, and the range of their strength."""


@dataclass(frozen=True)
class Degrade:
    """Makes low-resolution clips."""

    kind: Degradation
    """``bi``, ``bd``, or ``real``: blur, BI, noise and compression as `mixture` says."""
    scale: int = 4
    """Size of the input over size of the output: 4, or 1 for no downscaling."""
    mixture: Mixture = field(default_factory=Mixture)
    """The strengths of ``real``."""

    def __call__(
        self, clips: Tensor, *, margin: int = 0, rng: np.random.Generator | None = None
    ) -> tuple[Tensor, Tensor]:
        """Return low- and high-resolution clips.

        Args:
            clips: (N, T, H, W, 3) uint8.
            margin: high-resolution pixels on each side that are cut off afterwards, so that the
                filters do not meet a border; a multiple of the scale.
            rng: draws the strengths of ``real``; one with a fixed seed by default.

        Returns:
            (N, T, 3, h, w), rounded to 8 bits as a real input is, and (N, T, 3, H, W), both
            without margins, float32 in [0, 1].
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
        """Blur, downscale, add noise and compress one clip (T, 3, H, W), 0..255, at random."""
        mixture = self.mixture
        encodings = draw_encodings(rng, mixture)
        if not encodings:
            return self._shrink(clip)
        if rng.random() < mixture.blurred:
            clip = gaussian_blur(clip, rng.uniform(*mixture.blur) * self.scale)
        low = self._shrink(clip)
        if rng.random() < mixture.noisy:
            grain = rng.standard_normal(low.shape, dtype=np.float32)
            low = low + rng.uniform(*mixture.noise) * torch.from_numpy(grain)
        return _compressed(low, encodings)

    def measured(self, clip: Tensor, number: int) -> tuple[Tensor, Tensor]:
        """Return low- and high-resolution frames of a held-out clip, without randomness.

        ``real`` is here BI, then x264 at one of the strengths `MEASURED`.

        Args:
            clip: (1, T, H, W, 3) uint8.
            number: of the clip; it chooses the strength.

        Returns:
            (1, T, 3, h, w) and (1, T, 3, H, W), float32 in [0, 1].
        """
        if self.kind != "real":
            return self(clip)
        pixels = clip[0].permute(0, 3, 1, 2).float()
        quality = MEASURED[number % len(MEASURED)]
        low = _compressed(self._shrink(pixels), [Encoding(quality=quality)])
        return low[None] / 255, pixels[None] / 255


def _compressed(low: Tensor, encodings: list[Encoding]) -> Tensor:
    """Return frames (T, 3, H, W), 0..255, rounded and compressed once for each encoding."""
    # Machines that train without compression need no PyAV.
    from vsrpp_cli.media.encode.recompress import recompress  # noqa: PLC0415

    frames = low.round().clamp(0, 255).byte().permute(0, 2, 3, 1).contiguous().numpy()
    for encoding in encodings:
        frames = recompress(frames, encoding)
    return torch.from_numpy(frames).permute(0, 3, 1, 2).float()


def _inside(x: Tensor, margin: int) -> Tensor:
    return (x[..., margin:-margin, margin:-margin] if margin else x).contiguous()


def draw_encodings(rng: np.random.Generator, mixture: Mixture) -> list[Encoding]:
    """Draw how a clip is compressed, in order; empty for a clip that is not."""
    if rng.random() < mixture.clean:
        return []
    encodings = []
    if rng.random() < mixture.twice:
        low, high = mixture.crf
        encodings.append(Encoding(quality=rng.uniform(low, (low + high) / 2), preset="fast"))
    encodings.append(_last_encoding(rng, mixture))
    return encodings


def _last_encoding(rng: np.random.Generator, mixture: Mixture) -> Encoding:
    if rng.random() < mixture.other_codecs:
        codec = str(rng.choice(list(OTHER_CODECS)))
        low, high = OTHER_CODECS[codec](mixture)
        return Encoding(codec, low * (high / low) ** rng.random())
    full = rng.random() < mixture.full_chroma
    return Encoding(
        quality=rng.triangular(mixture.crf[0], mixture.usual_crf, mixture.crf[1]),
        preset=str(rng.choice(["veryfast", "fast", "medium"])),
        pix_fmt=str(rng.choice(["yuv422p", "yuv444p"])) if full else "yuv420p",
    )
