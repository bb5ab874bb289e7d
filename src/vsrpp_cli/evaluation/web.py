"""Footage as it is on the web: made smaller, perhaps blurred and noisy, then compressed by x264."""

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
    """How strong it is.

    Raises:
        UsageError: a value is out of its range.
    """

    crf: float = 23.0
    """Of x264: 0 (lossless) to 51."""
    blur: float = 0.0
    """Sigma of a Gaussian before the frames are made smaller, in pixels of the small frame."""
    noise: float = 0.0
    """Standard deviation of Gaussian noise on the small frames, in levels of 255."""

    def __post_init__(self) -> None:
        """Check the values."""
        for name, value, most in (("crf", self.crf, 51), ("blur", self.blur, 8),
                                  ("noise", self.noise, 64)):  # fmt: skip
            if not 0 <= value <= most:
                raise UsageError(f"`{name}={value:g}`: must be from 0 to {most}")

    @property
    def encoding(self) -> Encoding:
        """What the frames go through."""
        return Encoding(quality=self.crf)

    def small(self, frame: NDArray[np.uint8], index: int, factor: int = SCALE) -> NDArray[np.uint8]:
        """Return one frame (3, H, W) as it goes to the encoder.

        Args:
            frame: at its full size.
            index: its number in the clip, which decides its noise.
            factor: how many times smaller.
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
    """Return a clip's frames (3, H, W) of 8 bits made `factor` times smaller and compressed."""
    low = np.stack([web.small(frame, i, factor) for i, frame in enumerate(frames)])
    coded = recompress(low.transpose(0, 2, 3, 1), web.encoding)
    return list(np.ascontiguousarray(coded.transpose(0, 3, 1, 2)))
