"""Converts errors of PyAV and the operating system while writing into this project's errors."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import av.error

from vsrpp_cli.durable import FULL
from vsrpp_cli.errors import DiskFullError, EncoderError


@contextmanager
def output_errors(path: Path, doing: str) -> Iterator[None]:
    """Convert errors raised inside to one that names `path`.

    Raises:
        DiskFullError: no space, no quota, or a file larger than the file system allows.
        EncoderError: anything else that FFmpeg or the system refuses.
    """
    try:
        yield
    except (av.error.FFmpegError, OSError) as error:
        if getattr(error, "errno", None) in FULL:
            raise DiskFullError(f"{path}: {_space(path)}") from error
        reason = getattr(error, "strerror", None) or str(error)
        raise EncoderError(f"{path}: {doing} failed: {reason}") from error


def _space(path: Path) -> str:
    try:
        free = shutil.disk_usage(path.parent).free
    except OSError:
        return "the disk is full"
    return f"the disk is full ({free:,} bytes free): make room and repeat the command"
