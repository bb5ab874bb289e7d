"""Vector instructions for numba kernels that LLVM's own vectoriser does not find.

The public functions are intrinsics for use inside `numba.njit`. Memory is given by its address, an
integer as `Tensor.data_ptr()` returns it; strides are in bytes. Elements are float32 or bfloat16,
chosen at compile time by the dtype of `kind`, an array that is never read: float32, or uint16 for
bfloat16, which numba lacks. Arithmetic is in float32, except that matrix products of bfloat16 use
the processor's instruction for them if it has one.
"""

# Intrinsics get types as arguments and may ignore them; llvmlite and numba have no type hints.
# ruff: noqa: ARG001, D417, PLR0913, PLR0917
# mypy: disable-error-code="no-untyped-def, no-untyped-call, import-untyped, attr-defined"

from collections.abc import Callable, Iterator
from functools import partial
from itertools import product
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from vsrpp_cli.kernels.processor import features, vectors

LANES = 16
"""Channels of kernels' inputs and outputs are a multiple of this, on every processor."""

WIDTH, TILE_ROWS, TILE_COLUMNS, _UNROLLED, BLOCK = vectors()
"""See `processor.Vectors`."""

TANH_ABOVE = (
    -2.76076847742355e-16,
    2.00018790482477e-13,
    -8.60467152213735e-11,
    5.12229709037114e-08,
    1.48572235717979e-05,
    6.37261928875436e-04,
    4.89352455891786e-03,
)
TANH_BELOW = (
    1.19825839466702e-06,
    1.18534705686654e-04,
    2.26843463243900e-03,
    4.89352518554385e-03,
)
"""Eigen's rational function for tanh: coefficients of powers of x^2, the highest first."""

POINT_A = 2.0 / 3.0
POINT_B = 4.0 / 3.0
"""Interpolation points of Winograd's F(4, 3) are 0, +-A, +-B and infinity.

In bfloat16 they lose 6 dB less than the usual 1 and 2: one convolution has 53 dB computed directly,
40 dB with these points and 33 dB with those. In float32 the losses are negligible.
"""

_F32 = ir.FloatType()
_I16 = ir.IntType(16)
_I32 = ir.IntType(32)
_I64 = ir.IntType(64)
_VECTOR = ir.VectorType(_F32, LANES)
_WORDS = ir.VectorType(_I32, LANES)

Value = Any
Builder = Any


class _BFloat(ir.Type):  # type: ignore[misc]
    """LLVM's bfloat, which llvmlite lacks."""

    def _to_string(self) -> str:
        return "bfloat"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _BFloat)

    def __hash__(self) -> int:
        return hash(_BFloat)


_BF16 = _BFloat()


def _is_bf16(kind: Any) -> bool:
    return bool(kind.dtype == types.uint16)


def _has_bf16_product() -> bool:
    """Return whether the processor has an instruction for products of bfloat16 pairs."""
    return "avx512bf16" in features()


def _at(builder: Builder, address: Value, kind: Any) -> Value:
    return builder.inttoptr(address, kind.as_pointer())


def _load(builder: Builder, address: Value, lanes: int, *, bf16: bool) -> Value:
    """Load `lanes` elements as a float32 vector."""
    if not bf16:
        vector = ir.VectorType(_F32, lanes)
        return builder.load(_at(builder, address, vector), align=4)
    raw = builder.load(_at(builder, address, ir.VectorType(_I16, lanes)), align=2)
    wide = ir.VectorType(_I32, lanes)
    shift = ir.Constant(wide, [16] * lanes)
    return builder.bitcast(builder.shl(builder.zext(raw, wide), shift), ir.VectorType(_F32, lanes))


def _store(builder: Builder, value: Value, address: Value, lanes: int, *, bf16: bool) -> None:
    """Store a float32 vector, rounding to nearest even."""
    if bf16:
        value = _rounded(builder, value, lanes)
    builder.store(value, _at(builder, address, value.type), align=2 if bf16 else 4)


def _rounded(builder: Builder, value: Value, lanes: int) -> Value:
    """Return the bits of float32 values as bfloat16, rounded to nearest even; NaN stays NaN."""
    narrow = ir.VectorType(_I16, lanes)
    if _has_bf16_product():
        return builder.bitcast(builder.fptrunc(value, ir.VectorType(_BF16, lanes)), narrow)
    wide = ir.VectorType(_I32, lanes)

    def number(bits: int) -> Value:
        return ir.Constant(wide, [bits] * lanes)

    bits = builder.bitcast(value, wide)
    odd = builder.and_(builder.lshr(bits, number(16)), number(1))
    up = builder.add(bits, builder.add(number(0x7FFF), odd))
    wrong = builder.fcmp_unordered("uno", value, value)
    up = builder.select(wrong, number(0x7FC00000), up)
    return builder.trunc(builder.lshr(up, number(16)), narrow)


