"""Makes Python on Linux lack what Windows lacks: put this folder first on PYTHONPATH.

`fcntl` and `resource` cannot be imported by our modules (libraries that have a Windows side of
their own keep them), functions of POSIX alone are gone, and folders cannot be opened or fsynced.
"""

import builtins
import os
import shutil
import sys
from pathlib import Path

MODULES = frozenset({"fcntl", "resource", "pwd", "grp", "termios"})
FUNCTIONS = (
    "fork", "forkpty", "sched_getaffinity", "sched_setaffinity", "sched_setscheduler",
    "sched_getscheduler", "setpriority", "getpriority", "statvfs", "fstatvfs", "pread", "pwrite",
    "killpg", "setsid", "getpgid", "setpgid", "mkfifo", "mknod",
)  # fmt: skip

_import, _open, _statvfs = builtins.__import__, os.open, os.statvfs


def _ours(name, importer=None, *rest, **named):
    if name in MODULES and str((importer or {}).get("__name__", "")).startswith("vsrpp_cli"):
        raise ModuleNotFoundError(f"No module named {name!r}", name=name)
    return _import(name, importer, *rest, **named)


def _no_folders(path, *rest, **named):
    if not isinstance(path, int) and Path(os.fsdecode(path)).is_dir():
        raise PermissionError(13, "Permission denied", path)
    return _open(path, *rest, **named)


def _disk_usage(path):
    """Do what Windows has a call of its own for, whose place `os.statvfs` takes on POSIX."""
    found = _statvfs(path)
    return shutil._ntuple_diskusage(
        found.f_blocks * found.f_frsize,
        (found.f_blocks - found.f_bfree) * found.f_frsize,
        found.f_bavail * found.f_frsize,
    )


if sys.platform == "linux":
    builtins.__import__ = _ours
    os.open = _no_folders
    shutil._use_fd_functions = False
    shutil.disk_usage = _disk_usage
    for function in FUNCTIONS:
        if hasattr(os, function):
            delattr(os, function)
