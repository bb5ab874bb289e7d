"""Vector instructions for sampling with gradients that LLVM's own vectoriser does not find.

Unlike those of `kernels.simd` they take arrays (flat, float32) and indices (uint64), and runs of
any length, since groups may have any number of channels.
"""

# Intrinsics get types as arguments and may ignore them; llvmlite and numba have no type hints.
# ruff: noqa: ARG001, PLR0913, PLR0917
# mypy: disable-error-code="no-untyped-def, no-untyped-call, import-untyped, attr-defined"

from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from vsrpp_cli.kernels.simd import _F32, _I32, Builder, Value, _splat

_FAST = ("fast",)


class VectorOps(NamedTuple):
    """Arithmetic on runs of contiguous float32 values, as vector instructions.

    LLVM does not vectorise the corresponding loops: it does not know that the arrays do not
    overlap, and a check would cost more than these short runs gain.
    """

    blend: Callable[..., None]
    """blend(out, o, x, a, b, c, d, wa, wb, wc, wd): out[o:] = wa * x[a:] + wb * x[b:] + ..."""
    add: Callable[..., None]
    """add(out, o, w, x, a): out[o:] += w * x[a:]"""
    dots: Callable[..., None]
    """dots(out, o, x, a, y, b, c, d, e): out[o:] = sum(x[a:] * y[b:]), sum(x[a:] * y[c:]), ..."""


@cache
def vector_ops(lanes: int) -> VectorOps:
    """Return operations on runs of `lanes` values."""
    vector = ir.VectorType(_F32, lanes)
    return VectorOps(_blend(vector), _add(vector), _dots(vector))


def _pointer(
    context: Any, builder: Builder, vector: Any, kind: Any, array: Value, index: Value
) -> Value:
    data = context.make_array(kind)(context, builder, array).data
    return builder.bitcast(builder.gep(data, [index]), vector.as_pointer())


def _read(
    context: Any, builder: Builder, vector: Any, kind: Any, array: Value, index: Value
) -> Value:
    return builder.load(_pointer(context, builder, vector, kind, array, index), align=4)


def _scaled(builder: Builder, value: Value, weight: Value) -> Value:
    """Multiply a vector by a scalar."""
    return builder.fmul(value, _splat(builder, weight, value.type.count), flags=_FAST)


def _blend(vector: Any) -> Any:
    @intrinsic
    def blend(typing, out, o, x, a, b, c, d, wa, wb, wc, wd):
        def codegen(context: Any, builder: Builder, sig: Any, args: Any) -> Value:
            total = None
            for index, weight in zip(args[3:7], args[7:], strict=True):
                part = _read(context, builder, vector, sig.args[2], args[2], index)
                part = _scaled(builder, part, weight)
                total = part if total is None else builder.fadd(total, part, flags=_FAST)
            place = _pointer(context, builder, vector, sig.args[0], args[0], args[1])
            builder.store(total, place, align=4)
            return context.get_dummy_value()

        return types.void(out, types.uint64, x, *[types.uint64] * 4, *[types.float32] * 4), codegen

    return blend


def _add(vector: Any) -> Any:
    @intrinsic
    def add(typing, out, o, w, x, a):
        def codegen(context: Any, builder: Builder, sig: Any, args: Any) -> Value:
            place = _pointer(context, builder, vector, sig.args[0], args[0], args[1])
            part = _read(context, builder, vector, sig.args[3], args[3], args[4])
            total = builder.load(place, align=4)
            total = builder.fadd(total, _scaled(builder, part, args[2]), flags=_FAST)
            builder.store(total, place, align=4)
            return context.get_dummy_value()

        return types.void(out, types.uint64, types.float32, x, types.uint64), codegen

    return add


def _dots(vector: Any) -> Any:
    @intrinsic
    def dots(typing, out, o, x, a, y, b, c, d, e):
        def codegen(context: Any, builder: Builder, sig: Any, args: Any) -> Value:
            first = _read(context, builder, vector, sig.args[2], args[2], args[3])
            others = [
                _read(context, builder, vector, sig.args[4], args[4], index) for index in args[5:]
            ]
            sums = _sums(builder, [builder.fmul(first, other, flags=_FAST) for other in others])
            place = _pointer(context, builder, sums.type, sig.args[0], args[0], args[1])
            builder.store(sums, place, align=4)
            return context.get_dummy_value()

        return types.void(out, types.uint64, x, types.uint64, y, *[types.uint64] * 4), codegen

    return dots


def _sums(builder: Builder, vectors: list[Value]) -> Value:
    """Return a vector of the sums of each of four vectors."""
    lanes = vectors[0].type.count
    if lanes < 4 or lanes & (lanes - 1):
        return _sums_one_by_one(builder, vectors)
    # The four sums are computed together: each step adds neighbours of two vectors.
    first, second, third, fourth = vectors
    halves = _pairs(builder, first, second, lanes), _pairs(builder, third, fourth, lanes)
    parts = _pairs(builder, halves[0], halves[1], lanes)
    while parts.type.count > 4:
        parts = _pairs(builder, parts, parts, parts.type.count // 2)
    return parts


def _pairs(builder: Builder, first: Value, second: Value, count: int) -> Value:
    """Return the sums of neighbouring values of two vectors, `count` in all."""
    kind = ir.VectorType(_I32, count)
    even, odd = (
        builder.shuffle_vector(first, second, ir.Constant(kind, list(range(start, 2 * count, 2))))
        for start in range(2)
    )
    return builder.fadd(even, odd, flags=_FAST)


def _sums_one_by_one(builder: Builder, vectors: list[Value]) -> Value:
    vector = vectors[0].type
    kind = ir.FunctionType(_F32, [_F32, vector])
    name = f"llvm.vector.reduce.fadd.v{vector.count}f32"
    reduce = cgutils.get_or_insert_function(builder.module, kind, name)
    sums = ir.Constant(ir.VectorType(_F32, len(vectors)), ir.Undefined)
    for index, value in enumerate(vectors):
        total = builder.call(reduce, [ir.Constant(_F32, 0.0), value], fastmath=_FAST)
        sums = builder.insert_element(sums, total, _I32(index))
    return sums