def _splat(builder: Builder, scalar: Value, lanes: int = LANES) -> Value:
    vector = ir.VectorType(scalar.type, lanes)
    first = builder.insert_element(ir.Constant(vector, ir.Undefined), scalar, _I32(0))
    zeros = ir.Constant(ir.VectorType(_I32, lanes), [0] * lanes)
    return builder.shuffle_vector(first, ir.Constant(vector, ir.Undefined), zeros)


def _constant(value: float, lanes: int = LANES) -> Value:
    return ir.Constant(ir.VectorType(_F32, lanes), [value] * lanes)


def _fma(builder: Builder, a: Value, b: Value, c: Value) -> Value:
    kind = ir.FunctionType(a.type, [a.type] * 3)
    name = f"llvm.fmuladd.v{a.type.count}f32"
    function = cgutils.get_or_insert_function(builder.module, kind, name)
    return builder.call(function, [a, b, c])


def _offset(builder: Builder, address: Value, stride: Value, count: int) -> Value:
    return builder.add(address, builder.mul(stride, _I64(count)))


# --- matrix product -----------------------------------------------------------------------------


def _product(builder: Builder, sums: Value, a: Value, b: Value, *, bf16: bool) -> Value:
    """Return sums + a * b; `a` and `b` are vectors of 32 bits: a float32 or a pair of bfloat16."""
    vector, words = sums.type, a.type
    if not bf16:
        return _fma(builder, builder.bitcast(a, vector), builder.bitcast(b, vector), sums)
    if _has_bf16_product():
        pairs = ir.VectorType(_BF16, 2 * words.count)
        kind = ir.FunctionType(vector, [vector, pairs, pairs])
        name = f"llvm.x86.avx512bf16.dpbf16ps.{32 * words.count}"
        function = cgutils.get_or_insert_function(builder.module, kind, name)
        return builder.call(function, [sums, builder.bitcast(a, pairs), builder.bitcast(b, pairs)])
    high = ir.Constant(words, [0xFFFF0000] * words.count)
    shift = ir.Constant(words, [16] * words.count)
    odd = [builder.bitcast(builder.and_(x, high), vector) for x in (a, b)]
    even = [builder.bitcast(builder.shl(x, shift), vector) for x in (a, b)]
    return _fma(builder, odd[0], odd[1], _fma(builder, even[0], even[1], sums))


def _repeated(
    builder: Builder,
    steps: Value,
    starts: list[Value],
    advance: Callable[[Value, list[Value]], list[Value]],
    unrolled: int = 1,
) -> list[Value]:
    """Build a loop: return `starts` after `steps` applications of `advance(step, values)`.

    `steps` is at least one and a multiple of `unrolled`, the steps of one iteration.
    """
    entry = builder.block
    body, done = builder.append_basic_block("k"), builder.append_basic_block("k.done")
    builder.branch(body)
    builder.position_at_end(body)
    step = builder.phi(_I64)
    step.add_incoming(_I64(0), entry)
    values = ends = [builder.phi(start.type) for start in starts]
    for ahead in range(unrolled):
        ends = advance(builder.add(step, _I64(ahead)) if ahead else step, ends)
    following = builder.add(step, _I64(unrolled))
    step.add_incoming(following, body)
    builder.cbranch(builder.icmp_signed("<", following, steps), body, done)
    for value, start, end in zip(values, starts, ends, strict=True):
        value.add_incoming(start, entry)
        value.add_incoming(end, body)
    builder.position_at_end(done)
    return ends


