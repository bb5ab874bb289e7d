"""Resizing pictures by any factor: separable kernels, antialiased when made smaller.

Used for what does not go through the network: alpha, and the step from the network's size to the
size asked for. Borders are replicated.
"""

import math
from collections.abc import Callable
from functools import lru_cache
from typing import Literal

import numba
import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float32]


def _cubic(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Keys' cubic with a = -0.5 (Keys 1981, eq. 15)."""
    x = np.abs(x)
    near = (1.5 * x - 2.5) * x**2 + 1
    far = ((-0.5 * x + 2.5) * x - 4) * x + 2
    return np.where(x <= 1, near, np.where(x < 2, far, 0.0))


def _lanczos(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """The sinc windowed by its own main lobe stretched to three."""
    return np.where(np.abs(x) < 3, np.sinc(x) * np.sinc(x / 3), 0.0)


Kernel = Literal["bicubic", "lanczos"]

KERNELS: dict[Kernel, tuple[Callable[[NDArray[np.float64]], NDArray[np.float64]], int]] = {
    "bicubic": (_cubic, 2),
    "lanczos": (_lanczos, 3),
}
"""Function of the distance in samples, and how far it reaches."""


def resize(picture: FloatArray, height: int, width: int, kernel: Kernel = "lanczos") -> FloatArray:
    """Return `picture` (..., H, W) at another size, clipped to [0, 1].

    Args:
        picture: values in [0, 1].
        height: of the result, pixels.
        width: of the result, pixels.
        kernel: what pixels are weighted by.
    """
    if picture.shape[-2:] == (height, width):
        return picture
    planes = picture.reshape(-1, *picture.shape[-2:])
    result = np.stack([_plane(plane, height, width, kernel) for plane in planes])
    return np.clip(result, 0, 1, out=result).reshape(*picture.shape[:-2], height, width)


def _plane(plane: FloatArray, height: int, width: int, kernel: Kernel) -> FloatArray:
    across = _rows(np.ascontiguousarray(plane.T), width, kernel)
    return _rows(np.ascontiguousarray(across.T), height, kernel)


def _rows(plane: FloatArray, rows: int, kernel: Kernel) -> FloatArray:
    result = np.zeros((rows, plane.shape[1]), np.float32)
    _add_weighted(plane, *filter_bank(len(plane), rows, kernel), result)
    return result


@numba.njit(nogil=True, cache=True)
def _add_weighted(
    plane: FloatArray, index: NDArray[np.int64], weights: FloatArray, result: FloatArray
) -> None:
    # Unlike a matrix product's, the order of these sums depends on no number of threads.
    for y in range(result.shape[0]):
        for k in range(weights.shape[1]):
            weight = weights[y, k]
            source = plane[index[y, k]]
            for x in range(result.shape[1]):
                result[y, x] += weight * source[x]


@lru_cache(maxsize=8)
def filter_bank(size: int, wanted: int, kernel: Kernel) -> tuple[NDArray[np.int64], FloatArray]:
    """Return which of `size` samples each of `wanted` draws on, and by which weights.

    Returns:
        Two arrays (wanted, taps); each row of weights sums to 1. Beyond the borders the outermost
        sample is repeated.
    """
    function, reach = KERNELS[kernel]
    stretch = max(1.0, size / wanted)
    centres = (np.arange(wanted) + 0.5) * size / wanted - 0.5
    first = np.floor(centres - reach * stretch).astype(np.int64) + 1
    taps = first[:, None] + np.arange(math.ceil(2 * reach * stretch))
    weights = function((taps - centres[:, None]) / stretch)
    weights /= weights.sum(1, keepdims=True)
    return taps.clip(0, size - 1), weights.astype(np.float32)
