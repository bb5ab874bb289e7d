"""The machine's total memory, and the share of it that a run may use by default."""

from pathlib import Path

import psutil

from vsrpp_cli.inference.machine.cgroups import ROOT, settings

SHARE = 0.6
"""Share of the machine's or container's total memory that a run may use by default; the rest is for
other programs and for errors of the prediction."""

_UNLIMITED = 1 << 60
"""Version 1 of control groups expresses "no limit" by a number above this."""


def default_limit() -> int:
    """Return the bytes a run may use by default: a fixed share of the total."""
    return int(total_memory() * SHARE)


def total_memory(root: Path = ROOT) -> int:
    """Return the bytes of memory of the machine, or of the container if it allows less.

    This is not the free memory, so the answer is the same for each run and worker.

    Args:
        root: the folder that contains the `proc` and `sys` of control groups.
    """
    texts = settings("memory", "memory.max", "memory.limit_in_bytes", root=root)
    limits = [int(text) for text in texts if text.isdigit()]
    return min([int(psutil.virtual_memory().total), *(n for n in limits if n < _UNLIMITED)])
