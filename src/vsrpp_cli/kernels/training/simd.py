"""Vector instructions for convolutions in training; conventions are those of `kernels.simd`.

Three computations use the six points of Winograd's F(4, 3): the convolution, the gradient of its
input (a convolution with turned weights) and the gradient of its weights. For the latter, the input
(6 x 6 pixels) is transformed as usual, the gradient of the output (4 x 4 pixels) by the transpose
of the output's transform; their products are summed over all tiles, and the sums transformed by the
transpose of the weights' transform.
"""

# Intrinsics get types as arguments and may ignore them; llvmlite and numba have no type hints.
# ruff: noqa: ARG001, D417, PLR0913, PLR0917
# mypy: disable-error-code="no-untyped-def, no-untyped-call, import-untyped, attr-defined"

from collections.abc import Callable
from contextlib import nullcontext
from typing import Any, NamedTuple

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from vsrpp_cli.kernels.simd import (
    _I64,
    _WORDS,
    LANES,
    POINT_A,
    POINT_B,
    Builder,
    Value,
    _at,
    _both_ways,
    _constant,
    _fma,
    _input_line,
    _is_bf16,
    _load,
    _multiplier,
    _offset,
    _output_line,
    _read_square,
    _rounded,
    _splat,
    _store,
    _with_places,
)

PLAIN, LOW, HIGH = 0, 1, 2
"""How 16 results are stored: as they are, or as the lower or the upper halves of 16 pairs.

The processor's product of bfloat16 sums over pairs. In float32 all modes are the same.
"""


def _store_as(builder: Builder, value: Value, address: Value, mode: int, *, bf16: bool) -> None:
    """Store 16 results; in mode HIGH the lower halves of the pairs must have been stored."""
    if mode == PLAIN or not bf16:
        _store(builder, value, address, LANES, bf16=bf16)
        return
    words = builder.zext(_rounded(builder, value, LANES), _WORDS)
    place = _at(builder, address, _WORDS)
    if mode == HIGH:
        words = builder.shl(words, ir.Constant(_WORDS, [16] * LANES))
        words = builder.or_(words, builder.load(place, align=4))
    builder.store(words, place, align=4)


def _gradient_line(builder: Builder, y: list[Value]) -> list[Value]:
    """Multiply four values by the transpose of the transform of the output, A."""

    def ends(point: float) -> tuple[Value, Value]:
        even = _fma(builder, _constant(point**2), y[2], y[0])
        inner = _fma(builder, _constant(point**2), y[3], y[1])
        odd = builder.fmul(_constant(point), inner)
        return builder.fadd(even, odd), builder.fsub(even, odd)

    return [y[0], *ends(POINT_A), *ends(POINT_B), y[3]]


def _scales() -> tuple[float, float, float]:
    """Return the divisors of the weights' transform at 0, at +-A and at +-B."""
    a2, b2 = POINT_A**2, POINT_B**2
    return a2 * b2, 2 * a2 * (a2 - b2), 2 * b2 * (b2 - a2)


def _weight_line(builder: Builder, w: list[Value]) -> list[Value]:
    """Multiply three values by the transform of the weights, G."""
    zero, at_a, at_b = _scales()

    def ends(point: float, scale: float) -> tuple[Value, Value]:
        even = builder.fmul(_constant(1 / scale), w[0])
        even = _fma(builder, _constant(point**2 / scale), w[2], even)
        odd = builder.fmul(_constant(point / scale), w[1])
        return builder.fadd(even, odd), builder.fsub(even, odd)

    first = builder.fmul(_constant(1 / zero), w[0])
    return [first, *ends(POINT_A, at_a), *ends(POINT_B, at_b), w[2]]


def _weight_gradient_line(builder: Builder, m: list[Value]) -> list[Value]:
    """Multiply six values by the transpose of the transform of the weights, G^T."""
    zero, at_a, at_b = _scales()
    sum_a, difference_a = builder.fadd(m[1], m[2]), builder.fsub(m[1], m[2])
    sum_b, difference_b = builder.fadd(m[3], m[4]), builder.fsub(m[3], m[4])

    def combine(power: int, p: Value, q: Value) -> Value:
        q = builder.fmul(_constant(POINT_B**power / at_b), q)
        return _fma(builder, _constant(POINT_A**power / at_a), p, q)

    return [
        _fma(builder, _constant(1 / zero), m[0], combine(0, sum_a, sum_b)),
        combine(1, difference_a, difference_b),
        builder.fadd(m[5], combine(2, sum_a, sum_b)),
    ]


Line = Callable[[Builder, list[Value]], list[Value]]


