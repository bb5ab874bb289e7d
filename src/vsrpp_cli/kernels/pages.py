"""Memory for images, used again when an image of the same size is wanted.

The C library gives back a block of so many megabytes only to requests that are a little smaller,
for the alignment torch asks for needs room: a network that makes and drops images of one size all
the time grew to twice what it held. And fresh pages cost a page fault every 4 KiB.
"""

import mmap
import weakref
from collections import defaultdict

import numpy as np
import torch
from torch import Tensor

LEAST = 1 << 20
"""Smaller images are left to torch."""

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
    # The tensor keeps the array; when the last tensor on it is gone, so is the array.
    weakref.finalize(array, _free[size].append, pages).atexit = False
    return torch.from_numpy(array).view(dtype)


def release() -> None:
    """Give back to the system what no image uses."""
    _free.clear()
