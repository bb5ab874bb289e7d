"""Divides the work of kernels among threads."""

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
    """Call `work(first, last)` for parts of `range(blocks)` on several threads.

    The calling thread takes parts like the others, so that it need not wait for threads that have
    not started yet. Python threads are used, since kernels release the GIL: numba's own threading
    layers may not be entered from two threads at once, or bring a second OpenMP runtime beside
    torch's. Results do not depend on the number of threads.

    Args:
        work: computes a part.
        blocks: the number of blocks of work.
        threads: the number of threads; by default torch's.
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
            except IndexError:  # another thread has taken the last part
                return
            work(*part)

    pool = _pool(os.getpid(), threads - 1)
    helpers = [pool.submit(take_parts) for _ in range(min(threads, parts) - 1)]
    try:
        take_parts()
    finally:  # also after an interruption: kernels write to memory that is about to be freed
        left.clear()
        begun = [helper for helper in helpers if not helper.cancel()]
        wait(begun)
    for helper in begun:
        helper.result()