def _reader(side: int, line: Line, mode: int, *, edge: bool, summed: bool) -> Any:
    """Return an intrinsic that transforms `side` x `side` pixels of 16 channels to 36 results.

    Args:
        side: of the square of pixels read.
        line: the transform of one line of them.
        mode: how to store.
        edge: whether pixels may lie outside the image; these are zeros.
        summed: whether the pixels are also added up.
    """

    @intrinsic
    def read(
        typingctx, kind, source, row, pixel, top, bottom, left, right, zeros, target, stride, sums
    ):
        """Read from `source`, write 36 results `stride` apart from `target` on.

        Lines outside `top` to `bottom` and pixels outside `left` to `right` are read from `zeros`
        instead. `sums` is the address of 16 float32.
        """
        bf16 = _is_bf16(kind)
        signature = types.void(kind, *[types.int64] * 11)

        def codegen(context: Any, builder: Builder, sig: Any, args: Any) -> Value:
            _, source, row, pixel, top, bottom, left, right, zeros, target, stride, sums = args

            def within(index: int, first: Value, last: Value) -> Value:
                return builder.and_(
                    builder.icmp_signed(">=", _I64(index), first),
                    builder.icmp_signed("<", _I64(index), last),
                )

            across = [within(i, left, right) for i in range(side)] if edge else []
            values = []
            for i in range(side):
                start = _offset(builder, source, row, i)
                at = [_offset(builder, start, pixel, j) for j in range(side)]
                if edge:
                    down = within(i, top, bottom)
                    at = [
                        builder.select(builder.and_(down, there), address, zeros)
                        for address, there in zip(at, across, strict=True)
                    ]
                values.append([_load(builder, address, LANES, bf16=bf16) for address in at])
            if summed:
                rows = [_sum(builder, line_) for line_ in values]
                total = builder.fadd(_load(builder, sums, LANES, bf16=False), _sum(builder, rows))
                _store(builder, total, sums, LANES, bf16=False)
            results = _both_ways(builder, values, line)
            for value, address in _with_places(builder, results, target, stride):
                _store_as(builder, value, address, mode, bf16=bf16)
            return context.get_dummy_value()

        return signature, codegen

    return read


def _sum(builder: Builder, values: list[Value]) -> Value:
    total = values[0]
    for value in values[1:]:
        total = builder.fadd(total, value)
    return total


read_inner = _reader(6, _input_line, PLAIN, edge=False, summed=False)
read_edge = _reader(6, _input_line, PLAIN, edge=True, summed=False)
read_inner_low = _reader(6, _input_line, LOW, edge=False, summed=False)
read_edge_low = _reader(6, _input_line, LOW, edge=True, summed=False)
read_inner_high = _reader(6, _input_line, HIGH, edge=False, summed=False)
read_edge_high = _reader(6, _input_line, HIGH, edge=True, summed=False)
spread_inner_low = _reader(4, _gradient_line, LOW, edge=False, summed=True)
spread_edge_low = _reader(4, _gradient_line, LOW, edge=True, summed=True)
spread_inner_high = _reader(4, _gradient_line, HIGH, edge=False, summed=True)
spread_edge_high = _reader(4, _gradient_line, HIGH, edge=True, summed=True)


class _After(NamedTuple):
    """Operations on results before they are stored, known at compile time."""

    gradient: bool
    """Whether they are the gradient of an input, which is multiplied where a mask is not positive.

    Otherwise a bias is added, and a leaky ReLU applied.
    """
    residual: bool
    """Whether an image is added: after the activation, or before the mask."""


class _Values(NamedTuple):
    """Operands: `scale` and `bias` for 16 channels; offsets of images from the one stored."""

    scale: Value
    bias: Value
    residual: Value
    mask: Value


def _finish(
    builder: Builder, value: Value, address: Value, after: _After, given: _Values, *, bf16: bool
) -> None:
    """Apply `after` to 16 results and store them at an address."""
    more = None
    if after.residual:
        more = _load(builder, builder.add(address, given.residual), LANES, bf16=bf16)
    if after.gradient:
        value = value if more is None else builder.fadd(value, more)
        sign = _load(builder, builder.add(address, given.mask), LANES, bf16=bf16)
    else:
        value = sign = builder.fadd(value, given.bias)
    positive = builder.fcmp_ordered(">", sign, _constant(0.0))
    value = builder.select(positive, value, builder.fmul(value, given.scale))
    if more is not None and not after.gradient:
        value = builder.fadd(value, more)
    _store(builder, value, address, LANES, bf16=bf16)


