"""How much memory the machine has in total, and how much of it a run takes by default."""

from pathlib import Path

import psutil

from vsrpp_cli.inference.machine.cgroups import ROOT, settings

SHARE = 0.6
"""Of the machine's or container's total memory; the rest is for everybody else and for error."""

_UNLIMITED = 1 << 60
"""Control groups of version 1 say "no limit" with a number beyond this."""


def default_limit() -> int:
    """Return the bytes a run may use by default: a fixed share of the total."""
    return int(total_memory() * SHARE)


def total_memory(root: Path = ROOT) -> int:
    """Return the bytes of memory of the machine, or of the container if it allows less.

    What happens to be free plays no part, so the answer is the same for each run and worker.

    Args:
        root: where the `proc` and `sys` that tell of control groups are found.
    """
    texts = settings("memory", "memory.max", "memory.limit_in_bytes", root=root)
    limits = [int(text) for text in texts if text.isdigit()]
    return min([int(psutil.virtual_memory().total), *(n for n in limits if n < _UNLIMITED)])
