"""Locks on work folders, on disks of this machine and on those that machines share.

On a disk of its own the kernel keeps the lock and lets go of it with the process that held it. Over
a network that may do nothing, fail or hang (`flock` and POSIX locks on NFS, SMB, FUSE), so there a
file that is renewed every few seconds stands for the lock. Workers take none over a network: what
they write needs none (see `marks`).
"""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import psutil
from filelock import FileLock, ReadWriteLock, SoftFileLease, Timeout

from vsrpp_cli.errors import UsageError, WorkFolderBusyError

NETWORK = (
    "nfs", "cifs", "smb", "afs", "lustre", "gpfs", "beegfs", "ceph", "glusterfs", "orangefs",
    "panfs", "9p", "virtiofs", "ocfs2", "gfs2", "davfs", "webdav", "fuse.", "osxfuse", "macfuse",
)  # fmt: skip
"""How the types of file systems begin that several machines may see. With FUSE anybody may, and
some (s3fs, sshfs, JuiceFS) have no locks that reach beyond the machine."""

LEASE = 20.0
"""Seconds after which the lock of another machine that has died is no longer heeded."""


def is_shared(path: Path) -> bool:
    """Whether other machines may see the file system that `path`, existing or not, is on."""
    place = os.path.realpath(path)
    if place.startswith("\\\\"):  # Windows: \\server\share
        return True
    mounts = [m for m in psutil.disk_partitions(all=True) if _is_below(place, m.mountpoint)]
    # Of several at one place the last one mounted is seen.
    mount = max(reversed(mounts), key=lambda m: len(m.mountpoint), default=None)
    return mount is not None and (
        mount.fstype.lower().startswith(NETWORK) or "remote" in mount.opts.split(",")
    )


def _is_below(place: str, mountpoint: str) -> bool:
    return place == mountpoint or place.startswith(mountpoint.rstrip(os.sep) + os.sep)


def short_lock(path: Path) -> AbstractContextManager[object]:
    """Return a lock for as long as it takes to write something, which waits for its turn."""
    if is_shared(path.parent):
        return SoftFileLease(_lease_path(path), lease_duration=LEASE)
    return FileLock(path)


@contextmanager
def held(path: Path, *, shared: bool = False) -> Iterator[None]:
    """Hold the lock file `path`, or raise.

    Args:
        path: the file.
        shared: whether others may hold it, too, if they share it.

    Raises:
        WorkFolderBusyError: another process holds it.
        UsageError: it cannot be held.
    """
    if not is_shared(path.parent):
        with _kernel_lock(path, shared=shared):
            yield
    elif shared:
        yield
    else:
        with _lease(path):
            yield


@contextmanager
def _kernel_lock(path: Path, *, shared: bool) -> Iterator[None]:
    lock = ReadWriteLock(path, blocking=False, is_singleton=False)
    acquire = lock.acquire_read if shared else lock.acquire_write
    try:
        try:
            acquire()
        except Timeout:
            raise _busy(path) from None
        except sqlite3.Error as error:  # the library's lock is a lock on an SQLite file
            raise UsageError(f"cannot lock {path}: {error}") from error
        yield
    finally:
        lock.close()


@contextmanager
def _lease(path: Path) -> Iterator[None]:
    # A process that died here is known to be dead at once; of one elsewhere only time can tell.
    lease = SoftFileLease(_lease_path(path), lease_duration=LEASE, timeout=1.5 * LEASE)
    try:
        lease.acquire()
    except Timeout:
        raise _busy(path) from None
    try:
        yield
    finally:
        lease.release()


def _lease_path(path: Path) -> Path:
    """Return the path of a lease's file; it is removed at the end, unlike those of kernel locks."""
    return path.with_name(f"{path.name}.lease")


def _busy(path: Path) -> WorkFolderBusyError:
    return WorkFolderBusyError(f"another run is working in {path.parent}: wait for it or stop it")
