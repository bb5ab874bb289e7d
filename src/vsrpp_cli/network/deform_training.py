"""Sampling with gradients for training on CPUs: numba kernels over channels-last rows.

Two functions with a backward pass:

* `deform_columns`: what deformable convolution gathers before its matrix product, straight from the
  raw output of the offset network (``10 * tanh`` plus flow, sigmoid mask);
* `warp`: bilinear warping of features by a flow, zero padding, ``align_corners=True``.

Both compute in float32, whatever the precision of the features, and both walk channels-last
memory, where one sample is a run of neighbouring channels: one vector register a corner. Grid
sampling, their slow twin, is several times slower here, and torchvision's backward for CPUs is
slower still. Gradients are summed in an order that does not depend on the number of threads.
"""

# Kernels keep the names and the flat style of the loops they stand for.
# ruff: noqa: ARG001, PLR0913, PLR0915, PLR0917, C901

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

import numba
import numpy as np
import torch
from llvmlite import ir  # type: ignore[import-untyped]
from numba.core import cgutils, types
from numba.extending import intrinsic
from torch import Tensor

TAPS = 9
MAX_RESIDUE = 10.0


@numba.njit(inline="always", fastmath=True)
def _tanh(x: Any) -> Any:
    """Return tanh by a rational function (Eigen's), exact to a few float32 ulps."""
    x = min(max(x, np.float32(-7.9988117)), np.float32(7.9988117))
    s = x * x
    p = np.float32(-2.76076847742355e-16)
    p = p * s + np.float32(2.00018790482477e-13)
    p = p * s + np.float32(-8.60467152213735e-11)
    p = p * s + np.float32(5.12229709037114e-08)
    p = p * s + np.float32(1.48572235717979e-05)
    p = p * s + np.float32(6.37261928875436e-04)
    p = p * s + np.float32(4.89352455891786e-03)
    q = np.float32(1.19825839466702e-06)
    q = q * s + np.float32(1.18534705686654e-04)
    q = q * s + np.float32(2.26843463243900e-03)
    q = q * s + np.float32(4.89352518554385e-03)
    return x * p / q


@numba.njit(inline="always")
def _load_bf16(source: Any, start: int, count: int, bits: Any) -> None:
    """Widen `count` bfloat16 values (as uint16) to float32, whose bits are written."""
    for i in range(count):
        bits[i] = np.uint32(source[np.uint64(start + i)]) << np.uint32(16)


@numba.njit(inline="always")
def _store_bf16(bits: Any, count: int, target: Any, start: int) -> None:
    """Round `count` float32 values (their bits) to nearest even bfloat16."""
    for i in range(count):
        b = bits[i]
        r = (b + np.uint32(0x7FFF) + ((b >> np.uint32(16)) & np.uint32(1))) >> np.uint32(16)
        target[np.uint64(start + i)] = np.uint16(r)


@numba.njit(inline="always")
def _load_f32(source: Any, start: int, count: int, bits: Any) -> None:
    values = bits.view(np.float32)
    for i in range(count):
        values[i] = source[np.uint64(start + i)]


@numba.njit(inline="always")
def _store_f32(bits: Any, count: int, target: Any, start: int) -> None:
    values = bits.view(np.float32)
    for i in range(count):
        target[np.uint64(start + i)] = values[i]


