"""The degradations of the published tables, and the bicubic enlargement they compare with.

BI is the antialiased bicubic of MATLAB's `imresize(x, 1/4)`. BD is the authors' own script: a
12x12 Gaussian of sigma 1.6, borders replicated, then every fourth pixel, beginning with the second
(MATLAB's `imfilter` puts the centre of an even kernel half a pixel to the right, so samples lie at
the centres of 4x4 blocks, as BI's do). DUF's 13x13 kernel sampled at the first pixel shifts the
picture by 1.5 pixels: a model of this family scores 20 instead of 28 dB on such input
(github.com/open-mmlab/mmagic/issues/318).

All are separable and linear, so each axis is one matrix that holds the treatment of the borders,
too: exact, differentiable, any device.
"""

from collections.abc import Callable
from functools import cache
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from vsrpp_cli.errors import InputError, UnknownNameError
from vsrpp_cli.resample import cubic

SIGMA = 1.6
SCALE = 4
"""Factor of the published benchmarks."""

Matrix = NDArray[np.float64]


def bicubic_downsample(x: Tensor, factor: int = SCALE) -> Tensor:
    """Return `x` made smaller as MATLAB's `imresize(x, 1/factor)` (bicubic, antialiased) does it.

    Args:
        x: shape (..., H, W), any floating dtype and device; rows and columns beyond the largest
            multiple of `factor` are left off.
        factor: a whole number, at least 1.

    Returns:
        Shape (..., H // factor, W // factor), dtype of `x`, not clipped, not rounded. Computed
        in at least float32; in float64 the result for 8-bit integers is exact.
    """
    return _separable(_whole(x, factor), bicubic_down_matrix, factor)


def bicubic_upsample(x: Tensor, factor: int = SCALE) -> Tensor:
    """Return `x` (..., H, W) made `factor` times larger as MATLAB's `imresize(x, factor)` does it.

    Returns:
        Shape (..., H * factor, W * factor), dtype of `x`, not clipped, not rounded.
    """
    return _separable(x, bicubic_up_matrix, factor)


def blur_downsample(x: Tensor, factor: int = SCALE) -> Tensor:
    """Return `x` (..., H, W) blurred with a Gaussian (sigma 1.6) and sampled every `factor` pixels.

    Returns:
        Shape (..., H // factor, W // factor), dtype of `x`, not clipped, not rounded.
    """
    return _separable(_whole(x, factor), blur_down_matrix, factor)


def gaussian_blur(x: Tensor, sigma: float) -> Tensor:
    """Return frames (..., H, W) blurred by a Gaussian of `sigma` pixels, borders replicated.

    Below 0.1 pixels there is nothing to see, and nothing is done.
    """
    if sigma < 0.1:
        return x
    radius = int(np.ceil(3 * sigma))
    taps = torch.exp(-0.5 * (torch.arange(-radius, radius + 1) / sigma) ** 2).to(x)
    taps = taps / taps.sum()
    flat = x.reshape(-1, 1, *x.shape[-2:])
    padded = F.pad(flat, (radius,) * 4, mode="replicate")
    blurred = F.conv2d(F.conv2d(padded, taps.view(1, 1, 1, -1)), taps.view(1, 1, -1, 1))
    return blurred.view(x.shape)


Downsample = Callable[[Tensor, int], Tensor]

Kind = Literal["bi", "bd"]

KINDS: dict[Kind, Downsample] = {"bi": bicubic_downsample, "bd": blur_downsample}
"""Degradations by the names that options and protocols use."""


def downsampler(kind: Kind) -> Downsample:
    """Return the degradation called `kind`; UnknownNameError if there is none."""
    if kind not in KINDS:
        raise UnknownNameError(f"degradation {kind!r}: must be one of {', '.join(KINDS)}")
    return KINDS[kind]


def degrade_8bit(frame: NDArray[np.uint8], kind: Kind, factor: int = SCALE) -> NDArray[np.uint8]:
    """Return `frame` (..., H, W) of 8-bit values degraded and rounded as the benchmarks' PNGs were.

    Raises:
        UnknownNameError: there is no degradation `kind`.
        InputError: the frame is smaller than `factor` pixels.
    """
    return quantised(_degraded(frame.astype(np.float64), kind, factor), 255).astype(np.uint8)


