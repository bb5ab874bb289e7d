"""Compiled loops between code values and RGB: one pass over the picture, without the GIL.

A picture's planes are Y, Cb and Cr, each a C-contiguous array of shape (rows, at least the width):
decoders pad rows. `steps` is the subsampling, vertical and horizontal (1, 2 or 4).
"""

from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

Plane = NDArray[np.uint8] | NDArray[np.uint16]
Planes = tuple[Plane, Plane, Plane]
Taps = tuple[int, NDArray[np.float32]]
Rgb = NDArray[np.float32] | NDArray[np.uint16]


@numba.njit(cache=True, nogil=True)
def decode_planes(
    planes: Planes,
    to_rgb: NDArray[np.float32],
    scale: NDArray[np.float32],
    steps: tuple[int, int],
    origin: tuple[float, float],
    out: NDArray[np.float32],
) -> None:
    """Write the RGB of a picture in Y'CbCr planes to `out`, shape (3, H, W), clipped to [0, 1].

    Chroma between its samples is interpolated linearly.

    Args:
        planes: shapes (H, >= W) and twice (ceil(H / steps[0]), >= ceil(W / steps[1])).
        to_rgb: 3x3 matrix from Y' in [0, 1] and chroma in [-0.5, 0.5] to R'G'B'.
        scale: black, 1/(white - black), zero of chroma, 1/(extent of chroma), in code values.
        steps: vertical and horizontal subsampling.
        origin: vertical and horizontal position of the first chroma sample in luma samples: 0 on
            the first one, 0.5 between the first two.
        out: the result.
    """
    y, u, v = planes
    height, width = out.shape[1], out.shape[2]
    rows, columns = u.shape[0], -(-width // steps[1])
    narrow = np.empty((2, columns + 2), np.float32)
    wide = np.empty((2, width), np.float32)
    for row in range(height):
        place = (row - origin[0]) / steps[0]
        above = int(np.floor(place))
        part = np.float32(place - above)
        first, second = min(max(above, 0), rows - 1), min(max(above + 1, 0), rows - 1)
        for column in range(columns):
            narrow[0, column + 1] = u[first, column] * (1 - part) + u[second, column] * part
            narrow[1, column + 1] = v[first, column] * (1 - part) + v[second, column] * part
        for channel in range(2):
            narrow[channel, 0] = narrow[channel, 1]
            narrow[channel, columns + 1] = narrow[channel, columns]
            _stretch(narrow[channel], steps[1], origin[1], wide[channel])
        for column in range(width):
            luma = (np.float32(y[row, column]) - scale[0]) * scale[1]
            blue = (wide[0, column] - scale[2]) * scale[3]
            red = (wide[1, column] - scale[2]) * scale[3]
            for channel in range(3):
                value = (
                    to_rgb[channel, 0] * luma + to_rgb[channel, 1] * blue + to_rgb[channel, 2] * red
                )
                out[channel, row, column] = min(max(value, np.float32(0)), np.float32(1))


@numba.njit(cache=True, nogil=True)
def _stretch(
    padded: NDArray[np.float32], step: int, origin: float, out: NDArray[np.float32]
) -> None:
    """Interpolate a row of chroma, with one more sample at each end, at the positions of luma."""
    for phase in range(step):
        place = (phase - origin) / step
        before = int(np.floor(place))
        part = np.float32(place - before)
        for index in range((out.shape[0] - phase + step - 1) // step):
            left, right = padded[index + 1 + before], padded[index + 2 + before]
            out[index * step + phase] = left * (1 - part) + right * part


@numba.njit(cache=True, nogil=True)
def encode_planes(
    rgb: Rgb,
    from_rgb: NDArray[np.float32],
    scale: NDArray[np.float32],
    steps: tuple[int, int],
    down: tuple[Taps, Taps],
    dither: NDArray[np.float32],
    planes: Planes,
) -> None:
    """Write the code values of an RGB picture, shape (3, H, W), to its planes.

    A chroma sample is the mean over the area that it covers. The (repeated) `dither` pattern is
    added, then values are rounded to nearest and clipped to the plane's range.

    Args:
        rgb: R'G'B', float32 or uint16.
        from_rgb: 3x3 matrix from `rgb` to Y' in [0, 1] and chroma in [-0.5, 0.5].
        scale: black, white - black, zero of chroma, extent of chroma, highest code value.
        steps: vertical and horizontal subsampling.
        down: vertical and horizontal `(first sample, weights)` relative to `index * step`.
        dither: pattern of offsets in code values, within (-0.5, 0.5).
        planes: the result.
    """
    y, u, v = planes
    height, width = rgb.shape[1], rgb.shape[2]
    (top, vertical), (left, horizontal) = down
    black, extent, zero, chroma, highest = scale[0], scale[1], scale[2], scale[3], scale[4]
    # Scalars, and no remainder for each pixel: else the loops over columns would not use vectors.
    luma_r, luma_g, luma_b = from_rgb[0, 0], from_rgb[0, 1], from_rgb[0, 2]
    blue_r, blue_g, blue_b = from_rgb[1, 0], from_rgb[1, 1], from_rgb[1, 2]
    red_r, red_g, red_b = from_rgb[2, 0], from_rgb[2, 1], from_rgb[2, 2]
    offsets = np.empty((dither.shape[0], width), np.float32)
    for row in range(dither.shape[0]):
        for column in range(width):
            offsets[row, column] = dither[row, column % dither.shape[1]]
    for row in range(height):
        here = row % dither.shape[0]
        for column in range(width):
            luma = (
                luma_r * np.float32(rgb[0, row, column])
                + luma_g * np.float32(rgb[1, row, column])
                + luma_b * np.float32(rgb[2, row, column])
            )
            y[row, column] = _code(luma * extent + black + offsets[here, column], highest)
    wide = np.empty((2, width), np.float32)
    for row in range(-(-height // steps[0])):
        here = row % dither.shape[0]
        wide[:] = 0
        for tap in range(vertical.shape[0]):
            source = min(max(row * steps[0] + top + tap, 0), height - 1)
            weight = vertical[tap]
            for column in range(width):
                r, g, b = (
                    np.float32(rgb[0, source, column]),
                    np.float32(rgb[1, source, column]),
                    np.float32(rgb[2, source, column]),
                )
                wide[0, column] += weight * (blue_r * r + blue_g * g + blue_b * b)
                wide[1, column] += weight * (red_r * r + red_g * g + red_b * b)
        for column in range(-(-width // steps[1])):
            first = second = np.float32(0)
            for tap in range(horizontal.shape[0]):
                source = min(max(column * steps[1] + left + tap, 0), width - 1)
                first += horizontal[tap] * wide[0, source]
                second += horizontal[tap] * wide[1, source]
            offset = zero + offsets[here, column]
            u[row, column] = _code(first * chroma + offset, highest)
            v[row, column] = _code(second * chroma + offset, highest)


@numba.njit(cache=True, nogil=True)
def _code(value: float, highest: float) -> int:
    """Return the nearest code value; 0 for NaN."""
    rounded: Any = value + np.float32(0.5)
    return int(min(rounded if rounded > 0 else np.float32(0), highest))


@numba.njit(cache=True, nogil=True)
def field_differences(
    before: Plane, now: Plane, after: Plane, width: int, still: int
) -> tuple[float, float, float, float, float, float]:
    """Return six sums that show whether a picture is interlaced.

    As in libavfilter's `idet` they are sums of |above + below - 2 * line|, where `above` and
    `below` are lines of the picture. For the first two, `line` is from a neighbour in time: top
    lines from `before` and bottom lines from `after`, then the reverse. The first is larger if the
    top field is shown first. For the third, `line` is from the picture itself. The other three are
    the same sums over moving pixels only.

    Args:
        before: luma of the previous picture, shape (H, >= width).
        now: the picture itself.
        after: the next picture.
        width: number of columns to use.
        still: a pixel moves if `after` differs from `before` by more code values than this.
    """
    first = second = own = 0.0
    first_moving = second_moving = own_moving = 0.0
    for row in range(2, now.shape[0] - 2):
        earlier: Any = 0
        later: Any = 0
        here: Any = 0
        earlier_moving: Any = 0
        later_moving: Any = 0
        here_moving: Any = 0
        for column in range(width):
            around = np.int32(now[row - 1, column]) + np.int32(now[row + 1, column])
            one, other = np.int32(before[row, column]), np.int32(after[row, column])
            moves = abs(one - other) > still
            misfit = abs(around - 2 * one)
            earlier += misfit
            earlier_moving += moves * misfit
            misfit = abs(around - 2 * other)
            later += misfit
            later_moving += moves * misfit
            misfit = abs(around - 2 * np.int32(now[row, column]))
            here += misfit
            here_moving += moves * misfit
        even = row % 2 == 0
        own += here
        own_moving += here_moving
        first += earlier if even else later
        second += later if even else earlier
        first_moving += earlier_moving if even else later_moving
        second_moving += later_moving if even else earlier_moving
    return first, second, own, first_moving, second_moving, own_moving
