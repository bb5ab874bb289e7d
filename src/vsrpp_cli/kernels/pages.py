"""Memory for images, reused for images of the same size.

The C library reuses a large block only for slightly smaller requests, because torch asks for an
alignment. A process that allocates and frees images of one size all the time would grow to twice
the memory it needs. New pages also cost a page fault every 4 KiB.
"""

import mmap
import weakref
from collections import defaultdict

import numpy as np
import torch
from torch import Tensor

LEAST = 1 << 20
"""Bytes; smaller images are allocated by torch."""

_free: defaultdict[int, list[mmap.mmap]] = defaultdict(list)


def empty(count: int, dtype: torch.dtype) -> Tensor:
    """Return `count` uninitialised elements in the machine's memory, shape (count,)."""
    size = count * dtype.itemsize
    if size < LEAST:
        return torch.empty(count, dtype=dtype)
    try:
        pages = _free[size].pop()
    except IndexError:
        pages = mmap.mmap(-1, size)
    array = np.frombuffer(pages, np.uint8)
    # The array lives as long as the last tensor that uses it.
    weakref.finalize(array, _free[size].append, pages).atexit = False
    return torch.from_numpy(array).view(dtype)


def release() -> None:
    """Return unused memory to the system."""
    _free.clear()
