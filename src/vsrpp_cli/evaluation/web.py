"""The degradation `web`: downscaled, optionally blurred and noisy, then compressed by x264."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from vsrpp_cli.degrade import SCALE, Kind, degrade_8bit, gaussian_blur
from vsrpp_cli.errors import UsageError
from vsrpp_cli.media.encode.encoding import Encoding
from vsrpp_cli.media.encode.recompress import recompress
from vsrpp_cli.metrics import Picture

Degradation = Literal[Kind, "web"]

KIND: Final = "web"
"""The name of this degradation, beside those of `vsrpp_cli.degrade`."""


@dataclass(frozen=True, kw_only=True)
class Web:
    """Strength of the degradation.

    Raises:
        UsageError: a value is out of its range.
    """

    crf: float = 23.0
    """CRF of x264: 0 (lossless) to 51."""
    blur: float = 0.0
    """Sigma of a Gaussian blur before downscaling, in low-resolution pixels, 0 to 8."""
    noise: float = 0.0
    """Standard deviation of Gaussian noise after downscaling, in levels of 255, 0 to 64."""

    def __post_init__(self) -> None:
        """Check the values."""
        for name, value, most in (("crf", self.crf, 51), ("blur", self.blur, 8),
                                  ("noise", self.noise, 64)):  # fmt: skip
            if not 0 <= value <= most:
                raise UsageError(f"`{name}={value:g}`: must be from 0 to {most}")

    @property
    def encoding(self) -> Encoding:
        """The encoder and its settings."""
        return Encoding(quality=self.crf)

    def small(self, frame: NDArray[np.uint8], index: int, factor: int = SCALE) -> NDArray[np.uint8]:
        """Return one frame (3, h, w) before compression.

        Args:
            frame: shape (3, H, W), at full size.
            index: its number in the clip, the seed of its noise.
            factor: of downscaling.
        """
        if self.blur:
            soft = gaussian_blur(torch.from_numpy(frame).double(), self.blur * factor)
            frame = soft.round().clamp(0, 255).byte().numpy()
        low = degrade_8bit(frame, "bi", factor)
        if self.noise:
            grain = np.random.default_rng(index).standard_normal(low.shape)
            low = np.rint(low + self.noise * grain).clip(0, 255).astype(np.uint8)
        return low


def degrade_web(
    frames: Sequence[Picture], web: Web, factor: int = SCALE
) -> list[NDArray[np.uint8]]:
    """Return frames (3, H, W) of a clip, 8 bits, downscaled by `factor` and compressed."""
    low = np.stack([web.small(frame, i, factor) for i, frame in enumerate(frames)])
    coded = recompress(low.transpose(0, 2, 3, 1), web.encoding)
    return list(np.ascontiguousarray(coded.transpose(0, 3, 1, 2)))
