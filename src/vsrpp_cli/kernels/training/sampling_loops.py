"""The loops of `sampling`: sampling of channels-last images, and its gradients.

Arrays are flat and float32 unless stated otherwise; flows hold x before y.
"""

# Kernels take arrays and sizes one by one: numba has no cheap record to put them in.
# ruff: noqa: PLR0913, PLR0917
# mypy: disable-error-code="no-untyped-def, untyped-decorator"

from collections.abc import Callable
from functools import cache
from typing import Any

import numba
import numpy as np

from vsrpp_cli.kernels.loops import MAX_RESIDUE, TAPS
from vsrpp_cli.kernels.simd import TANH_ABOVE, TANH_BELOW
from vsrpp_cli.kernels.training.sampling_simd import vector_ops

_kernel = numba.njit(nogil=True, fastmath=True, boundscheck=False, error_model="numpy")
_inline = numba.njit(inline="always", fastmath=True, error_model="numpy")


@_inline
def _tanh(x):
    """Return tanh by a rational function (Eigen's), exact to a few float32 ulps."""
    x = min(max(x, np.float32(-7.9988117)), np.float32(7.9988117))
    s = x * x
    p = np.float32(TANH_ABOVE[0])
    for c in TANH_ABOVE[1:]:
        p = p * s + np.float32(c)
    q = np.float32(TANH_BELOW[0])
    for c in TANH_BELOW[1:]:
        q = q * s + np.float32(c)
    return x * p / q


@_inline
def _sigmoid(x):
    return np.float32(0.5) + np.float32(0.5) * _tanh(np.float32(0.5) * x)


@_inline
def _load_bf16(source, start, count, bits):
    """Widen `count` bfloat16 values (as uint16) to float32, written as bits."""
    for i in range(count):
        bits[i] = np.uint32(source[np.uint64(start + i)]) << np.uint32(16)


@_inline
def _store_bf16(bits, count, target, start):
    """Round `count` float32 values (their bits) to nearest even bfloat16."""
    for i in range(count):
        b = bits[i]
        r = (b + np.uint32(0x7FFF) + ((b >> np.uint32(16)) & np.uint32(1))) >> np.uint32(16)
        target[np.uint64(start + i)] = np.uint16(r)


@_inline
def _load_f32(source, start, count, bits):
    values = bits.view(np.float32)
    for i in range(count):
        values[i] = source[np.uint64(start + i)]


@_inline
def _store_f32(bits, count, target, start):
    values = bits.view(np.float32)
    for i in range(count):
        target[np.uint64(start + i)] = values[i]


@_inline
def _corners(ys, xs, count, height, width, stride, rows, columns, inside, index):
    """Find the four corners of each of `count` sampling points, without branches to vectorise.

    For points far outside the image all four corners are outside.

    Args:
        ys: (count,) float32; replaced by the fraction of each point below its upper corners.
        xs: likewise, right of its left corners.
        count: of points.
        height: of the image.
        width: of the image.
        stride: values a pixel.
        rows: (2 * count,) int32, scratch.
        columns: likewise.
        inside: (4, count) float32, 1 where a corner lies inside: up-left, up-right, down-left, ...
        index: (4, count) int32, where each corner's values start, clamped to the image.
    """
    one, zero = np.float32(1), np.float32(0)
    high, wide = np.float32(height), np.float32(width)
    bottom, edge = np.int32(height - 1), np.int32(width - 1)
    for s in range(count):
        y = min(max(ys[s], np.float32(-2)), high + one)
        x = min(max(xs[s], np.float32(-2)), wide + one)
        y0 = np.floor(y)
        x0 = np.floor(x)
        ys[s] = y - y0
        xs[s] = x - x0
        up = one if (y0 >= zero) & (y0 <= high - one) else zero
        down = one if (y0 >= -one) & (y0 <= high - np.float32(2)) else zero
        left = one if (x0 >= zero) & (x0 <= wide - one) else zero
        right = one if (x0 >= -one) & (x0 <= wide - np.float32(2)) else zero
        inside[0, s] = up * left
        inside[1, s] = up * right
        inside[2, s] = down * left
        inside[3, s] = down * right
        # Clamped as integers, so that NaN does not lead outside the memory.
        row, column = np.int32(y0), np.int32(x0)
        rows[s] = min(max(row, np.int32(0)), bottom) * np.int32(width)
        rows[count + s] = min(max(row + np.int32(1), np.int32(0)), bottom) * np.int32(width)
        columns[s] = min(max(column, np.int32(0)), edge)
        columns[count + s] = min(max(column + np.int32(1), np.int32(0)), edge)
    for s in range(count):
        index[0, s] = (rows[s] + columns[s]) * np.int32(stride)
        index[1, s] = (rows[s] + columns[count + s]) * np.int32(stride)
        index[2, s] = (rows[count + s] + columns[s]) * np.int32(stride)
        index[3, s] = (rows[count + s] + columns[count + s]) * np.int32(stride)