def _where(builder: Builder, i: int, bottom: Value, j: int, right: Value) -> Any:
    """Return a context whose code runs if i < `bottom` and j < `right`."""
    down = builder.icmp_signed("<", _I64(i), bottom)
    across = builder.icmp_signed("<", _I64(j), right)
    return builder.if_then(builder.and_(down, across))


def _writer(*, edge: bool, gradient: bool, residual: bool) -> Any:
    """Return an intrinsic that turns 36 products into 4 x 4 finished pixels of 16 channels.

    Args:
        edge: whether pixels may lie outside the image; these are not written.
        gradient: see `_After`.
        residual: likewise.
    """
    after = _After(gradient, residual)

    @intrinsic
    def write(
        typingctx, kind, source, stride, bias, slope, residual_, mask, target, row, pixel,
        bottom, right,
    ):  # fmt: skip
        """Read 36 products of 16 channels, float32, `stride` apart; write up to 4 x 4 pixels.

        Args:
            bias: address of 16 float32.
            slope: of the leaky ReLU, 1 for none; for gradients the factor where the image `mask` is
                not positive.
            residual_: offset of the image to add from `target`.
            mask: offset of the image that masks; 0 for none.
            target: address of the first pixel.
            bottom: rows to write.
            right: pixels of each row to write.
        """
        bf16 = _is_bf16(kind)
        i64 = types.int64
        signature = types.void(kind, i64, i64, i64, types.float32, *[i64] * 7)

        def codegen(context: Any, builder: Builder, sig: Any, args: Any) -> Value:
            _, source, stride, bias, slope, other, mask, target, row, pixel, bottom, right = args
            products = _read_square(builder, source, stride, 6)
            results = _both_ways(builder, products, _output_line)
            added = None if gradient else _load(builder, bias, LANES, bf16=False)
            given = _Values(_splat(builder, slope), added, other, mask)
            for i, line in enumerate(results):
                start = _offset(builder, target, row, i)
                for j, value in enumerate(line):
                    address = _offset(builder, start, pixel, j)
                    with _where(builder, i, bottom, j, right) if edge else nullcontext():
                        _finish(builder, value, address, after, given, bf16=bf16)
            return context.get_dummy_value()

        return signature, codegen

    return write


write_inner = _writer(edge=False, gradient=False, residual=False)
write_edge = _writer(edge=True, gradient=False, residual=False)
write_inner_plus = _writer(edge=False, gradient=False, residual=True)
write_edge_plus = _writer(edge=True, gradient=False, residual=True)
mask_inner = _writer(edge=False, gradient=True, residual=False)
mask_edge = _writer(edge=True, gradient=True, residual=False)
mask_inner_plus = _writer(edge=False, gradient=True, residual=True)
mask_edge_plus = _writer(edge=True, gradient=True, residual=True)


multiply_12_32 = _multiplier(12, 2, more=False)
multiply_12_16 = _multiplier(12, 1, more=False)
add_8_32 = _multiplier(8, 2, more=True)
add_16_16 = _multiplier(16, 1, more=True)


@intrinsic
def gather_weight(typingctx, source, source_stride, target, target_stride):
    """Transform 36 sums of 16 channels back to the gradients of 3 x 3 weights; all float32."""
    signature = types.void(*[types.int64] * 4)

    def codegen(context: Any, builder: Builder, sig: Any, args: Any) -> Value:
        source, source_stride, target, target_stride = args
        sums = _read_square(builder, source, source_stride, 6)
        results = _both_ways(builder, sums, _weight_gradient_line)
        for value, address in _with_places(builder, results, target, target_stride):
            _store(builder, value, address, LANES, bf16=False)
        return context.get_dummy_value()

    return signature, codegen


def _spreader(mode: int) -> Any:
    """Return an intrinsic that transforms 3 x 3 weights, stored in `mode`."""

    @intrinsic
    def spread_weight(typingctx, kind, source, source_stride, target, target_stride):
        """Transform 9 times 16 float32 weights to 36."""
        bf16 = _is_bf16(kind)
        signature = types.void(kind, *[types.int64] * 4)

        def codegen(context: Any, builder: Builder, sig: Any, args: Any) -> Value:
            _, source, source_stride, target, target_stride = args
            taps = _read_square(builder, source, source_stride, 3)
            results = _both_ways(builder, taps, _weight_line)
            for value, address in _with_places(builder, results, target, target_stride):
                _store_as(builder, value, address, mode, bf16=bf16)
            return context.get_dummy_value()

        return signature, codegen

    return spread_weight


spread_weight_low = _spreader(LOW)
spread_weight_high = _spreader(HIGH)
