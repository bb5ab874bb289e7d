"""The loops of the fast CPU path, compiled once and cached on disk.

Images are channels-last and contiguous. As in `simd`, memory is addressed by integers, and the
element type is given by the dtype of `kind`. Each function does a part of the work, `first` to
`last`, so that threads can share it; none holds the GIL.
"""

# Kernels take addresses and sizes one by one: numba has no cheap record to put them in.
# ruff: noqa: PLR0913, PLR0917
# mypy: disable-error-code="no-untyped-def, untyped-decorator, call-arg, arg-type"

import numba
import numpy as np

from vsrpp_cli.kernels import simd
from vsrpp_cli.kernels.compiling import compiled

LANES = simd.LANES

TILE = 4
"""Side of the square of output pixels of one Winograd transform."""

ROWS = simd.TILE_ROWS
COLUMNS = simd.TILE_COLUMNS
"""Rows and columns of sums that one call of `simd.matrix_tile` computes."""

BLOCK = simd.BLOCK
"""Pixels or tiles that are processed together: weights are read once for all of them."""

GAP = 64
"""Bytes between the 36 points of transforms and products. Without them the sizes of blocks would
map the same place of all points to a few lines of the first-level cache."""

TAPS = 9
"""Taps of a 3x3 convolution, and samples of an alignment for each group."""
WIDTH = simd.WIDTH
MAX_RESIDUE = np.float32(10.0)
"""Largest offset beside the flow, pixels."""

LINE = 64
"""Bytes of a cache line. Scratch memory is aligned to it: vectors across two lines cost twice."""


@numba.njit(inline="always", error_model="numpy")
def aligned(address):
    """Return `address` rounded up to the beginning of a cache line."""
    return (address + LINE - 1) // LINE * LINE


@numba.njit
def keep(array):
    """Use an array whose address is in use, since numba frees an array after its last use."""
    return array.size


@numba.njit(inline="always", error_model="numpy")
def _read_tile(kind, image, channels, height, width, y, x, scratch, target, stride):
    """Transform the 6x6 pixels from (y, x) on, zeros outside; write 36 results `stride` apart."""
    pixel = channels * kind.itemsize
    source = image + (y * width + x) * pixel
    row = width * pixel
    if not (y >= 0 and x >= 0 and y + 6 <= height and x + 6 <= width):
        for i in range(36):
            py, px = y + i // 6, x + i % 6
            there = 0 <= py < height and 0 <= px < width
            for c in range(0, pixel, LANES * kind.itemsize):
                origin = image + (py * width + px) * pixel + c if there else 0
                simd.move(kind, origin, scratch + i * pixel + c)
        source = scratch
        row = 6 * pixel
    for c in range(0, pixel, WIDTH * kind.itemsize):
        simd.winograd_input(kind, source + c, row, pixel, target + c, stride)


