"""Resizing pictures by any factor: separable kernels, antialiased when made smaller.

Used for what does not go through the network: alpha, and the step from the network's size to the
size asked for. Borders are replicated. `RowFitter` does it a few rows at a time, with the same
result to the last bit, for pictures of which not all rows are there yet.
"""

import math
from collections.abc import Callable
from functools import lru_cache
from typing import Literal

import numba
import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float32]


def cubic(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return Keys' cubic with a = -0.5 at a distance (Keys 1981, eq. 15)."""
    x = np.abs(x)
    near = (1.5 * x - 2.5) * x**2 + 1
    far = ((-0.5 * x + 2.5) * x - 4) * x + 2
    return np.where(x <= 1, near, np.where(x < 2, far, 0.0))


def _lanczos(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """The sinc windowed by its own main lobe stretched to three."""
    return np.where(np.abs(x) < 3, np.sinc(x) * np.sinc(x / 3), 0.0)


Kernel = Literal["bicubic", "lanczos"]

KERNELS: dict[Kernel, tuple[Callable[[NDArray[np.float64]], NDArray[np.float64]], int]] = {
    "bicubic": (cubic, 2),
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


def fit(picture: FloatArray, width: int, height: int, kernel: Kernel = "lanczos") -> FloatArray:
    """Return `picture`, shape (..., H, W) in [0, 1], as (..., height, width) in [0, 1].

    One column or row too few (a pixel format that needs even sizes) is added by repeating the
    last one, since resampling would soften the whole picture for it.
    """
    size = picture.shape[-2:]
    if not _needs_edges_only(size, (height, width)):
        return resize(picture, height, width, kernel)
    if size != (height, width):
        ahead = [(0, 0)] * (picture.ndim - 2)
        grow = ((0, height - size[0]), (0, width - size[1]))
        return np.pad(picture, [*ahead, *grow], mode="edge")
    return picture


def _needs_edges_only(size: tuple[int, ...], wanted: tuple[int, int]) -> bool:
    return all(want - have in (0, 1) for have, want in zip(size, wanted, strict=True))


class RowFitter:
    """Makes rows of what `fit` would return out of the rows of a picture that are there.

    Args:
        size: height and width of the pictures.
        wanted: height and width of the result.
    """

    def __init__(self, size: tuple[int, int], wanted: tuple[int, int]) -> None:
        self._exact = _needs_edges_only(size, wanted)
        banks = _edges if self._exact else filter_bank
        self._down = banks(size[0], wanted[0], "lanczos")
        self._across = banks(size[1], wanted[1], "lanczos")

    @property
    def reach(self) -> int:
        """The most rows of a picture that one row of the result draws on."""
        return len(self._down[0][0])

    def ready(self, rows: int) -> int:
        """Return how many rows of the result draw on nothing but the first `rows` rows."""
        return int(np.sum(self._down[0].max(1) < rows))

    def first(self, row: int) -> int:
        """Return the first row of a picture that row `row` of the result, or a later one, needs."""
        index = self._down[0]
        return int(np.min(index[min(row, len(index) - 1)]))

    def last(self, stop: int) -> int:
        """Return one past the last row of a picture that rows before `stop` of the result need."""
        return 1 + int(np.max(self._down[0][stop - 1]))

    def rows(self, part: FloatArray, top: int, start: int, stop: int) -> FloatArray:
        """Return rows of the result.

        Args:
            part: shape (C, h, W), in [0, 1]: rows of a picture.
            top: which of the picture's rows is the first of them.
            start: the first row wanted.
            stop: one past the last; all that they draw on is in `part`.

        Returns:
            shape (C, stop - start, width), in [0, 1].
        """
        index, weights = self._down[0][start:stop] - top, self._down[1][start:stop]
        if self._exact:
            return part[:, index[:, 0]][:, :, self._across[0][:, 0]]
        made = np.stack([_weighted(_turned(plane, self._across), index, weights) for plane in part])
        return np.clip(made, 0, 1, out=made)


Bank = tuple[NDArray[np.int64], FloatArray]
"""Which samples each sample of a result draws on, and by which weights; see `filter_bank`."""


def _edges(size: int, wanted: int, _kernel: Kernel) -> Bank:
    """Return the bank that repeats the last sample and changes none."""
    index = np.arange(wanted).clip(0, size - 1)[:, None]
    return index, np.ones(index.shape, np.float32)


def _plane(plane: FloatArray, height: int, width: int, kernel: Kernel) -> FloatArray:
    across = _turned(plane, filter_bank(plane.shape[1], width, kernel))
    return _weighted(across, *filter_bank(len(plane), height, kernel))


def _turned(plane: FloatArray, bank: Bank) -> FloatArray:
    """Return a plane resized along its rows."""
    return np.ascontiguousarray(_weighted(np.ascontiguousarray(plane.T), *bank).T)


def _weighted(plane: FloatArray, index: NDArray[np.int64], weights: FloatArray) -> FloatArray:
    """Return sums of a plane's rows, one for each row of `index` and `weights`."""
    result = np.zeros((len(index), plane.shape[1]), np.float32)
    _add_weighted(plane, index, weights, result)
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
def filter_bank(size: int, wanted: int, kernel: Kernel) -> Bank:
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
