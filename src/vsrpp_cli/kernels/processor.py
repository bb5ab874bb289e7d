"""The processor for which numba compiles: its features, and how to use its vector registers."""

# mypy: disable-error-code="no-untyped-call, attr-defined"

import platform
from functools import cache
from typing import NamedTuple

from numba.core import config
from numba.core.codegen import get_host_cpu_features


@cache
def features() -> frozenset[str]:
    """Return LLVM's names of the features of this processor, or of NUMBA_CPU_FEATURES."""
    text = get_host_cpu_features() if config.CPU_FEATURES is None else config.CPU_FEATURES
    return frozenset(name[1:] for name in str(text).split(",") if name.startswith("+"))


class Vectors(NamedTuple):
    """How matrix products use the processor's vector registers."""

    width: int
    """float32 values of one register."""
    rows: int
    """Rows of sums that are kept in registers."""
    columns: int
    """Columns of these sums; a multiple of 16."""
    unrolled: int
    """Steps of a sum in one iteration of the loop; at most 4."""
    block: int
    """Rows that are multiplied by the same columns one after another; a multiple of `rows`."""


def vectors() -> Vectors:
    """Return what suits the processor: sums, a row of factors and a splat fill its registers.

    For other instruction sets vectors have four values, which LLVM supports everywhere.
    """
    if "avx512f" in features():
        return Vectors(16, 12, 32, 1, 12)  # 24 vectors of sums in 32 registers
    if "avx" in features():
        return Vectors(8, 6, 16, 4, 24)  # 12 in 16
    if platform.machine() in {"arm64", "aarch64"}:
        return Vectors(4, 6, 16, 1, 24)  # 24 in 32, none left for another step's factors
    return Vectors(4, 3, 16, 1, 24)  # 12 in 16
