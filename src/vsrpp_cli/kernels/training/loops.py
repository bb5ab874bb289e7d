"""Loops of convolutions for training: forward, gradients of inputs, gradients of weights.

Conventions are those of `kernels.loops` and `kernels.simd`. Images are passed as tables of int64
with a row for every 16 channels: the address of the first pixel, and the strides of images, rows
and pixels in bytes. Several tensors can thus be one input, and a pixel shuffle is a table of four
parts.
"""

# Kernels take addresses and sizes one by one: numba has no cheap record to put them in.
# ruff: noqa: PLR0913, PLR0917
# mypy: disable-error-code="no-untyped-def, untyped-decorator, call-arg, arg-type"

import numba
import numpy as np

from vsrpp_cli.kernels import simd
from vsrpp_cli.kernels.compiling import compiled
from vsrpp_cli.kernels.loops import LINE, TILE, aligned, keep
from vsrpp_cli.kernels.training import simd as ops

LANES = simd.LANES
BLOCK, COLUMNS = 12, 32
"""Tiles and output channels of one matrix product: their sums fit the registers of AVX-512."""

SPAN = 144
"""Tiles whose transforms are in memory while gradients of weights are summed; even."""

GAP = 192
"""Bytes between the transforms of the 36 points, so that all fit into the first-level cache."""

ROWS = 8
"""Rows of sums of one matrix product for gradients of weights."""


@numba.njit(inline="always", error_model="numpy")
def _place(table, group, image, y, x):
    """Return the address of a pixel's group of channels."""
    start = table[group, 0] + image * table[group, 1]
    return start + y * table[group, 2] + x * table[group, 3]


@numba.njit(inline="always", error_model="numpy")
def _read(kind, table, group, image, height, width, y, x, zeros, target, stride):
    """Transform the 6x6 pixels around a tile; store in mode PLAIN of `training.simd`."""
    top, bottom = max(0, 1 - y), min(6, height + 1 - y)
    left, right = max(0, 1 - x), min(6, width + 1 - x)
    source = _place(table, group, image, y - 1, x - 1)
    row, pixel = table[group, 2], table[group, 3]
    if top == 0 and left == 0 and bottom == 6 and right == 6:
        ops.read_inner(kind, source, row, pixel, 0, 6, 0, 6, zeros, target, stride, 0)
    else:
        ops.read_edge(kind, source, row, pixel, top, bottom, left, right, zeros, target, stride, 0)


@numba.njit(inline="always", error_model="numpy")
def _read_half(kind, table, group, image, height, width, y, x, zeros, target, stride, high):
    """Transform the 6x6 pixels around a tile; store as the lower or higher half of pairs."""
    top, bottom = max(0, 1 - y), min(6, height + 1 - y)
    left, right = max(0, 1 - x), min(6, width + 1 - x)
    source = _place(table, group, image, y - 1, x - 1)
    row, pixel = table[group, 2], table[group, 3]
    inner = top == 0 and left == 0 and bottom == 6 and right == 6
    if inner and high:
        ops.read_inner_high(kind, source, row, pixel, 0, 6, 0, 6, zeros, target, stride, 0)
    elif inner:
        ops.read_inner_low(kind, source, row, pixel, 0, 6, 0, 6, zeros, target, stride, 0)
    elif high:
        ops.read_edge_high(
            kind, source, row, pixel, top, bottom, left, right, zeros, target, stride, 0
        )
    else:
        ops.read_edge_low(
            kind, source, row, pixel, top, bottom, left, right, zeros, target, stride, 0
        )


