"""Writing files that survive a crash: fsync, rename, fsync of the folder, in that order.

Everything a run needs later is written by these functions, which also raise `DiskFullError` for a
full disk.
"""

import errno
import hashlib
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from vsrpp_cli.errors import DiskFullError, UsageError

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""Error numbers for a full disk, quota or file size limit."""

_REFUSED = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR)
_NO_SYNC = (errno.EINVAL, errno.EBADF, errno.ENOTSUP, errno.EACCES, errno.EPERM)
"""Error numbers of systems that do not support fsync of a folder."""


@contextmanager
def disk_errors(path: Path, size: int | None = None) -> Iterator[None]:
    """Convert an `OSError` from writing `path` to an error of this project.

    Args:
        path: the file that is written.
        size: its size in bytes; None if unknown.

    Raises:
        DiskFullError: the disk or quota is full, or the file would be too large.
        UsageError: the path cannot be written, or a name is too long.
    """
    try:
        yield
    except OSError as error:
        if error.errno in FULL:
            bytes_ = "" if size is None else f", {size:,} bytes"
            raise DiskFullError(
                f"no space left for {path}{bytes_}: "
                "make room and give the same command again to go on"
            ) from error
        if error.errno in _REFUSED:
            raise UsageError(f"cannot write {path}: {os.strerror(error.errno or 0)}") from error
        if error.errno == errno.ENAMETOOLONG:
            name = error.filename2 or error.filename or path
            raise UsageError(f"{os.fspath(name)}: the name is too long, give another") from error
        raise


def fsync_path(path: Path) -> None:
    """Flush a file's content, or a folder's list of names, to disk.

    Windows and some network file systems do not support fsync of a folder, which is skipped there.
    """
    if path.is_dir():
        _fsync_folder(path)
        return
    with path.open("r+b") as file:  # Windows syncs only what may be written to
        os.fsync(file.fileno())


def _fsync_folder(path: Path) -> None:
    try:
        handle = os.open(path, os.O_RDONLY)
    except PermissionError:  # Windows opens no folder
        return
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in _NO_SYNC:
            raise
    finally:
        os.close(handle)


def fsync_tree(path: Path) -> None:
    """Make a file, or a folder of files and the folder itself, durable."""
    if path.is_dir():
        for child in sorted(path.iterdir()):
            fsync_tree(child)
    fsync_path(path)


def replace_durably(source: Path, target: Path) -> None:
    """Rename `source`, whose content is durable already, to `target` and make that durable."""
    source.replace(target)
    fsync_path(target.parent)


def longest_name(folder: Path) -> int:
    """Return how many bytes the name of a file in this folder may have."""
    try:
        return os.pathconf(folder, "PC_NAME_MAX")
    except (AttributeError, OSError, ValueError):  # Windows, or there is no such folder yet
        return 255


def beside(path: Path, before: str, stem: str, after: str) -> Path:
    """Return a path in the same folder, named by three parts; a stem that is too long is cut.

    The cut stem ends in a hash of the whole, so that different names stay different.
    """
    room = longest_name(path.parent) - len(os.fsencode(before + after))
    whole = os.fsencode(stem)
    if len(whole) > room:
        digits = hashlib.sha256(whole).hexdigest()[:8]
        stem = f"{whole[: room - 9].decode('utf-8', 'ignore')}-{digits}"
    return path.with_name(f"{before}{stem}{after}")


def write_durably(path: Path, data: bytes, *, temporary: Path | None = None) -> None:
    """Write a whole file atomically: it exists completely, or not at all.

    Args:
        path: the file.
        data: its content.
        temporary: its name until it is complete; give one if several processes may write it.
    """
    temporary = temporary or beside(path, "", path.name, ".tmp")
    with disk_errors(path, len(data)):
        try:
            with temporary.open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            replace_durably(temporary, path)
        except OSError:
            temporary.unlink(missing_ok=True)  # half a file only takes up room
            raise


def remove(path: Path) -> None:
    """Remove a file, or a folder with its content, if it exists; links are not followed."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        with suppress(FileNotFoundError):
            path.unlink()