def _multiplier(rows: int, count: int, *, more: bool, lanes: int = LANES, unrolled: int = 1) -> Any:
    """Return an intrinsic for products of `rows` rows by `lanes` * `count` columns.

    Args:
        rows: of the result.
        count: vectors in each row.
        more: whether the sums are added to the values in memory.
        lanes: values of a vector.
        unrolled: see `_repeated`.
    """
    words = ir.VectorType(_I32, lanes)

    @intrinsic
    def multiply(typingctx, kind, a, a_row, a_step, b, b_step, c, c_row, steps):
        """Write, or add, `c[i, j] = sum_k a[i, k] * b[k, j]`, float32.

        A step of the sum takes 4 bytes of each: one float32, or a pair of bfloat16.
        """
        bf16 = _is_bf16(kind)
        signature = types.void(kind, *[types.int64] * 8)

        def codegen(context: Any, builder: Builder, sig: Any, args: Any) -> Value:
            _, a, a_row, a_step, b, b_step, c, c_row, steps = args
            starts = [_offset(builder, c, c_row, i) for i in range(rows)]
            places = [builder.add(at, _I64(4 * lanes * j)) for at in starts for j in range(count)]
            lefts = [_offset(builder, a, a_row, i) for i in range(rows)]

            def advance(step: Value, sums: list[Value]) -> list[Value]:
                at_a = builder.mul(step, a_step)
                at_b = builder.add(b, builder.mul(step, b_step))
                right = [
                    builder.load(
                        _at(builder, builder.add(at_b, _I64(4 * lanes * j)), words), align=4
                    )
                    for j in range(count)
                ]
                totals = []
                for i in range(rows):
                    left = builder.load(_at(builder, builder.add(lefts[i], at_a), _I32), align=4)
                    left = _splat(builder, left, lanes)
                    for j in range(count):
                        total = sums[i * count + j]
                        totals.append(_product(builder, total, left, right[j], bf16=bf16))
                return totals

            first = [
                _load(builder, place, lanes, bf16=False) if more else _constant(0.0, lanes)
                for place in places
            ]
            totals = _repeated(builder, steps, first, advance, unrolled)
            for total, place in zip(totals, places, strict=True):
                _store(builder, total, place, lanes, bf16=False)
            return context.get_dummy_value()

        return signature, codegen

    return multiply


matrix_tile = _multiplier(
    TILE_ROWS, TILE_COLUMNS // WIDTH, more=False, lanes=WIDTH, unrolled=_UNROLLED
)
"""Computes `TILE_ROWS` x `TILE_COLUMNS` sums. `b` is packed: for each step 4 bytes of each column,
one float32 or two neighbouring bfloat16. The number of steps is a multiple of 4."""


# --- Winograd's transforms ----------------------------------------------------------------------


def _input_line(builder: Builder, x: list[Value]) -> list[Value]:
    """Multiply six values by the transform of the input, B^T."""
    a2, b2 = POINT_A**2, POINT_B**2
    constant = partial(_constant, lanes=x[0].type.count)

    def minus(p: Value, factor: float, q: Value) -> Value:
        return _fma(builder, constant(-factor), q, p)

    even_a, odd_a = minus(x[4], b2, x[2]), minus(x[3], b2, x[1])
    even_b, odd_b = minus(x[4], a2, x[2]), minus(x[3], a2, x[1])
    pa, pb = constant(POINT_A), constant(POINT_B)
    na, nb = constant(-POINT_A), constant(-POINT_B)
    return [
        _fma(builder, constant(a2 * b2), x[0], minus(x[4], a2 + b2, x[2])),
        _fma(builder, pa, odd_a, even_a),
        _fma(builder, na, odd_a, even_a),
        _fma(builder, pb, odd_b, even_b),
        _fma(builder, nb, odd_b, even_b),
        _fma(builder, constant(a2 * b2), x[1], minus(x[5], a2 + b2, x[3])),
    ]


def _output_line(builder: Builder, m: list[Value]) -> list[Value]:
    """Multiply six values by the transform of the output, A^T."""
    sum_a, difference_a = builder.fadd(m[1], m[2]), builder.fsub(m[1], m[2])
    sum_b, difference_b = builder.fadd(m[3], m[4]), builder.fsub(m[3], m[4])
    constant = partial(_constant, lanes=m[0].type.count)

    def combine(power: int, p: Value, q: Value) -> Value:
        q = builder.fmul(constant(POINT_B**power), q)
        return _fma(builder, constant(POINT_A**power), p, q)

    return [
        builder.fadd(m[0], builder.fadd(sum_a, sum_b)),
        combine(1, difference_a, difference_b),
        combine(2, sum_a, sum_b),
        builder.fadd(m[5], combine(3, difference_a, difference_b)),
    ]