@numba.njit(inline="always", error_model="numpy")
def _spread_half(kind, table, group, image, height, width, y, x, zeros, target, stride, high, sums):
    """Transform the 4x4 pixels of a tile, stored as a half of pairs; add them to `sums`."""
    bottom, right = min(TILE, height - y), min(TILE, width - x)
    source = _place(table, group, image, y, x)
    row, pixel = table[group, 2], table[group, 3]
    inner = bottom == TILE and right == TILE
    if inner and high:
        ops.spread_inner_high(kind, source, row, pixel, 0, 4, 0, 4, zeros, target, stride, sums)
    elif inner:
        ops.spread_inner_low(kind, source, row, pixel, 0, 4, 0, 4, zeros, target, stride, sums)
    elif high:
        ops.spread_edge_high(
            kind, source, row, pixel, 0, bottom, 0, right, zeros, target, stride, sums
        )
    else:
        ops.spread_edge_low(
            kind, source, row, pixel, 0, bottom, 0, right, zeros, target, stride, sums
        )


@numba.njit(inline="always", error_model="numpy")
def _write(
    kind, source, stride, bias, slope, residual, mask, backward, target, row, pixel, bottom, right
):
    """Finish 16 channels of a tile by the variant of `training.simd` that suits."""
    if bottom == TILE and right == TILE:
        if backward and residual:
            ops.mask_inner_plus(
                kind, source, stride, bias, slope, residual, mask, target, row, pixel, 4, 4
            )
        elif backward:
            ops.mask_inner(kind, source, stride, bias, slope, 0, mask, target, row, pixel, 4, 4)
        elif residual:
            ops.write_inner_plus(
                kind, source, stride, bias, slope, residual, 0, target, row, pixel, 4, 4
            )
        else:
            ops.write_inner(kind, source, stride, bias, slope, 0, 0, target, row, pixel, 4, 4)
    elif backward and residual:
        ops.mask_edge_plus(
            kind, source, stride, bias, slope, residual, mask, target, row, pixel, bottom, right
        )
    elif backward:
        ops.mask_edge(kind, source, stride, bias, slope, 0, mask, target, row, pixel, bottom, right)
    elif residual:
        ops.write_edge_plus(
            kind, source, stride, bias, slope, residual, 0, target, row, pixel, bottom, right
        )
    else:
        ops.write_edge(kind, source, stride, bias, slope, 0, 0, target, row, pixel, bottom, right)


