"""Writing that survives a crash: fsync, rename, fsync of the folder, in that order.

Everything a run puts on disk for later goes through these functions, which is also where a full
disk becomes a `DiskFullError`.
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
"""What the operating system says when there is no room."""

_REFUSED = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR)
_NO_SYNC = (errno.EINVAL, errno.EBADF, errno.ENOTSUP, errno.EACCES, errno.EPERM)
"""What systems say that cannot make a folder's list of names durable on request."""


@contextmanager
def disk_errors(path: Path, size: int | None = None) -> Iterator[None]:
    """Turn the operating system's refusals to write at `path` into errors of ours.

    Args:
        path: what is written.
        size: its bytes, where they are known.

    Raises:
        DiskFullError: no space, quota or file size left.
        UsageError: the place may not be written to, or cannot be; or a name is too long.
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
    """Make the file's content, or the folder's list of names, durable.

    Windows and some network file systems know no fsync of a folder; there a rename is as durable
    as the system makes it.
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

    The cut one ends in digits made from the whole, so that different names stay different.
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
        temporary: its name until then, where several may write it at once.
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
    """Remove a file or a folder with all it holds, if it is there; links alone are removed."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        with suppress(FileNotFoundError):
            path.unlink()