@numba.njit(inline="always", fastmath=True)
def _corners(  # type: ignore[no-untyped-def]
    ys, xs, count, height, width, stride, rows, columns, inside, index
) -> None:
    """Find what surrounds each of `count` sampling points, without branches, so that it vectorises.

    Points so far outside that nothing surrounds them get four corners that are all outside.

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
        # Clamped as integers, so that a point that is not a number stays inside memory, too.
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


class VectorOps(NamedTuple):
    """Arithmetic on runs of neighbouring float32 values, as vector instructions.

    LLVM does not vectorise the loops these stand for by itself: it cannot know that the arrays do
    not overlap, and checking costs more than runs this short are worth.
    """

    blend: Callable[..., None]
    """blend(out, o, x, a, b, c, d, wa, wb, wc, wd): out[o:] = wa * x[a:] + wb * x[b:] + ..."""
    add: Callable[..., None]
    """add(out, o, w, x, a): out[o:] += w * x[a:]"""
    dots: Callable[..., None]
    """dots(out, o, x, a, y, b, c, d, e): out[o:] = sum(x[a:] * y[b:]), sum(x[a:] * y[c:]), ..."""


@cache
def _vector_ops(lanes: int) -> VectorOps:
    """Return operations on runs of `lanes` values; arrays are flat float32, indices uint64."""
    scalar = ir.FloatType()
    vector = ir.VectorType(scalar, lanes)
    fast = ("fast",)

    def pointer(context: Any, builder: Any, kind: Any, array: Any, index: Any) -> Any:
        data = context.make_array(kind)(context, builder, array).data
        return builder.bitcast(builder.gep(data, [index]), vector.as_pointer())

    def read(context: Any, builder: Any, kind: Any, array: Any, index: Any) -> Any:
        return builder.load(pointer(context, builder, kind, array, index), align=4)

    def splat(builder: Any, value: Any) -> Any:
        zero = ir.Constant(ir.IntType(32), 0)
        one = builder.insert_element(ir.Constant(vector, ir.Undefined), value, zero)
        mask = ir.Constant(ir.VectorType(ir.IntType(32), lanes), None)
        return builder.shuffle_vector(one, ir.Constant(vector, ir.Undefined), mask)

    @intrinsic
    def blend(typing: Any, out, o, x, a, b, c, d, wa, wb, wc, wd):  # type: ignore[no-untyped-def]
        def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
            total = None
            for index, weight in zip(args[3:7], args[7:], strict=True):
                part = read(context, builder, sig.args[2], args[2], index)
                part = builder.fmul(part, splat(builder, weight), flags=fast)
                total = part if total is None else builder.fadd(total, part, flags=fast)
            builder.store(total, pointer(context, builder, sig.args[0], args[0], args[1]), align=4)
            return context.get_dummy_value()

        return types.void(out, types.uint64, x, *[types.uint64] * 4, *[types.float32] * 4), codegen

    @intrinsic
    def add(typing: Any, out, o, w, x, a):  # type: ignore[no-untyped-def]
        def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
            place = pointer(context, builder, sig.args[0], args[0], args[1])
            part = read(context, builder, sig.args[3], args[3], args[4])
            part = builder.fmul(part, splat(builder, args[2]), flags=fast)
            builder.store(
                builder.fadd(builder.load(place, align=4), part, flags=fast), place, align=4
            )
            return context.get_dummy_value()

        return types.void(out, types.uint64, types.float32, x, types.uint64), codegen

    def halved(builder: Any, parts: list[Any]) -> list[Any]:
        """Add the halves of pairs of vectors, side by side: half as many vectors of partial sums.

        Each holds the parts of as many sums as before, so that all are summed at once.
        """
        width = parts[0].type.count
        out = []
        for first, second in zip(parts[::2], parts[1::2], strict=True):
            picks = [
                ir.Constant(ir.VectorType(ir.IntType(32), width), list(range(start, 2 * width, 2)))
                for start in range(2)
            ]
            even, odd = (builder.shuffle_vector(first, second, pick) for pick in picks)
            out.append(builder.fadd(even, odd, flags=fast))
        return out

    def summed(builder: Any, products: list[Any]) -> Any:
        """Return a vector of the sums of each of four vectors."""
        if lanes >= 4 and not lanes & (lanes - 1):
            (parts,) = halved(builder, halved(builder, products))
            while parts.type.count > 4:
                half = parts.type.count // 2
                kind = ir.VectorType(ir.IntType(32), half)
                even, odd = (
                    builder.shuffle_vector(
                        parts, parts, ir.Constant(kind, list(range(start, 2 * half, 2)))
                    )
                    for start in range(2)
                )
                parts = builder.fadd(even, odd, flags=fast)
            return parts
        kind = ir.FunctionType(scalar, [scalar, vector])
        name = f"llvm.vector.reduce.fadd.v{lanes}f32"
        reduce = cgutils.get_or_insert_function(  # type: ignore[no-untyped-call]
            builder.module, kind, name
        )
        parts = ir.Constant(ir.VectorType(scalar, 4), ir.Undefined)
        for index, product in enumerate(products):
            total = builder.call(reduce, [ir.Constant(scalar, 0.0), product], fastmath=fast)
            parts = builder.insert_element(parts, total, ir.Constant(ir.IntType(32), index))
        return parts

    @intrinsic
    def dots(typing: Any, out, o, x, a, y, b, c, d, e):  # type: ignore[no-untyped-def]
        def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
            first = read(context, builder, sig.args[2], args[2], args[3])
            others = [read(context, builder, sig.args[4], args[4], i) for i in args[5:]]
            products = [builder.fmul(first, other, flags=fast) for other in others]
            sums = summed(builder, products)
            data = context.make_array(sig.args[0])(context, builder, args[0]).data
            place = builder.bitcast(builder.gep(data, [args[1]]), sums.type.as_pointer())
            builder.store(sums, place, align=4)
            return context.get_dummy_value()

        return types.void(out, types.uint64, x, types.uint64, y, *[types.uint64] * 4), codegen

    return VectorOps(blend, add, dots)


def _taps(samples: int) -> tuple[Any, Any]:
    """Return the rows and columns of a 3x3 kernel's taps, -1 to 1, once a group."""
    tap = np.arange(samples) % TAPS
    return (tap // 3 - 1).astype(np.float32), (tap % 3 - 1).astype(np.float32)


@cache
def _columns_forward(lanes: int, half_groups: int, bf16: bool) -> Callable[..., None]:
    """Return the forward kernel for groups of `lanes` channels, two times `half_groups` of them."""
    load = _load_bf16 if bf16 else _load_f32
    store = _store_bf16 if bf16 else _store_f32
    samples = half_groups * TAPS
    channels = half_groups * lanes
    width_raw = samples * 6
    width_out = 2 * samples * lanes
    tap_y, tap_x = _taps(samples)
    blend = _vector_ops(lanes).blend

    @numba.njit(parallel=True, fastmath=True, boundscheck=False, error_model="numpy")
    def kernel(x1, x2, raw, pitch, flow1, flow2, out, batch, height, width):  # type: ignore[no-untyped-def]
        for row in numba.prange(batch * height):
            n = row // height
            h = row - n * height
            act_bits = np.empty(width_raw, np.uint32)
            act = act_bits.view(np.float32)
            col_bits = np.empty(width_out, np.uint32)
            col = col_bits.view(np.float32)
            ys = np.empty(samples, np.float32)
            xs = np.empty(samples, np.float32)
            rows = np.empty(2 * samples, np.int32)
            columns = np.empty(2 * samples, np.int32)
            weights = np.empty((4, samples), np.float32)
            index = np.empty((4, samples), np.int32)
            image = np.uint64(n * height * width * channels)
            for w in range(width):
                p = row * width + w
                load(raw, p * pitch, width_raw, act_bits)
                for i in range(4 * samples):
                    act[i] = np.float32(10.0) * _tanh(act[i])
                for i in range(4 * samples, 6 * samples):
                    act[i] = np.float32(0.5) + np.float32(0.5) * _tanh(np.float32(0.5) * act[i])
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
                    for s in range(samples):
                        m = act[4 * samples + half * samples + s]
                        fy, fx = ys[s], xs[s]
                        ey, ex = np.float32(1) - fy, np.float32(1) - fx
                        weights[0, s] *= m * ey * ex
                        weights[1, s] *= m * ey * fx
                        weights[2, s] *= m * fy * ex
                        weights[3, s] *= m * fy * fx
                    for g in range(half_groups):
                        group = image + np.uint64(g * lanes)
                        for k in range(TAPS):
                            point = np.uint64(g * TAPS + k)
                            i00 = group + np.uint64(index[0, point])
                            i01 = group + np.uint64(index[1, point])
                            i10 = group + np.uint64(index[2, point])
                            i11 = group + np.uint64(index[3, point])
                            w00, w01, w10, w11 = (
                                weights[0, point],
                                weights[1, point],
                                weights[2, point],
                                weights[3, point],
                            )
                            at = np.uint64((half * samples + g * TAPS + k) * lanes)
                            blend(col, at, x, i00, i01, i10, i11, w00, w01, w10, w11)
                store(col_bits, width_out, out, p * width_out)

    return kernel


@cache
def _columns_backward(lanes: int, half_groups: int, bf16: bool) -> Callable[..., None]:
    """Return the backward kernel; each task owns one image and one half of the groups."""
    load = _load_bf16 if bf16 else _load_f32
    store = _store_bf16 if bf16 else _store_f32
    samples = half_groups * TAPS
    channels = half_groups * lanes
    width_half = samples * lanes
    tap_y, tap_x = _taps(samples)
    _, add, four_dots = _vector_ops(lanes)

    @numba.njit(parallel=True, fastmath=True, boundscheck=False, error_model="numpy")
    def kernel(  # type: ignore[no-untyped-def]
        x1, x2, raw, pitch, flow1, flow2, gcols, gx1, gx2, graw, gflow1, gflow2,
        batch, height, width,
    ):  # fmt: skip
        for task in numba.prange(2 * batch):
            n = task // 2
            half = task - 2 * n
            flow = flow1 if half == 0 else flow2
            gflow = gflow1 if half == 0 else gflow2
            x = x1 if half == 0 else x2
            gx = gx1 if half == 0 else gx2
            off_bits = np.empty(2 * samples, np.uint32)
            off = off_bits.view(np.float32)
            mask_bits = np.empty(samples, np.uint32)
            mask = mask_bits.view(np.float32)
            goff_bits = np.empty(2 * samples, np.uint32)
            goff = goff_bits.view(np.float32)
            gmask_bits = np.empty(samples, np.uint32)
            gmask = gmask_bits.view(np.float32)
            gcol_bits = np.empty(width_half, np.uint32)
            gcol = gcol_bits.view(np.float32)
            ys = np.empty(samples, np.float32)
            xs = np.empty(samples, np.float32)
            rows = np.empty(2 * samples, np.int32)
            columns = np.empty(2 * samples, np.int32)
            inside = np.empty((4, samples), np.float32)
            index = np.empty((4, samples), np.int32)
            dots = np.empty(4 * samples, np.float32)
            image = n * height * width
            start = np.uint64(image * channels)
            for q in range(height * width):
                h = q // width
                w = q - h * width
                p = image + q
                load(raw, p * pitch + half * 2 * samples, 2 * samples, off_bits)
                load(raw, p * pitch + 4 * samples + half * samples, samples, mask_bits)
                load(gcols, (2 * p + half) * width_half, width_half, gcol_bits)
                for i in range(2 * samples):
                    off[i] = _tanh(off[i])
                for i in range(samples):
                    mask[i] = np.float32(0.5) + np.float32(0.5) * _tanh(np.float32(0.5) * mask[i])
                base_x = np.float32(w) + flow[np.uint64(2 * p)]
                base_y = np.float32(h) + flow[np.uint64(2 * p + 1)]
                for s in range(samples):
                    ys[s] = base_y + tap_y[s] + np.float32(10) * off[2 * s]
                    xs[s] = base_x + tap_x[s] + np.float32(10) * off[2 * s + 1]
                _corners(ys, xs, samples, height, width, channels, rows, columns, inside, index)
                for g in range(half_groups):
                    group = start + np.uint64(g * lanes)
                    for k in range(TAPS):
                        point = np.uint64(g * TAPS + k)
                        m = mask[point]
                        fy, fx = ys[point], xs[point]
                        ey, ex = np.float32(1) - fy, np.float32(1) - fx
                        i00 = group + np.uint64(index[0, point])
                        i01 = group + np.uint64(index[1, point])
                        i10 = group + np.uint64(index[2, point])
                        i11 = group + np.uint64(index[3, point])
                        w00 = m * ey * ex * inside[0, point]
                        w01 = m * ey * fx * inside[1, point]
                        w10 = m * fy * ex * inside[2, point]
                        w11 = m * fy * fx * inside[3, point]
                        at = np.uint64((g * TAPS + k) * lanes)
                        four_dots(dots, np.uint64(4) * point, gcol, at, x, i00, i01, i10, i11)
                        # One corner after the other: at the border two of them are one pixel.
                        add(gx, i00, w00, gcol, at)
                        add(gx, i01, w01, gcol, at)
                        add(gx, i10, w10, gcol, at)
                        add(gx, i11, w11, gcol, at)
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
                    goff[2 * s] = gy * np.float32(10) * (np.float32(1) - ty * ty)
                    goff[2 * s + 1] = gu * np.float32(10) * (np.float32(1) - tx * tx)
                gflow[np.uint64(2 * p)] = sum_x
                gflow[np.uint64(2 * p + 1)] = sum_y
                store(goff_bits, 2 * samples, graw, p * pitch + half * 2 * samples)
                store(gmask_bits, samples, graw, p * pitch + 4 * samples + half * samples)

    return kernel


@cache
def _warp_kernels() -> tuple[Callable[..., None], Callable[..., None]]:
    """Return forward and backward of bilinear warping, zero padding, float32, channels last."""

    @numba.njit(parallel=True, fastmath=True, boundscheck=False, error_model="numpy")
    def forward(x, flow, out, batch, height, width, channels):  # type: ignore[no-untyped-def]
        for row in numba.prange(batch * height):
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
                        out[at + c] = np.float32(0)
                    continue
                y0 = int(np.floor(y))
                u0 = int(np.floor(u))
                fy = y - np.float32(y0)
                fx = u - np.float32(u0)
                wa = np.float32(1) - fy if y0 >= 0 else np.float32(0)
                wb = fy if y0 + 1 < height else np.float32(0)
                va = np.float32(1) - fx if u0 >= 0 else np.float32(0)
                vb = fx if u0 + 1 < width else np.float32(0)
                ya = image + min(max(y0, 0), height - 1) * width
                yb = image + min(max(y0 + 1, 0), height - 1) * width
                ua = min(max(u0, 0), width - 1)
                ub = min(max(u0 + 1, 0), width - 1)
                i00 = np.uint64((ya + ua) * channels)
                i01 = np.uint64((ya + ub) * channels)
                i10 = np.uint64((yb + ua) * channels)
                i11 = np.uint64((yb + ub) * channels)
                w00 = wa * va
                w01 = wa * vb
                w10 = wb * va
                w11 = wb * vb
                for c in range(np.uint64(channels)):
                    out[at + c] = (
                        w00 * x[i00 + c] + w01 * x[i01 + c] + w10 * x[i10 + c] + w11 * x[i11 + c]
                    )

    @numba.njit(parallel=True, fastmath=True, boundscheck=False, error_model="numpy")
    def backward(x, flow, gout, gx, gflow, batch, height, width, channels):  # type: ignore[no-untyped-def]
        for n in numba.prange(batch):
            image = n * height * width
            for q in range(height * width):
                h = q // width
                w = q - h * width
                p = image + q
                u = np.float32(w) + flow[np.uint64(2 * p)]
                y = np.float32(h) + flow[np.uint64(2 * p + 1)]
                at = np.uint64(p * channels)
                if y <= -1 or y >= height or u <= -1 or u >= width:
                    gflow[np.uint64(2 * p)] = np.float32(0)
                    gflow[np.uint64(2 * p + 1)] = np.float32(0)
                    continue
                y0 = int(np.floor(y))
                u0 = int(np.floor(u))
                fy = y - np.float32(y0)
                fx = u - np.float32(u0)
                ina = np.float32(1) if y0 >= 0 else np.float32(0)
                inb = np.float32(1) if y0 + 1 < height else np.float32(0)
                jna = np.float32(1) if u0 >= 0 else np.float32(0)
                jnb = np.float32(1) if u0 + 1 < width else np.float32(0)
                ya = image + min(max(y0, 0), height - 1) * width
                yb = image + min(max(y0 + 1, 0), height - 1) * width
                ua = min(max(u0, 0), width - 1)
                ub = min(max(u0 + 1, 0), width - 1)
                i00 = np.uint64((ya + ua) * channels)
                i01 = np.uint64((ya + ub) * channels)
                i10 = np.uint64((yb + ua) * channels)
                i11 = np.uint64((yb + ub) * channels)
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
                d00 *= ina * jna
                d01 *= ina * jnb
                d10 *= inb * jna
                d11 *= inb * jnb
                ey = np.float32(1) - fy
                ex = np.float32(1) - fx
                w00 = ey * ex * ina * jna
                w01 = ey * fx * ina * jnb
                w10 = fy * ex * inb * jna
                w11 = fy * fx * inb * jnb
                for c in range(np.uint64(channels)):
                    gx[i00 + c] += w00 * gout[at + c]
                for c in range(np.uint64(channels)):
                    gx[i01 + c] += w01 * gout[at + c]
                for c in range(np.uint64(channels)):
                    gx[i10 + c] += w10 * gout[at + c]
                for c in range(np.uint64(channels)):
                    gx[i11 + c] += w11 * gout[at + c]
                gflow[np.uint64(2 * p)] = ey * (d01 - d00) + fy * (d11 - d10)
                gflow[np.uint64(2 * p + 1)] = ex * (d10 - d00) + fx * (d11 - d01)

    return forward, backward


def _rows(x: Tensor) -> Any:
    """Return a (N, C, H, W) tensor's channels-last memory as a flat array; bfloat16 as uint16."""
    flat = x.permute(0, 2, 3, 1).reshape(-1)
    return (flat.view(torch.uint16) if x.dtype == torch.bfloat16 else flat).numpy()


def _channels_last(x: Tensor) -> Tensor:
    return x.detach().contiguous(memory_format=torch.channels_last)


def _float_rows(x: Tensor) -> Any:
    return _rows(_channels_last(x.float()))


class _DeformColumns(torch.autograd.Function):
    """See `deform_columns`."""

    @staticmethod
    def forward(
        ctx: Any, x1: Tensor, x2: Tensor, raw: Tensor, flow1: Tensor, flow2: Tensor
    ) -> Tensor:
        batch, channels, height, width = x1.shape
        raw = _channels_last(raw)
        half_groups = raw.shape[1] // (6 * TAPS)
        bf16 = raw.dtype == torch.bfloat16
        kernel = _columns_forward(channels // half_groups, half_groups, bf16)
        out = torch.empty(batch * height * width, 2 * TAPS * channels, dtype=raw.dtype)
        target = out.view(-1)
        kernel(
            _float_rows(x1),
            _float_rows(x2),
            _rows(raw),
            raw.shape[1],
            _float_rows(flow1),
            _float_rows(flow2),
            (target.view(torch.uint16) if bf16 else target).numpy(),
            batch,
            height,
            width,
        )
        ctx.save_for_backward(x1, x2, raw, flow1, flow2)
        return out

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, ...]:
        x1, x2, raw, flow1, flow2 = ctx.saved_tensors
        batch, channels, height, width = x1.shape
        half_groups = raw.shape[1] // (6 * TAPS)
        bf16 = raw.dtype == torch.bfloat16
        kernel = _columns_backward(channels // half_groups, half_groups, bf16)
        gcols = grads[0].detach().to(raw.dtype).contiguous().view(-1)
        gx1 = torch.zeros(batch, height, width, channels)
        gx2 = torch.zeros_like(gx1)
        graw = torch.empty_like(raw)
        graw[:, 6 * TAPS * half_groups :] = 0
        gflow1 = torch.empty(batch, height, width, 2)
        gflow2 = torch.empty_like(gflow1)
        kernel(
            _float_rows(x1),
            _float_rows(x2),
            _rows(raw),
            raw.shape[1],
            _float_rows(flow1),
            _float_rows(flow2),
            (gcols.view(torch.uint16) if bf16 else gcols).numpy(),
            gx1.view(-1).numpy(),
            gx2.view(-1).numpy(),
            _rows(graw),
            gflow1.view(-1).numpy(),
            gflow2.view(-1).numpy(),
            batch,
            height,
            width,
        )
        move = (0, 3, 1, 2)
        return (
            gx1.permute(move).to(x1.dtype),
            gx2.permute(move).to(x2.dtype),
            graw,
            gflow1.permute(move),
            gflow2.permute(move),
        )


class _Warp(torch.autograd.Function):
    """See `warp`."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, flow: Tensor) -> Tensor:
        batch, channels, height, width = x.shape
        out = torch.empty(batch, height, width, channels)
        _warp_kernels()[0](
            _float_rows(x), _float_rows(flow), out.view(-1).numpy(), batch, height, width, channels
        )
        ctx.save_for_backward(x, flow)
        return out.permute(0, 3, 1, 2).to(x.dtype)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor]:
        x, flow = ctx.saved_tensors
        batch, channels, height, width = x.shape
        gx = torch.zeros(batch, height, width, channels)
        gflow = torch.empty(batch, height, width, 2)
        _warp_kernels()[1](
            _float_rows(x),
            _float_rows(flow),
            _float_rows(grads[0]),
            gx.view(-1).numpy(),
            gflow.view(-1).numpy(),
            batch,
            height,
            width,
            channels,
        )
        return gx.permute(0, 3, 1, 2).to(x.dtype), gflow.permute(0, 3, 1, 2)


def deform_columns(x1: Tensor, x2: Tensor, raw: Tensor, flow1: Tensor, flow2: Tensor) -> Tensor:
    """Gather the columns of a second-order deformable convolution, with gradients.

    Args:
        x1: features of the first neighbour, (N, C, H, W); read by the first half of the groups.
        x2: features of the second neighbour, likewise; read by the second half.
        raw: output of the offset network, (N, 27G, H, W), G groups: offsets (y, x a tap) before
            ``10 * tanh``, then masks before the sigmoid; less than 27 channels more are padding.
            Its dtype is that of the result.
        flow1: (N, 2, H, W) float32, x before y, added to the first half's offsets.
        flow2: likewise for the second half.

    Returns:
        (N*H*W, 18C): for each pixel groups, taps, channels; `column_weight` orders a weight so.
    """
    columns: Tensor = _DeformColumns.apply(x1, x2, raw, flow1, flow2)
    return columns


def column_weight(weight: Tensor, groups: int) -> Tensor:
    """Return a convolution's weight (O, C, 3, 3) as (9C, O), rows ordered as `deform_columns`."""
    out, channels = weight.shape[:2]
    split = weight.reshape(out, groups, channels // groups, TAPS)
    return split.permute(1, 3, 2, 0).reshape(TAPS * channels, out)


def warp(x: Tensor, flow: Tensor) -> Tensor:
    """Warp features (N, C, H, W) by a flow (N, 2, H, W; x before y, pixels), zeros outside."""
    warped: Tensor = _Warp.apply(x, flow)
    return warped
