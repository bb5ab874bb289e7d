"""How much memory the machine has in total, and how much of it a run takes by default."""

import ctypes
import os
import sys
from pathlib import Path

SHARE = 0.6
"""Of the machine's or container's total memory; the rest is for everybody else and for error."""

_UNLIMITED = 1 << 60
"""Control groups of version 1 say "no limit" with a number beyond this."""


def default_limit() -> int:
    """Return the bytes a run may use unless told otherwise: a fixed share of the total."""
    return int(total_memory() * SHARE)


def total_memory(root: Path = Path("/")) -> int:
    """Return the bytes of memory of the machine, or of the container if it allows less.

    What happens to be free plays no part, so the answer is the same for each run and worker.

    Args:
        root: where `proc` and `sys` are found.
    """
    limits = [_machine(root), *_cgroup_limits(root)]
    return min(limits)


def _machine(root: Path) -> int:
    meminfo = root / "proc/meminfo"
    if meminfo.exists():
        for line in meminfo.read_text().splitlines():
            if line.startswith("MemTotal:"):
                return int(line.split()[1]) * 1024
    return _elsewhere()


def _elsewhere() -> int:
    """Return the machine's memory where there is no /proc (macOS, Windows)."""
    if sys.platform == "win32":
        return _windows()
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _windows() -> int:
    class Status(ctypes.Structure):
        _fields_ = (
            ("length", ctypes.c_ulong),
            ("load", ctypes.c_ulong),
            ("total", ctypes.c_ulonglong),
            ("rest", ctypes.c_ulonglong * 6),
        )

    status = Status(length=ctypes.sizeof(Status))
    ctypes.windll.kernel32.GlobalMemoryStatusEx(ctypes.byref(status))  # type: ignore[attr-defined]
    return int(status.total)


def _cgroup_limits(root: Path) -> list[int]:
    """Return the limits of this process's control group and those above it, version 1 and 2."""
    table = root / "proc/self/cgroup"
    if not table.exists():
        return []
    found = []
    for line in table.read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers == "":
            found += _limits(root / "sys/fs/cgroup", path, "memory.max")
        elif "memory" in controllers.split(","):
            found += _limits(root / "sys/fs/cgroup/memory", path, "memory.limit_in_bytes")
    return found


def _limits(mount: Path, path: str, name: str) -> list[int]:
    group = mount / path.lstrip("/")
    limits = []
    # Inside a container the group's own path may not be there: the mount's root then is the group.
    for folder in (group, *group.parents):
        if not folder.is_relative_to(mount):
            break
        file = folder / name
        if file.exists() and (text := file.read_text().strip()).isdigit():
            limits.append(int(text))
    return [limit for limit in limits if limit < _UNLIMITED]
