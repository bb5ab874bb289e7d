"""PSNR and SSIM as the tables of the video super-resolution papers compute them.

Pictures are rounded to 8 bits first. "Y" is the luma of ITU-R BT.601 as MATLAB's `rgb2ycbcr` gives
it (16 ... 235) from those 8-bit values, itself not rounded; "rgb" takes all three channels alike.
SSIM (Wang et al. 2004) uses an 11x11 Gaussian window of sigma 1.5 and counts only pixels whose
window lies inside the picture; for "rgb" it is the mean over the channels. A sequence's value is
the mean over its frames, a data set's the mean over its sequences.
"""

import math
from functools import cache
from typing import Literal, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vsrpp_cli.errors import UsageError

Channels = Literal["y", "rgb"]
"""Luma alone, or all three."""
CHANNELS: tuple[Channels, ...] = get_args(Channels)
Y_WEIGHTS = (65.481, 128.553, 24.966)
"""Of R, G and B in [0, 1]; 16 is added (ITU-R BT.601, limited range)."""
WINDOW = 11
WINDOW_SIGMA = 1.5
C1 = (0.01 * 255) ** 2
C2 = (0.03 * 255) ** 2
BLOCK = 64
"""Columns one row of the window matrix gives: near the optimum for a product of 74x64."""

Picture = NDArray[np.uint8]


def to_8bit(rgb: NDArray[np.float32]) -> Picture:
    """Return `rgb` (any shape, 1 is white) clipped and rounded to 0 ... 255, halves to even."""
    codes: Picture = np.rint(np.clip(rgb, 0, 1) * np.float32(255)).astype(np.uint8)
    return codes


def luma(picture: Picture) -> NDArray[np.float64]:
    """Return Y, shape (H, W), 16 ... 235, of `picture` (3, H, W)."""
    weights = np.array(Y_WEIGHTS) / 255
    return np.tensordot(weights, picture.astype(np.float64), 1) + 16.0


def psnr(first: Picture, second: Picture, *, channels: Channels = "y", border: int = 0) -> float:
    """Return the peak signal-to-noise ratio in dB; infinity for equal pictures.

    Args:
        first: shape (3, H, W), RGB, 0 ... 255.
        second: the same shape.
        channels: what is compared.
        border: pixels left out on every side.

    Raises:
        UsageError: the shapes differ, nothing is left inside `border`, or `channels` is unknown.
    """
    first_planes, second_planes = _planes(first, second, channels, border, 1)
    error = float(np.mean((first_planes - second_planes) ** 2))
    return 20 * math.log10(255 / math.sqrt(error)) if error > 0 else math.inf


def ssim(first: Picture, second: Picture, *, channels: Channels = "y", border: int = 0) -> float:
    """Return the structural similarity, at most 1; arguments and errors as of `psnr`.

    At least 11 pixels must be left on each side.
    """
    first_planes, second_planes = _planes(first, second, channels, border, WINDOW)
    x, y = torch.from_numpy(first_planes), torch.from_numpy(second_planes)
    mean_x, mean_y, squares, product = _windowed(torch.stack([x, y, x * x + y * y, x * y]))
    means = mean_x * mean_y
    mean_squares = mean_x * mean_x + mean_y * mean_y
    similarity = (2 * means + C1) * (2 * (product - means) + C2)
    similarity /= (mean_squares + C1) * (squares - mean_squares + C2)
    return float(similarity.mean())


def _planes(
    first: Picture, second: Picture, channels: Channels, border: int, least: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return what is compared of both pictures, shape (1 or 3, H', W')."""
    if channels not in CHANNELS:
        raise UsageError(f"channels {channels!r}: must be one of {', '.join(CHANNELS)}")
    if first.shape != second.shape:
        sizes = " and ".join(f"{p.shape[-1]}x{p.shape[-2]}" for p in (first, second))
        raise UsageError(f"pictures of {sizes} cannot be compared: their sizes must be equal")
    height, width = first.shape[-2:]
    if border < 0 or min(height, width) - 2 * border < least:
        raise UsageError(
            f"a picture of {width}x{height} leaves fewer than {least} pixels inside a border "
            f"of {border}"
        )
    return _chosen(first, channels, border), _chosen(second, channels, border)


def _chosen(picture: Picture, channels: Channels, border: int) -> NDArray[np.float64]:
    height, width = picture.shape[-2:]
    inside = picture[:, border : height - border, border : width - border]
    return luma(inside)[None] if channels == "y" else inside.astype(np.float64)


def _windowed(x: Tensor) -> Tensor:
    """Return the Gaussian-weighted means of `x` (..., H, W): shape (..., H - 10, W - 10)."""
    rows = _windowed_columns(x)
    return _windowed_columns(rows.transpose(-1, -2)).transpose(-1, -2)


def _windowed_columns(x: Tensor) -> Tensor:
    """Return windowed means along the last axis, as products with a small banded matrix."""
    size = x.shape[-1] - WINDOW + 1
    blocks = -(-size // BLOCK)
    padded = torch.nn.functional.pad(x, (0, blocks * BLOCK - size))
    patches = padded.unfold(-1, BLOCK + WINDOW - 1, BLOCK)
    return (patches @ _window_matrix()).flatten(-2)[..., :size]


@cache
def _window_matrix() -> Tensor:
    distance = torch.arange(WINDOW, dtype=torch.float64) - WINDOW // 2
    window = torch.exp(-(distance**2) / (2 * WINDOW_SIGMA**2))
    matrix = torch.zeros(BLOCK + WINDOW - 1, BLOCK, dtype=torch.float64)
    for column in range(BLOCK):
        matrix[column : column + WINDOW, column] = window / window.sum()
    return matrix