@_inline
def _words(count):
    """Return scratch memory as uint32 and the same as float32."""
    bits = np.empty(count, np.uint32)
    return bits, bits.view(np.float32)


@_inline
def _sample_scratch(samples):
    """Return what `_corners` writes to: ys, xs, rows, columns, inside, index."""
    return (
        np.empty(samples, np.float32),
        np.empty(samples, np.float32),
        np.empty(2 * samples, np.int32),
        np.empty(2 * samples, np.int32),
        np.empty((4, samples), np.float32),
        np.empty((4, samples), np.int32),
    )


def _taps(samples: int) -> tuple[Any, Any]:
    """Return the rows and columns of a 3x3 kernel's taps, -1 to 1, repeated for each group."""
    tap = np.arange(samples) % TAPS
    return (tap // 3 - 1).astype(np.float32), (tap % 3 - 1).astype(np.float32)


@_inline
def _weigh(weights, samples, ys, xs, act, masks):
    """Multiply `weights` (1 inside, 0 outside) by bilinear weights and the masks `act[masks:]`."""
    for s in range(samples):
        m = act[masks + s]
        fy, fx = ys[s], xs[s]
        ey, ex = np.float32(1) - fy, np.float32(1) - fx
        weights[0, s] *= m * ey * ex
        weights[1, s] *= m * ey * fx
        weights[2, s] *= m * fy * ex
        weights[3, s] *= m * fy * fx


@_inline
def _corner_places(index, point, group):
    """Return where the values of a sample's four corners start, for the group at `group`."""
    return (
        group + np.uint64(index[0, point]),
        group + np.uint64(index[1, point]),
        group + np.uint64(index[2, point]),
        group + np.uint64(index[3, point]),
    )


@cache
def columns_forward(lanes: int, half_groups: int, bf16: bool) -> Callable[..., None]:
    """Return the forward kernel for 2 * `half_groups` groups of `lanes` channels."""
    load = _load_bf16 if bf16 else _load_f32
    store = _store_bf16 if bf16 else _store_f32
    samples = half_groups * TAPS
    channels = half_groups * lanes
    width_raw = samples * 6
    width_out = 2 * samples * lanes
    tap_y, tap_x = _taps(samples)
    blend = vector_ops(lanes).blend

    @_kernel
    def kernel(x1, x2, raw, pitch, flow1, flow2, out, height, width, first_row, last_row):
        for row in range(first_row, last_row):
            n = row // height
            h = row - n * height
            act_bits, act = _words(width_raw)
            col_bits, col = _words(width_out)
            ys, xs, rows, columns, weights, index = _sample_scratch(samples)
            image = np.uint64(n * height * width * channels)
            for w in range(width):
                p = row * width + w
                load(raw, p * pitch, width_raw, act_bits)
                for i in range(4 * samples):
                    act[i] = MAX_RESIDUE * _tanh(act[i])
                for i in range(4 * samples, 6 * samples):
                    act[i] = _sigmoid(act[i])
                for half in range(2):
                    flow = flow1 if half == 0 else flow2
                    x = x1 if half == 0 else x2
                    base_x = np.float32(w) + flow[np.uint64(2 * p)]
                    base_y = np.float32(h) + flow[np.uint64(2 * p + 1)]
                    first = half * 2 * samples
                    for s in range(samples):
                        ys[s] = base_y + tap_y[s] + act[first + 2 * s]
                        xs[s] = base_x + tap_x[s] + act[first + 2 * s + 1]
                    _corners(
                        ys, xs, samples, height, width, channels, rows, columns, weights, index
                    )
                    _weigh(weights, samples, ys, xs, act, (4 + half) * samples)
                    for g in range(half_groups):
                        group = image + np.uint64(g * lanes)
                        for k in range(TAPS):
                            point = np.uint64(g * TAPS + k)
                            i00, i01, i10, i11 = _corner_places(index, point, group)
                            w00, w01 = weights[0, point], weights[1, point]
                            w10, w11 = weights[2, point], weights[3, point]
                            at = np.uint64((half * samples + g * TAPS + k) * lanes)
                            blend(col, at, x, i00, i01, i10, i11, w00, w01, w10, w11)
                store(col_bits, width_out, out, p * width_out)

    return kernel


@_inline
def _dot_and_spread(dot, add, gcol, x, gx, dots, start, groups, lanes, mask, ys, xs, inside, index):
    """Write products of each sample's gradient and corners; add it to the corners' gradients."""
    for g in range(groups):
        group = start + np.uint64(g * lanes)
        for k in range(TAPS):
            point = np.uint64(g * TAPS + k)
            m = mask[point]
            fy, fx = ys[point], xs[point]
            ey, ex = np.float32(1) - fy, np.float32(1) - fx
            i00, i01, i10, i11 = _corner_places(index, point, group)
            w00 = m * ey * ex * inside[0, point]
            w01 = m * ey * fx * inside[1, point]
            w10 = m * fy * ex * inside[2, point]
            w11 = m * fy * fx * inside[3, point]
            at = np.uint64((g * TAPS + k) * lanes)
            dot(dots, np.uint64(4) * point, gcol, at, x, i00, i01, i10, i11)
            # One corner after the other: at the border two of them are the same pixel.
            add(gx, i00, w00, gcol, at)
            add(gx, i01, w01, gcol, at)
            add(gx, i10, w10, gcol, at)
            add(gx, i11, w11, gcol, at)


@_inline
def _sample_gradients(samples, dots, inside, ys, xs, mask, off, gmask, goff):
    """Write the gradients of all masks and offsets of a pixel; return those of its flow, y and x.

    `off` holds tanh of the raw offsets, `mask` the sigmoid of the raw masks.
    """
    sum_x = np.float32(0)
    sum_y = np.float32(0)
    for s in range(samples):
        fy, fx = ys[s], xs[s]
        ey, ex = np.float32(1) - fy, np.float32(1) - fx
        d00 = dots[4 * s + 0] * inside[0, s]
        d01 = dots[4 * s + 1] * inside[1, s]
        d10 = dots[4 * s + 2] * inside[2, s]
        d11 = dots[4 * s + 3] * inside[3, s]
        top = ex * d00 + fx * d01
        low = ex * d10 + fx * d11
        m = mask[s]
        gmask[s] = (ey * top + fy * low) * m * (np.float32(1) - m)
        gy = m * (low - top)
        gu = m * (ey * (d01 - d00) + fy * (d11 - d10))
        sum_y += gy
        sum_x += gu
        ty, tx = off[2 * s], off[2 * s + 1]
        goff[2 * s] = gy * MAX_RESIDUE * (np.float32(1) - ty * ty)
        goff[2 * s + 1] = gu * MAX_RESIDUE * (np.float32(1) - tx * tx)
    return sum_y, sum_x


@cache
def columns_backward(lanes: int, half_groups: int, bf16: bool) -> Callable[..., None]:
    """Return the backward kernel; a task is one half of the groups of one image."""
    load = _load_bf16 if bf16 else _load_f32
    store = _store_bf16 if bf16 else _store_f32
    samples = half_groups * TAPS
    channels = half_groups * lanes
    width_half = samples * lanes
    tap_y, tap_x = _taps(samples)
    _, add, dot = vector_ops(lanes)

    @_kernel
    def kernel(
        x1, x2, raw, pitch, flow1, flow2, gcols, gx1, gx2, graw, gflow1, gflow2,
        height, width, first, last,
    ):  # fmt: skip
        for task in range(first, last):
            n = task // 2
            half = task - 2 * n
            flow, gflow = (flow1, gflow1) if half == 0 else (flow2, gflow2)
            x, gx = (x1, gx1) if half == 0 else (x2, gx2)
            off_bits, off = _words(2 * samples)
            mask_bits, mask = _words(samples)
            goff_bits, goff = _words(2 * samples)
            gmask_bits, gmask = _words(samples)
            gcol_bits, gcol = _words(width_half)
            ys, xs, rows, columns, inside, index = _sample_scratch(samples)
            dots = np.empty(4 * samples, np.float32)
            image = n * height * width
            start = np.uint64(image * channels)
            for q in range(height * width):
                h = q // width
                w = q - h * width
                p = image + q
                offsets = p * pitch + half * 2 * samples
                masks = p * pitch + 4 * samples + half * samples
                load(raw, offsets, 2 * samples, off_bits)
                load(raw, masks, samples, mask_bits)
                load(gcols, (2 * p + half) * width_half, width_half, gcol_bits)
                for i in range(2 * samples):
                    off[i] = _tanh(off[i])
                for i in range(samples):
                    mask[i] = _sigmoid(mask[i])
                base_x = np.float32(w) + flow[np.uint64(2 * p)]
                base_y = np.float32(h) + flow[np.uint64(2 * p + 1)]
                for s in range(samples):
                    ys[s] = base_y + tap_y[s] + MAX_RESIDUE * off[2 * s]
                    xs[s] = base_x + tap_x[s] + MAX_RESIDUE * off[2 * s + 1]
                _corners(ys, xs, samples, height, width, channels, rows, columns, inside, index)
                _dot_and_spread(
                    dot, add, gcol, x, gx, dots, start, half_groups, lanes, mask, ys, xs, inside,
                    index,
                )  # fmt: skip
                gflow[np.uint64(2 * p + 1)], gflow[np.uint64(2 * p)] = _sample_gradients(
                    samples, dots, inside, ys, xs, mask, off, gmask, goff
                )
                store(goff_bits, 2 * samples, graw, offsets)
                store(gmask_bits, samples, graw, masks)

    return kernel


# The two kernels of warping repeat the same lines to find the corners of a point: as a function
# that is inlined these lines would cost a sixth of the forward pass.


@_kernel
def warp_forward(x, flow, out, height, width, channels, first, last):
    """Warp rows `first:last` of all images bilinearly, zero padding."""
    zero, one = np.float32(0), np.float32(1)
    for row in range(first, last):
        n = row // height
        h = row - n * height
        image = n * height * width
        for w in range(width):
            p = row * width + w
            u = np.float32(w) + flow[np.uint64(2 * p)]
            y = np.float32(h) + flow[np.uint64(2 * p + 1)]
            at = np.uint64(p * channels)
            if y <= -1 or y >= height or u <= -1 or u >= width:
                for c in range(np.uint64(channels)):
                    out[at + c] = zero
                continue
            y0 = int(np.floor(y))
            u0 = int(np.floor(u))
            fy = y - np.float32(y0)
            fx = u - np.float32(u0)
            wa = one - fy if y0 >= 0 else zero
            wb = fy if y0 + 1 < height else zero
            va = one - fx if u0 >= 0 else zero
            vb = fx if u0 + 1 < width else zero
            ya = image + min(max(y0, 0), height - 1) * width
            yb = image + min(max(y0 + 1, 0), height - 1) * width
            ua = min(max(u0, 0), width - 1)
            ub = min(max(u0 + 1, 0), width - 1)
            i00 = np.uint64((ya + ua) * channels)
            i01 = np.uint64((ya + ub) * channels)
            i10 = np.uint64((yb + ua) * channels)
            i11 = np.uint64((yb + ub) * channels)
            w00, w01, w10, w11 = wa * va, wa * vb, wb * va, wb * vb
            for c in range(np.uint64(channels)):
                out[at + c] = (
                    w00 * x[i00 + c] + w01 * x[i01 + c] + w10 * x[i10 + c] + w11 * x[i11 + c]
                )


@_inline
def _four_dots(gout, at, x, i00, i01, i10, i11, channels):
    """Return the products of a pixel's gradient and the four pixels from which it was blended."""
    d00 = np.float32(0)
    d01 = np.float32(0)
    d10 = np.float32(0)
    d11 = np.float32(0)
    for c in range(np.uint64(channels)):
        v = gout[at + c]
        d00 += v * x[i00 + c]
        d01 += v * x[i01 + c]
        d10 += v * x[i10 + c]
        d11 += v * x[i11 + c]
    return d00, d01, d10, d11


@_inline
def _add_scaled(gx, start, weight, gout, at, channels):
    for c in range(np.uint64(channels)):
        gx[start + c] += weight * gout[at + c]


@_kernel
def warp_backward(x, flow, gout, gx, gflow, height, width, channels, first, last):
    """Write the gradients of `warp_forward` for images `first:last`; `gx` holds zeros before."""
    zero, one = np.float32(0), np.float32(1)
    for n in range(first, last):
        image = n * height * width
        for q in range(height * width):
            h = q // width
            w = q - h * width
            p = image + q
            u = np.float32(w) + flow[np.uint64(2 * p)]
            y = np.float32(h) + flow[np.uint64(2 * p + 1)]
            at = np.uint64(p * channels)
            if y <= -1 or y >= height or u <= -1 or u >= width:
                gflow[np.uint64(2 * p)] = zero
                gflow[np.uint64(2 * p + 1)] = zero
                continue
            y0 = int(np.floor(y))
            u0 = int(np.floor(u))
            fy = y - np.float32(y0)
            fx = u - np.float32(u0)
            ina = one if y0 >= 0 else zero
            inb = one if y0 + 1 < height else zero
            jna = one if u0 >= 0 else zero
            jnb = one if u0 + 1 < width else zero
            ya = image + min(max(y0, 0), height - 1) * width
            yb = image + min(max(y0 + 1, 0), height - 1) * width
            ua = min(max(u0, 0), width - 1)
            ub = min(max(u0 + 1, 0), width - 1)
            i00 = np.uint64((ya + ua) * channels)
            i01 = np.uint64((ya + ub) * channels)
            i10 = np.uint64((yb + ua) * channels)
            i11 = np.uint64((yb + ub) * channels)
            d00, d01, d10, d11 = _four_dots(gout, at, x, i00, i01, i10, i11, channels)
            d00 *= ina * jna
            d01 *= ina * jnb
            d10 *= inb * jna
            d11 *= inb * jnb
            ey = one - fy
            ex = one - fx
            _add_scaled(gx, i00, ey * ex * ina * jna, gout, at, channels)
            _add_scaled(gx, i01, ey * fx * ina * jnb, gout, at, channels)
            _add_scaled(gx, i10, fy * ex * inb * jna, gout, at, channels)
            _add_scaled(gx, i11, fy * fx * inb * jnb, gout, at, channels)
            gflow[np.uint64(2 * p)] = ey * (d01 - d00) + fy * (d11 - d10)
            gflow[np.uint64(2 * p + 1)] = ex * (d10 - d00) + fx * (d11 - d01)
