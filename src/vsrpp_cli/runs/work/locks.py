"""Locks on work folders, on local and on shared disks.

On a local disk the kernel holds the lock, and releases it when the process ends. On network file
systems kernel locks may have no effect, fail or hang (`flock` and POSIX locks on NFS, SMB, FUSE);
there the lock is a file that is renewed every few seconds. Workers take no lock on such disks: they
do not need one (see `marks`).
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
"""Beginnings of the names of file systems that several machines may share. All FUSE file systems
count, since some of them (s3fs, sshfs, JuiceFS) have no locks beyond the machine."""

LEASE = 20.0
"""Seconds without renewal after which the lock of another machine is void."""


def is_shared(path: Path) -> bool:
    """Return whether other machines may share the file system of `path`, existing or not."""
    place = os.path.realpath(path)
    if place.startswith("\\\\"):  # Windows: \\server\share
        return True
    mounts = [m for m in psutil.disk_partitions(all=True) if _is_below(place, m.mountpoint)]
    # Of several mounts at one place, the last one is visible.
    mount = max(reversed(mounts), key=lambda m: len(m.mountpoint), default=None)
    return mount is not None and (
        mount.fstype.lower().startswith(NETWORK) or "remote" in mount.opts.split(",")
    )


def _is_below(place: str, mountpoint: str) -> bool:
    return place == mountpoint or place.startswith(mountpoint.rstrip(os.sep) + os.sep)


def short_lock(path: Path) -> AbstractContextManager[object]:
    """Return a context manager that waits for a lock: for short writes to a shared file."""
    if is_shared(path.parent):
        return SoftFileLease(_lease_path(path), lease_duration=LEASE)
    return FileLock(path)


@contextmanager
def held(path: Path, *, shared: bool = False) -> Iterator[None]:
    """Hold the lock file `path`, without waiting for it.

    Args:
        path: the file.
        shared: whether others may hold it at the same time, if they share it too.

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
    # A dead process on this machine is detected at once, one on another machine after LEASE.
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
    """Return the path of a lease's file, which is removed at the end (kernel locks' are not)."""
    return path.with_name(f"{path.name}.lease")


def _busy(path: Path) -> WorkFolderBusyError:
    return WorkFolderBusyError(f"another run is working in {path.parent}: wait for it or stop it")
