"""How all kernels share their work between threads."""

import os
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from functools import cache
from itertools import pairwise
from typing import Any

import torch


@cache
def _pool(_process: int, threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads, thread_name_prefix="kernel")


def in_parallel(work: Callable[[int, int], Any], blocks: int, threads: int | None = None) -> None:
    """Call `work(first, last)` for parts of `blocks`, on `threads` threads, by default torch's.

    This thread takes parts like the others, so that none is waited for that has yet to wake. They
    are threads of Python, and the kernels let go of its lock: numba's own layers either may not be
    entered from two threads at once or bring a second OpenMP that torch's waits for. Results do not
    depend on the number of threads.
    """
    threads = threads or torch.get_num_threads()
    parts = 1 if threads == 1 else min(blocks, 4 * threads)
    if parts == 1:
        work(0, blocks)
        return
    left = deque(pairwise([blocks * i // parts for i in range(parts + 1)]))

    def take_parts() -> None:
        while left:
            try:
                part = left.popleft()
            except IndexError:  # another was quicker
                return
            work(*part)

    pool = _pool(os.getpid(), threads - 1)
    helpers = [pool.submit(take_parts) for _ in range(min(threads, parts) - 1)]
    try:
        take_parts()
    finally:  # interrupted, the kernels still write to memory that is about to be freed
        left.clear()
        begun = [helper for helper in helpers if not helper.cancel()]
        wait(begun)
    for helper in begun:
        helper.result()