def _both_ways(
    builder: Builder, rows: list[list[Value]], line: Callable[[Builder, list[Value]], list[Value]]
) -> list[list[Value]]:
    """Transform the columns, then the rows."""
    columns = [line(builder, list(column)) for column in zip(*rows, strict=True)]
    return [line(builder, list(row)) for row in zip(*columns, strict=True)]


def _read_square(
    builder: Builder, source: Value, stride: Value, side: int, lanes: int = LANES
) -> list[list[Value]]:
    """Load `side` x `side` vectors of float32, all `stride` apart, as rows."""
    places = [_offset(builder, source, stride, i) for i in range(side * side)]
    values = [_load(builder, place, lanes, bf16=False) for place in places]
    return [values[i : i + side] for i in range(0, side * side, side)]


def _with_places(
    builder: Builder, rows: list[list[Value]], target: Value, stride: Value
) -> Iterator[tuple[Value, Value]]:
    """Yield the values of all rows, each with its address; addresses are `stride` apart."""
    for index, value in enumerate(value for row in rows for value in row):
        yield value, _offset(builder, target, stride, index)


@intrinsic
def winograd_input(typingctx, kind, source, row_stride, pixel_stride, target, target_stride):
    """Transform 6 x 6 pixels of `WIDTH` channels; write the 36 results `target_stride` apart."""
    bf16 = _is_bf16(kind)
    signature = types.void(kind, *[types.int64] * 5)

    def codegen(context: Any, builder: Builder, sig: Any, args: Any) -> Value:
        _, source, row_stride, pixel_stride, target, target_stride = args
        rows = []
        for i in range(6):
            row = _offset(builder, source, row_stride, i)
            at = [_offset(builder, row, pixel_stride, j) for j in range(6)]
            rows.append([_load(builder, address, WIDTH, bf16=bf16) for address in at])
        results = _both_ways(builder, rows, _input_line)
        for value, address in _with_places(builder, results, target, target_stride):
            _store(builder, value, address, WIDTH, bf16=bf16)
        return context.get_dummy_value()

    return signature, codegen


@intrinsic
def winograd_output(typingctx, source, source_stride, target):
    """Transform 36 products of `WIDTH` channels, float32, back to 4 x 4 pixels.

    Pixels are written 16 values apart.
    """
    signature = types.void(*[types.int64] * 3)

    def codegen(context: Any, builder: Builder, sig: Any, args: Any) -> Value:
        source, source_stride, target = args
        products = _read_square(builder, source, source_stride, 6, WIDTH)
        results = _both_ways(builder, products, _output_line)
        for value, address in _with_places(builder, results, target, _I64(4 * LANES)):
            _store(builder, value, address, WIDTH, bf16=False)
        return context.get_dummy_value()

    return signature, codegen


@intrinsic
def finish(typingctx, kind, source, bias, residual, slope, target):
    """Store leaky_relu(sums + bias) + residual for 16 channels.

    `source` and `bias` are addresses of 16 float32. An address of 0 means no residual, a slope of 1
    no activation.
    """
    bf16 = _is_bf16(kind)
    signature = types.void(kind, types.int64, types.int64, types.int64, types.float32, types.int64)

    def codegen(context: Any, builder: Builder, sig: Any, args: Any) -> Value:
        _, source, bias, residual, slope, target = args
        value = builder.fadd(
            _load(builder, source, LANES, bf16=False), _load(builder, bias, LANES, bf16=False)
        )
        scaled = builder.fmul(value, _splat(builder, slope))
        positive = builder.fcmp_ordered(">", value, _constant(0.0))
        value = builder.select(positive, value, scaled)
        plain = builder.block
        add, store = builder.append_basic_block("add"), builder.append_basic_block("store")
        builder.cbranch(builder.icmp_signed("!=", residual, _I64(0)), add, store)
        builder.position_at_end(add)
        added = builder.fadd(value, _load(builder, residual, LANES, bf16=bf16))
        builder.branch(store)
        builder.position_at_end(store)
        result = builder.phi(_VECTOR)
        result.add_incoming(value, plain)
        result.add_incoming(added, add)
        _store(builder, result, target, LANES, bf16=bf16)
        return context.get_dummy_value()

    return signature, codegen


# --- sampling -----------------------------------------------------------------------------------


def _minimum(builder: Builder, a: Value, b: Value) -> Value:
    less = builder.icmp_signed if isinstance(a.type.element, ir.IntType) else builder.fcmp_ordered
    return builder.select(less("<", a, b), a, b)