@numba.njit(inline="always", error_model="numpy")
def _place(y, x, width, c, c_out, shuffled):
    """Return where channel c of a pixel lies in the result, in elements."""
    if not shuffled:
        return (y * width + x) * c_out + c
    run = c_out // 4
    quarter = c // run
    return ((2 * y + quarter // 2) * 2 * width + 2 * x + quarter % 2) * run + c % run


@numba.njit(inline="always", error_model="numpy")
def _read_tiles(kind, inputs, channels, height, width, start, count, scratch, target, row, stride):
    """Transform `count` tiles of all inputs from `start` on, to rows of `row` bytes a point."""
    tiles_x = (width + TILE - 1) // TILE
    for t in range(count):
        tile = start + t
        y, x = tile // tiles_x * TILE - 1, tile % tiles_x * TILE - 1
        at = target + t * row
        for j in range(len(inputs)):
            _read_tile(kind, inputs[j], channels[j], height, width, y, x, scratch, at, stride)
            at += channels[j] * kind.itemsize


@numba.njit(inline="always", error_model="numpy")
def _multiply_tiles(kind, v, row, weight, weight_stride, m, count):
    """Multiply `count` tiles, rows of `row` bytes, by a panel of outputs at all 36 points."""
    for i in range(36):
        for t in range(0, count, ROWS):
            simd.matrix_tile(
                kind,
                v + i * (BLOCK * row + GAP) + t * row,
                row,
                4,
                weight + i * weight_stride,
                COLUMNS * 4,
                m + i * (BLOCK * COLUMNS * 4 + GAP) + t * COLUMNS * 4,
                COLUMNS * 4,
                row // 4,
            )


@numba.njit(inline="always", error_model="numpy")
def _write_tile(
    kind, products, done, height, width, y, x, c, c_out, bias, residual, slope, out, shuffled
):
    """Transform 16 channels (c on) of a tile back to pixels; finish those inside the image."""
    for k in range(0, LANES * 4, WIDTH * 4):
        simd.winograd_output(products + k, BLOCK * COLUMNS * 4 + GAP, done + k)
    for i in range(min(TILE, height - y)):
        for k in range(min(TILE, width - x)):
            place = _place(y + i, x + k, width, c, c_out, shuffled) * kind.itemsize
            simd.finish(
                kind,
                done + (i * TILE + k) * LANES * 4,
                bias + c * 4,
                residual + place if residual else 0,
                slope,
                out + place,
            )


@compiled
def winograd(
    kind,
    inputs,
    channels,
    height,
    width,
    weight,
    bias,
    c_out,
    residual,
    slope,
    out,
    shuffled,
    first,
    last,
):
    """Convolve 3x3 with zero padding: blocks `first` to `last` of `BLOCK` tiles of 4x4.

    Args:
        kind: array whose dtype chooses the element type.
        inputs: int64, addresses of the images whose channels together are the input.
        channels: int64, channels of each, multiples of 16.
        height: of the images, in pixels.
        width: of the images, in pixels.
        weight: address of transformed weights, packed by `fused.pack_winograd`.
        bias: address of float32, `c_out` of them.
        c_out: output channels, a multiple of 16.
        residual: address of an image to add after the activation, or 0.
        slope: of the leaky ReLU; 1 for none.
        out: address of the result, c_out channels; or of an image of twice the size if `shuffled`.
        shuffled: whether to shuffle pixels: the c_out channels are four runs for the pixels of each
            2x2 square of the result.
        first: first block.
        last: one past the last.
    """
    size = kind.itemsize
    tiles_x = (width + TILE - 1) // TILE
    tiles = tiles_x * ((height + TILE - 1) // TILE)
    c_in = widest = 0
    for count in channels:  # numpy's sum and max would take long to compile
        c_in += count
        widest = max(widest, count)
    transformed = np.empty(36 * (BLOCK * c_in * size + GAP) + LINE, np.uint8)
    products = np.empty(36 * (BLOCK * COLUMNS * 4 + GAP) + LINE, np.uint8)
    patch = np.empty(36 * widest * size + LINE, np.uint8)
    pixels = np.empty(TILE * TILE * LANES * 4 + LINE, np.uint8)
    v = aligned(transformed.ctypes.data)
    m = aligned(products.ctypes.data)
    scratch = aligned(patch.ctypes.data)
    done = aligned(pixels.ctypes.data)
    row = c_in * size
    panels = (c_out + COLUMNS - 1) // COLUMNS
    for start in range(first * BLOCK, last * BLOCK, BLOCK):
        count = min(BLOCK, tiles - start)
        _read_tiles(
            kind, inputs, channels, height, width, start, count, scratch, v, row, BLOCK * row + GAP
        )
        for column in range(0, c_out, COLUMNS):
            _multiply_tiles(kind, v, row, weight + column * row, panels * COLUMNS * row, m, count)
            for t in range(count):
                y, x = (start + t) // tiles_x * TILE, (start + t) % tiles_x * TILE
                for c in range(column, min(column + COLUMNS, c_out), LANES):
                    _write_tile(
                        kind, m + (t * COLUMNS + c - column) * 4, done, height, width, y, x,
                        c, c_out, bias, residual, slope, out, shuffled,
                    )  # fmt: skip
    keep(transformed)
    keep(products)
    keep(patch)
    keep(pixels)


@numba.njit(inline="always", error_model="numpy")
def _table(half, plane, group):
    """Return the table of samples for `simd.locate`; `group` is a group's size in bytes."""
    table = np.zeros((4, plane), np.int32)
    taps = table.view(np.float32)
    for s in range(2 * half):
        taps[0, s] = np.float32(s % TAPS // 3 - 1)
        taps[1, s] = np.float32(s % 3 - 1)
        table[2, s] = s % half // TAPS * group
        table[3, s] = s // half
    return table


@numba.njit(inline="always", error_model="numpy")
def _sample(kind, image, corner, plane, lanes, target):
    """Sample a group of 2, 4, 8, 16 or another even number of channels."""
    if lanes == 8:
        simd.sample_8(kind, image, corner, plane, target)
    elif lanes == 16:
        simd.sample_16(kind, image, corner, plane, target)
    elif lanes == 4:
        simd.sample_4(kind, image, corner, plane, target)
    else:
        for c in range(0, lanes * kind.itemsize, 2 * kind.itemsize):
            simd.sample_2(kind, image + c, corner, plane, target + c)


@numba.njit(inline="always", error_model="numpy")
def _gather(
    kind, past, raw, flows, start, count, height, width, pixel,
    table, plane, half, lanes, size, corners, target,
):  # fmt: skip
    """Sample both images for `count` pixels from `start` on; write a row of samples each."""
    for t in range(count):
        p = start + t
        y = p // width
        x = p - y * width
        said = raw + p * 3 * plane * size
        for s in range(0, plane, WIDTH):
            simd.locate(
                kind,
                said + s * size,
                table + s * 4,
                plane,
                np.float32(y) + flows[0, 1, y, x],
                np.float32(x) + flows[0, 0, y, x],
                np.float32(y) + flows[1, 1, y, x],
                np.float32(x) + flows[1, 0, y, x],
                height,
                width,
                pixel,
                MAX_RESIDUE,
                corners + s * 4,
            )
        at = target + t * 2 * half * lanes * size
        for s in range(2 * half):
            image = past[0] if s < half else past[1]
            _sample(kind, image, corners + s * 4, plane, lanes, at)
            at += lanes * size


@numba.njit(inline="always", error_model="numpy")
def _multiply_pixels(kind, a, row, panel, sums, count):
    """Multiply the samples of `count` pixels, rows of `row` bytes, by a panel of outputs."""
    for t in range(0, count, ROWS):
        at = sums + t * COLUMNS * 4
        simd.matrix_tile(kind, a + t * row, row, 4, panel, COLUMNS * 4, at, COLUMNS * 4, row // 4)


@numba.njit(inline="always", error_model="numpy")
def _finish_pixels(kind, sums, count, bias, columns, out, pixel):
    """Store `columns` sums plus bias for each of `count` pixels, `pixel` bytes apart."""
    for t in range(count):
        for c in range(0, columns, LANES):
            simd.finish(
                kind,
                sums + (t * COLUMNS + c) * 4,
                bias + c * 4,
                0,
                np.float32(1),
                out + t * pixel + c * kind.itemsize,
            )


@compiled
def align(
    kind,
    past,
    raw,
    flows,
    height,
    width,
    channels,
    groups,
    weight,
    bias,
    out,
    first,
    last,
):
    """Deformable alignment, from the raw offsets to the result: blocks of `BLOCK` pixels.

    Args:
        kind: array whose dtype chooses the element type.
        past: int64, addresses of the two images to sample, `channels` each (a multiple of 16).
        raw: address of the output of `conv_offset`, channels in the order of
            `fused.offset_order`.
        flows: float32, shape (2, 2, height, width): to the first and second image, x before y.
        height: of the images, in pixels.
        width: of the images, in pixels.
        channels: of one image.
        groups: of both images together; even.
        weight: address of weights, packed by `fused.pack_alignment`.
        bias: address of float32, `channels` of them.
        out: address of the result, `channels`.
        first: first block.
        last: one past the last.
    """
    size = kind.itemsize
    lanes = 2 * channels // groups
    depth = 2 * channels * TAPS
    half = groups // 2 * TAPS
    plane = (2 * half + LANES - 1) // LANES * LANES
    columns = np.empty(BLOCK * depth * size + LINE, np.uint8)
    product = np.empty(BLOCK * COLUMNS * 4 + LINE, np.uint8)
    found = np.empty(8 * plane * 4 + LINE, np.uint8)
    table = _table(half, plane, lanes * size)
    a = aligned(columns.ctypes.data)
    sums = aligned(product.ctypes.data)
    corners = aligned(found.ctypes.data)
    entries = table.ctypes.data
    pixel = channels * size
    for start in range(first * BLOCK, last * BLOCK, BLOCK):
        count = min(BLOCK, height * width - start)
        _gather(
            kind, past, raw, flows, start, count, height, width, pixel,
            entries, plane, half, lanes, size, corners, a,
        )  # fmt: skip
        for column in range(0, channels, COLUMNS):
            _multiply_pixels(kind, a, depth * size, weight + column * depth * size, sums, count)
            _finish_pixels(
                kind, sums, count, bias + column * 4, min(COLUMNS, channels - column),
                out + start * pixel + column * size, pixel,
            )  # fmt: skip
    keep(columns)
    keep(product)
    keep(found)
    keep(table)


@compiled
def warp(kind, image, flow, height, width, channels, out, first, last):
    """Sample an image of `channels` (a multiple of 16) where `flow` (2, height, width) points.

    Rows `first` to `last`; zeros outside.
    """
    pixel = channels * kind.itemsize
    step = LANES * kind.itemsize
    for y in range(first, last):
        for x in range(width):
            v = np.float32(y) + flow[1, y, x]
            u = np.float32(x) + flow[0, y, x]
            v = min(max(v, np.float32(-1)), np.float32(height))
            u = min(max(u, np.float32(-1)), np.float32(width))
            v0 = np.int64(np.floor(v))
            u0 = np.int64(np.floor(u))
            dv = v - np.float32(v0)
            du = u - np.float32(u0)
            upper = np.float32(1) - dv if 0 <= v0 < height else np.float32(0)
            lower = dv if v0 + 1 < height else np.float32(0)
            left = np.float32(1) - du if 0 <= u0 < width else np.float32(0)
            right = du if u0 + 1 < width else np.float32(0)
            row_0 = image + min(max(v0, 0), height - 1) * width * pixel
            row_1 = image + min(max(v0 + 1, 0), height - 1) * width * pixel
            at_1 = min(max(u0 + 1, 0), width - 1) * pixel
            at_0 = min(max(u0, 0), width - 1) * pixel
            target = out + (y * width + x) * pixel
            for c in range(0, pixel, step):
                simd.blend(
                    kind,
                    row_0 + at_0 + c,
                    row_0 + at_1 + c,
                    row_1 + at_0 + c,
                    row_1 + at_1 + c,
                    upper * left,
                    upper * right,
                    lower * left,
                    lower * right,
                    target + c,
                )