@numba.njit(inline="always", error_model="numpy")
def _multiply(kind, v, v_stride, weight, weight_stride, m, row, half):
    """Multiply a block of tiles, rows of `row` bytes, by a panel of outputs at all 36 points."""
    for i in range(36):
        a, b, c = v + i * v_stride, weight + i * weight_stride, m + i * BLOCK * COLUMNS * 4
        if half:
            ops.multiply_12_16(kind, a, row, 4, b, COLUMNS * 4, c, COLUMNS * 4, row // 4)
        else:
            ops.multiply_12_32(kind, a, row, 4, b, COLUMNS * 4, c, COLUMNS * 4, row // 4)


@compiled
def convolve(
    kind, sources, height, width, weight, bias, slope, residual, mask, backward, targets,
    tiles_y, tiles_x, first, last,
):  # fmt: skip
    """Convolve 3x3 with zero padding: tiles of 4x4 pixels, in blocks of 12 tiles.

    Args:
        kind: array whose dtype chooses the element type.
        sources: table of the images read.
        height: of the images, in pixels.
        width: of the images, in pixels.
        weight: address of weights, transformed by `transform_weight`.
        bias: address of float32, one for each channel written; unused if `backward`.
        slope: of the leaky ReLU, 1 for none; of the mask if `backward`.
        residual: distance in bytes from the image written to the image to add; 0 for none.
        mask: likewise, to the mask: gradients are multiplied by `slope` where it is not positive.
            May be 0 with a slope of 1.
        backward: whether this is the gradient of an input, which is masked.
        targets: table of the images written; addresses are 0 for those that are not needed.
        tiles_y: tiles down an image.
        tiles_x: tiles across an image.
        first: first tile, over all images.
        last: one past the last.
    """
    size = kind.itemsize
    c_in, c_out = len(sources) * LANES, len(targets) * LANES
    panels = (c_out + COLUMNS - 1) // COLUMNS
    transformed = np.empty(36 * BLOCK * c_in * size + LINE, np.uint8)
    products = np.empty(36 * BLOCK * COLUMNS * 4 + LINE, np.uint8)
    nothing = np.zeros(2 * LINE, np.uint8)
    v = aligned(transformed.ctypes.data)
    m = aligned(products.ctypes.data)
    zeros = aligned(nothing.ctypes.data)
    stride = BLOCK * c_in * size
    for start in range(first, last, BLOCK):
        count = min(BLOCK, last - start)
        for t in range(count):
            image, tile = divmod(start + t, tiles_y * tiles_x)
            y, x = tile // tiles_x * TILE, tile % tiles_x * TILE
            at = v + t * c_in * size
            for g in range(len(sources)):
                _read(
                    kind, sources, g, image, height, width, y, x, zeros,
                    at + g * LANES * size, stride,
                )  # fmt: skip
        for panel in range(panels):
            half = c_out - panel * COLUMNS < COLUMNS
            at = weight + panel * COLUMNS * c_in * size
            _multiply(kind, v, stride, at, panels * COLUMNS * c_in * size, m, c_in * size, half)
            for t in range(count):
                image, tile = divmod(start + t, tiles_y * tiles_x)
                y, x = tile // tiles_x * TILE, tile % tiles_x * TILE
                bottom, right = min(TILE, height - y), min(TILE, width - x)
                for k in range(1 if half else 2):
                    g = 2 * panel + k
                    if targets[g, 0]:
                        _write(
                            kind, m + (t * COLUMNS + k * LANES) * 4, BLOCK * COLUMNS * 4,
                            bias + g * LANES * 4, slope, residual, mask, backward,
                            _place(targets, g, image, y, x), targets[g, 2], targets[g, 3],
                            bottom, right,
                        )  # fmt: skip
    keep(transformed)
    keep(products)
    keep(nothing)


@numba.njit(inline="always", error_model="numpy")
def _add_products(kind, u, e, panel, sums, rows, c_out, steps):
    """Add the products of one panel of inputs and all outputs at one of the 36 points."""
    width = c_out * 4
    for column in range(0, c_out, COLUMNS):
        b = e + column // COLUMNS * panel
        c = sums + column * 4
        if c_out - column < COLUMNS:
            for r in range(0, rows, 2 * ROWS):
                ops.add_16_16(
                    kind, u + r * 4, 4, COLUMNS * 4, b, COLUMNS * 4, c + r * width, width, steps
                )
        else:
            for r in range(0, rows, ROWS):
                ops.add_8_32(
                    kind, u + r * 4, 4, COLUMNS * 4, b, COLUMNS * 4, c + r * width, width, steps
                )


@numba.njit(inline="always", error_model="numpy")
def _read_panel(kind, table, group, groups, start, count, height, width, zeros, target, stride):
    """Transform the input of `count` tiles for a panel's groups of channels, in pairs of tiles."""
    pair = 4 // kind.itemsize
    tiles_x = (width + TILE - 1) // TILE
    tiles = tiles_x * ((height + TILE - 1) // TILE)
    for t in range(count):
        image, tile = divmod(start + t, tiles)
        y, x = tile // tiles_x * TILE, tile % tiles_x * TILE
        for k in range(groups):
            at = target + (t // pair * COLUMNS + k * LANES) * 4
            _read_half(
                kind, table, group + k, image, height, width, y, x, zeros, at, stride,
                t % pair == 1,
            )  # fmt: skip


@compiled
def weight_gradient(kind, sources, gradients, images, height, width, weight, bias, first, last):
    """Sum the gradients of a 3x3 convolution's weights and bias over all pixels.

    Args:
        kind: array whose dtype chooses the element type.
        sources: table of the images that the convolution read.
        gradients: table of the gradients of its result.
        images: number of images.
        height: of the images, in pixels.
        width: of the images, in pixels.
        weight: address of the result, float32, shape (9, C_in, C_out).
        bias: address of the result, float32, shape (C_out,); written along with the first panel.
        first: first panel of 32 input channels.
        last: one past the last.
    """
    pair = 4 // kind.itemsize
    c_in, c_out = len(sources) * LANES, len(gradients) * LANES
    begin, end = first * COLUMNS, min(last * COLUMNS, c_in)
    panels = (c_out + COLUMNS - 1) // COLUMNS
    steps = SPAN // pair
    tiles_x = (width + TILE - 1) // TILE
    tiles = tiles_x * ((height + TILE - 1) // TILE)
    panel = steps * COLUMNS * 4
    u_stride, e_stride = panel + GAP, panels * panel + GAP
    inputs = np.empty(36 * u_stride + LINE, np.uint8)
    outputs = np.empty(36 * e_stride + LINE, np.uint8)
    totals = np.empty(36 * (end - begin) * c_out + LINE // 4, np.float32)
    pixels = np.empty(c_out + LINE // 4, np.float32)
    nothing = np.zeros(2 * LINE, np.uint8)
    totals[:] = np.float32(0)
    pixels[:] = np.float32(0)
    u, e = aligned(inputs.ctypes.data), aligned(outputs.ctypes.data)
    m, sums = aligned(totals.ctypes.data), aligned(pixels.ctypes.data)
    zeros = aligned(nothing.ctypes.data)
    for start in range(0, images * tiles, SPAN):
        count = min(SPAN, images * tiles - start)
        for t in range(count):
            image, tile = divmod(start + t, tiles)
            y, x = tile // tiles_x * TILE, tile % tiles_x * TILE
            for g in range(len(gradients)):
                at = e + (g // 2 * steps + t // pair) * COLUMNS * 4 + g % 2 * LANES * 4
                _spread_half(
                    kind, gradients, g, image, height, width, y, x, zeros, at,
                    e_stride, t % pair == 1, sums + g * LANES * 4,
                )  # fmt: skip
        for c in range(begin, end, COLUMNS):
            rows = min(COLUMNS, end - c)
            _read_panel(
                kind, sources, c // LANES, rows // LANES, start, count, height, width, zeros, u,
                u_stride,
            )  # fmt: skip
            for i in range(36):
                _add_products(
                    kind, u + i * u_stride, e + i * e_stride, panel,
                    m + (i * (end - begin) + c - begin) * c_out * 4, rows,
                    c_out, (count + pair - 1) // pair,
                )  # fmt: skip
    for c in range(begin * c_out, end * c_out, LANES):
        at = m + (c - begin * c_out) * 4
        ops.gather_weight(at, (end - begin) * c_out * 4, weight + c * 4, c_in * c_out * 4)
    if first == 0:
        for k in range(0, c_out, LANES):
            simd.move(pixels, sums + k * 4, bias + k * 4)
    keep(inputs)
    keep(outputs)
    keep(totals)
    keep(pixels)
    keep(nothing)


@compiled
def transform_weight(kind, source, tap, c_in, c_out, target):
    """Transform weights for `convolve`.

    Args:
        kind: array whose dtype chooses the element type of the result.
        source: address of float32, shape (9, c_in, c_out), of the first tap.
        tap: bytes from one tap to the next; negative to turn the kernel, `source` then is the
            address of the last tap.
        c_in: multiple of 16.
        c_out: multiple of 16.
        target: address of the result: shape (36, panels, c_in / pair, 32, pair) with the outputs in
            panels of 32.
    """
    size = kind.itemsize
    pair = 4 // size
    panels = (c_out + COLUMNS - 1) // COLUMNS
    stride = panels * c_in * COLUMNS * size
    for c in range(c_in):
        for k in range(0, c_out, LANES):
            at = source + (c * c_out + k) * 4
            panel = k // COLUMNS * c_in * COLUMNS * size
            place = target + panel + (c // pair * COLUMNS + k % COLUMNS) * 4
            if c % pair == 1:
                ops.spread_weight_high(kind, at, tap, place, stride)
            else:
                ops.spread_weight_low(kind, at, tap, place, stride)