def _maximum(builder: Builder, a: Value, b: Value) -> Value:
    more = builder.icmp_signed if isinstance(a.type.element, ir.IntType) else builder.fcmp_ordered
    return builder.select(more(">", a, b), a, b)


def _tanh(builder: Builder, x: Value) -> Value:
    """Return the hyperbolic tangent by a rational function (Eigen's), exact to a few ulps."""
    constant = partial(_constant, lanes=x.type.count)
    x = _minimum(builder, _maximum(builder, x, constant(-7.9)), constant(7.9))
    square = builder.fmul(x, x)

    def polynomial(*coefficients: float) -> Value:
        total = constant(coefficients[0])
        for coefficient in coefficients[1:]:
            total = _fma(builder, total, square, constant(coefficient))
        return total

    above, below = polynomial(*TANH_ABOVE), polynomial(*TANH_BELOW)
    return builder.fdiv(builder.fmul(x, above), below)


def _axis(builder: Builder, position: Value, size: Value) -> tuple[Value, Value, Value, Value]:
    """Return the two neighbouring indices of float positions, clamped, and their weights.

    Indices outside 0...size-1 have the weight 0.
    """
    vector, integers, lanes = position.type, size.type, size.type.count
    constant = partial(_constant, lanes=lanes)
    one, zero = ir.Constant(integers, [1] * lanes), ir.Constant(integers, [0] * lanes)
    limit = builder.sitofp(size, vector)
    position = _minimum(builder, _maximum(builder, position, constant(-1.0)), limit)
    kind = ir.FunctionType(vector, [vector])
    floor = cgutils.get_or_insert_function(builder.module, kind, f"llvm.floor.v{lanes}f32")
    whole = builder.call(floor, [position])
    first = builder.fptosi(whole, integers)
    second = builder.add(first, one)
    fraction = builder.fsub(position, whole)
    rest = builder.fsub(constant(1.0), fraction)
    nothing, final = constant(0.0), builder.sub(size, one)
    inside = builder.and_(
        builder.icmp_signed(">=", first, zero), builder.icmp_signed("<", first, size)
    )
    first_weight = builder.select(inside, rest, nothing)
    second_weight = builder.select(builder.icmp_signed("<", second, size), fraction, nothing)
    first = _minimum(builder, _maximum(builder, first, zero), final)
    return first, _minimum(builder, second, final), first_weight, second_weight


@intrinsic
def locate(
    typingctx, kind, raw, table, plane, y, x, second_y, second_x, height, width, pixel, reach, out
):
    """Turn the raw offsets and masks of `WIDTH` samples into addresses and weights of corners.

    All arrays consist of planes of `plane` values. `raw` has y, x and mask; `table` has y and x of
    the taps (float32), the offset of the group's channels in bytes and whether the sample is of the
    second image (int32); `out` gets four offsets in bytes (int32) and four weights (float32).

    Args:
        kind: array whose dtype is the element type of `raw`.
        raw: address of the first sample's y.
        table: address of the first sample's entry.
        plane: samples in a plane.
        y: float32, the pixel's position plus the flow to the first image.
        x: likewise.
        second_y: float32, the pixel's position plus the flow to the second image.
        second_x: likewise.
        height: of the images, in pixels.
        width: of the images, in pixels.
        pixel: bytes of a pixel.
        reach: float32, largest offset beside the flow, in pixels.
        out: address of the first sample's first offset.
    """
    bf16 = _is_bf16(kind)
    f32, i64 = types.float32, types.int64
    signature = types.void(kind, i64, i64, i64, f32, f32, f32, f32, i64, i64, i64, f32, i64)

    def codegen(context: Any, builder: Builder, sig: Any, args: Any) -> Value:
        _, raw, table, plane, y, x, second_y, second_x, height, width, pixel, reach, out = args
        words, raw_plane = builder.mul(plane, _I64(4)), builder.mul(plane, _I64(2 if bf16 else 4))
        integers, vector = ir.VectorType(_I32, WIDTH), ir.VectorType(_F32, WIDTH)
        splat = partial(_splat, builder, lanes=WIDTH)

        def said(index: int) -> Value:
            return _load(builder, _offset(builder, raw, raw_plane, index), WIDTH, bf16=bf16)

        def entry(index: int) -> Value:
            address = _offset(builder, table, words, index)
            return builder.load(_at(builder, address, integers), align=4)

        second = builder.icmp_signed("!=", entry(3), ir.Constant(integers, [0] * WIDTH))
        reach_ = splat(reach)

        def position(index: int, base: Value, second_base: Value) -> Value:
            from_ = builder.select(second, splat(second_base), splat(base))
            tap = builder.bitcast(entry(index), vector)
            return _fma(builder, reach_, _tanh(builder, said(index)), builder.fadd(from_, tap))

        def size(value: Value) -> Value:
            return splat(builder.trunc(value, _I32))

        half = _constant(0.5, WIDTH)
        mask = _fma(builder, half, _tanh(builder, builder.fmul(half, said(2))), half)
        top, bottom, *weights = _axis(builder, position(0, y, second_y), size(height))
        rows = zip((top, bottom), [builder.fmul(mask, weight) for weight in weights], strict=True)
        left, right, *weights = _axis(builder, position(1, x, second_x), size(width))
        columns = zip((left, right), weights, strict=True)
        group = entry(2)
        for index, (row, column) in enumerate(product(rows, columns)):
            place = builder.add(builder.mul(row[0], size(width)), column[0])
            place = builder.add(builder.mul(place, size(pixel)), group)
            weight = builder.fmul(row[1], column[1])
            at, weight_at = (_offset(builder, out, words, index + part) for part in (0, 4))
            builder.store(place, _at(builder, at, integers), align=4)
            _store(builder, weight, weight_at, WIDTH, bf16=False)
        return context.get_dummy_value()

    return signature, codegen