def degrade_rgb(
    rgb: NDArray[np.float32], kind: Kind, *, factor: int = SCALE, levels: int | None = None
) -> NDArray[np.float32]:
    """Return one frame degraded.

    Args:
        rgb: shape (3, H, W) in [0, 1].
        kind: of degradation.
        factor: how many times smaller.
        levels: the largest code value (255, 65535) where the source holds RGB code values and
            the result is to be rounded to them, halves upwards as MATLAB does; None to leave it.

    Returns:
        Shape (3, H // factor, W // factor), float32, clipped to [0, 1].

    Raises:
        UnknownNameError: there is no degradation `kind`.
        InputError: the frame is smaller than `factor` pixels.
    """
    if levels is None:
        return np.clip(_degraded(rgb.astype(np.float64), kind, factor), 0, 1).astype(np.float32)
    # float32 holds k / 255 only nearly; the sums are exact on the code values themselves.
    codes = np.rint(rgb.astype(np.float64) * levels)
    return (quantised(_degraded(codes, kind, factor), levels) / levels).astype(np.float32)


def quantised(values: Matrix, levels: int) -> Matrix:
    """Return `values` in code values rounded, halves upwards, and clipped to 0 ... `levels`."""
    return np.clip(np.floor(values + 0.5), 0, levels)


def _degraded(values: Matrix, kind: Kind, factor: int) -> Matrix:
    height, width = values.shape[-2:]
    if min(height, width) < factor:
        raise InputError(f"a frame of {width}x{height} is too small to be made {factor}x smaller")
    result: Matrix = downsampler(kind)(torch.from_numpy(values), factor).numpy()
    return result


def _whole(x: Tensor, factor: int) -> Tensor:
    """Return `x` without the rows and columns beyond the largest multiple of `factor`."""
    height, width = x.shape[-2:]
    return x[..., : height - height % factor, : width - width % factor]


def _separable(x: Tensor, matrix: Callable[[int, int], Matrix], factor: int) -> Tensor:
    height, width = x.shape[-2:]
    dtype = torch.promote_types(x.dtype, torch.float32)
    down = torch.as_tensor(matrix(height, factor), dtype=dtype, device=x.device)
    across = torch.as_tensor(matrix(width, factor), dtype=dtype, device=x.device)
    # A training step runs under autocast; bfloat16 would leave 8 bits of the input.
    with torch.autocast(x.device.type, enabled=False):
        return (down @ x.to(dtype) @ across.T).to(x.dtype)


@cache
def bicubic_down_matrix(size: int, factor: int) -> Matrix:
    """Return the matrix (size // factor, size) of one axis, symmetric at the borders."""
    taps = np.arange(-2.0 * factor, 3 * factor, dtype=np.float64) - (factor - 1) / 2
    weights = cubic(taps / factor) / factor
    return _banded(size // factor, size, factor, -2 * factor, weights, _symmetric)


@cache
def bicubic_up_matrix(size: int, factor: int) -> Matrix:
    """Return the matrix (size * factor, size) of one axis, symmetric at the borders."""
    matrix = np.zeros((size * factor, size))
    for row in range(size * factor):
        centre = (row + 0.5) / factor - 0.5
        columns = np.arange(4) + int(np.floor(centre)) - 1
        np.add.at(
            matrix[row], _symmetric(columns, size), cubic(columns.astype(np.float64) - centre)
        )
    return matrix


@cache
def blur_down_matrix(size: int, factor: int) -> Matrix:
    """Return the matrix (size // factor, size) of one axis, replicated at the borders."""
    length = int(np.ceil(SIGMA * 3)) * 2 + 2
    weights = np.exp(-((np.arange(length) - (length - 1) / 2) ** 2) / (2 * SIGMA**2))
    first = factor // 2 - 1 - (length // 2 - 1)
    return _banded(
        size // factor, size, factor, first, weights / weights.sum(), lambda i, n: i.clip(0, n - 1)
    )


def _banded(
    rows: int,
    size: int,
    step: int,
    first: int,
    weights: Matrix,
    border: Callable[[NDArray[np.int64], int], NDArray[np.int64]],
) -> Matrix:
    """Return the matrix whose row i holds `weights` from column `first + step * i` on."""
    matrix = np.zeros((rows, size))
    for row in range(rows):
        columns = np.arange(len(weights)) + first + step * row
        np.add.at(matrix[row], border(columns, size), weights)
    return matrix


def _symmetric(index: NDArray[np.int64], size: int) -> NDArray[np.int64]:
    wrapped = index % (2 * size)
    return np.minimum(wrapped, 2 * size - 1 - wrapped)
