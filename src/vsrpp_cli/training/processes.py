"""The processes that share a training step, as ``torchrun`` starts them."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass

import torch
import torch.distributed as dist


@dataclass(frozen=True)
class Processes:
    """The number of processes, and which of them this one is."""

    rank: int = 0
    count: int = 1
    local_rank: int = 0
    """Rank among the processes of its machine: the number of its GPU."""

    @property
    def first(self) -> bool:
        """Whether this is the process that writes files."""
        return self.rank == 0

    def agree(self, wish: bool) -> bool:
        """Return whether `wish` is True in any process; the result is the same in all."""
        if self.count == 1:
            return wish
        vote = torch.tensor([int(wish)])
        if dist.get_backend() == "nccl":
            vote = vote.cuda()
        dist.all_reduce(vote, op=dist.ReduceOp.MAX)
        return bool(vote.item())


@contextlib.contextmanager
def joined(device_type: str) -> Iterator[Processes]:
    """Join the processes that ``torchrun`` started; without it this process is alone.

    Args:
        device_type: ``cuda`` communicates over NCCL, any other over Gloo.
    """
    count = int(os.environ.get("WORLD_SIZE", "1"))
    if count == 1:
        yield Processes()
        return
    dist.init_process_group("nccl" if device_type == "cuda" else "gloo")
    try:
        yield Processes(dist.get_rank(), count, int(os.environ.get("LOCAL_RANK", "0")))
    finally:
        dist.destroy_process_group()