def _sampler(lanes: int) -> Any:
    """Return an intrinsic that interpolates `lanes` channels between four pixels."""

    @intrinsic
    def sample(typingctx, kind, image, at, plane, target):
        """Sample `image` (an address) at the corners and weights that `locate` wrote to `at`."""
        bf16 = _is_bf16(kind)
        signature = types.void(kind, *[types.int64] * 4)

        def codegen(context: Any, builder: Builder, sig: Any, args: Any) -> Value:
            _, image, at, plane, target = args
            total = _constant(0.0, lanes)
            for corner in range(4):
                offset = builder.load(
                    _at(builder, _offset(builder, at, plane, 4 * corner), _I32), align=4
                )
                weight = builder.load(
                    _at(builder, _offset(builder, at, plane, 16 + 4 * corner), _F32), align=4
                )
                place = builder.add(image, builder.sext(offset, _I64))
                value = _load(builder, place, lanes, bf16=bf16)
                total = _fma(builder, _splat(builder, weight, lanes), value, total)
            _store(builder, total, target, lanes, bf16=bf16)
            return context.get_dummy_value()

        return signature, codegen

    return sample


sample_2 = _sampler(2)
sample_4 = _sampler(4)
sample_8 = _sampler(8)
sample_16 = _sampler(16)


@intrinsic
def blend(typingctx, kind, p, q, r, s, p_weight, q_weight, r_weight, s_weight, target):
    """Write the weighted sum of 16 elements at four addresses."""
    bf16 = _is_bf16(kind)
    signature = types.void(kind, *[types.int64] * 4, *[types.float32] * 4, types.int64)

    def codegen(context: Any, builder: Builder, sig: Any, args: Any) -> Value:
        places, weights, target = args[1:5], args[5:9], args[9]
        total = _constant(0.0)
        for place, weight in zip(places, weights, strict=True):
            value = _load(builder, place, LANES, bf16=bf16)
            total = _fma(builder, _splat(builder, weight), value, total)
        _store(builder, total, target, LANES, bf16=bf16)
        return context.get_dummy_value()

    return signature, codegen


@intrinsic
def move(typingctx, kind, source, target):
    """Copy 16 elements; write zeros if the source's address is 0."""
    bf16 = _is_bf16(kind)
    signature = types.void(kind, types.int64, types.int64)

    def codegen(context: Any, builder: Builder, sig: Any, args: Any) -> Value:
        _, source, target = args
        vector = ir.VectorType(_I16 if bf16 else _I32, LANES)
        with builder.if_else(builder.icmp_signed("!=", source, _I64(0))) as (then, otherwise):
            with then:
                value = builder.load(_at(builder, source, vector), align=2 if bf16 else 4)
                builder.store(value, _at(builder, target, vector), align=2 if bf16 else 4)
            with otherwise:
                zero = ir.Constant(vector, [0] * LANES)
                builder.store(zero, _at(builder, target, vector), align=2 if bf16 else 4)
        return context.get_dummy_value()

    return signature, codegen
