"""Standard input and output and FIFOs as file objects for FFmpeg.

Waiting for the other process can be interrupted: reads and writes wait `PATIENCE` seconds at a time
and give up if their data is not wanted any more.
"""

import errno
import io
import os
import select
import stat
import sys
from collections.abc import Callable

from vsrpp_cli.errors import InputError, PipeClosed, UsageError

STDIN, STDOUT = 0, 1
STANDARD_INPUT = ("-", "/dev/stdin", "/dev/fd/0", "/proc/self/fd/0")
STANDARD_OUTPUT = ("-", "/dev/stdout", "/dev/fd/1", "/proc/self/fd/1")

PATIENCE = 0.2
"""Seconds to wait before checking again whether the data is still wanted."""
PIECE = getattr(select, "PIPE_BUF", 512)
"""Bytes that can be written without blocking once a pipe is reported as writable (POSIX)."""


def is_input_pipe(name: str) -> bool:
    """Return whether an input is standard input or a FIFO, which can be read only once."""
    return name in STANDARD_INPUT or _is_fifo(name)


def is_output_pipe(name: str) -> bool:
    """Return whether an output is standard output or a FIFO, which cannot be sought in."""
    return name in STANDARD_OUTPUT or _is_fifo(name)


def _is_fifo(name: str) -> bool:
    try:
        return stat.S_ISFIFO(os.stat(name).st_mode)  # noqa: PTH116 - the name may be no valid path
    except (OSError, ValueError):
        return False


class InputPipe(io.RawIOBase):
    """An input pipe, as a file object for FFmpeg.

    Args:
        name: `-`, a FIFO, or a file that is to be read once.
        unwanted: called while there is nothing to read; the file ends when it returns True.

    Raises:
        InputError: it cannot be opened, or is a terminal.
    """

    def __init__(self, name: str, unwanted: Callable[[], bool]) -> None:
        super().__init__()
        self._unwanted = unwanted
        self._own = name not in STANDARD_INPUT
        try:
            self._descriptor = os.open(name, _READING) if self._own else STDIN
            regular = stat.S_ISREG(os.fstat(self._descriptor).st_mode)
        except OSError as error:
            raise InputError(f"{name}: cannot be read: {error.strerror}") from error
        if os.isatty(self._descriptor):
            raise InputError(f"{name}: is a terminal: pipe a video in, or give a file")
        _set_binary(self._descriptor)
        self._ready = _Readiness(self._descriptor, "POLLIN")
        self._seekable = regular
        self.received = 0
        """Bytes read so far; of a regular file its length."""

    def readable(self) -> bool:
        """Return True."""
        return True

    def seekable(self) -> bool:
        """Return whether it is a regular file."""
        return self._seekable

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Move to a position of a regular file and return it."""
        return os.lseek(self._descriptor, offset, whence)

    def tell(self) -> int:
        """Return the position in a regular file."""
        return os.lseek(self._descriptor, 0, os.SEEK_CUR)

    def read(self, size: int = -1) -> bytes:
        """Return up to `size` bytes; wait for at least one. Empty at the end."""
        if not self._wait():
            return b""
        data = os.read(self._descriptor, size if size > 0 else io.DEFAULT_BUFFER_SIZE)
        if self._seekable:
            self.received = os.fstat(self._descriptor).st_size
        else:
            self.received += len(data)
        return data

    def _wait(self) -> bool:
        """Return True when there is something to read or the end; False if it is unwanted."""
        while not self._unwanted():
            if self._ready.wait():
                return True
        return False

    def close(self) -> None:
        """Close it; standard input stays open."""
        if self._own and not self.closed:
            os.close(self._descriptor)
        super().close()


class OutputPipe(io.RawIOBase):
    """An output pipe, as a file object for FFmpeg.

    Args:
        name: `-` or a FIFO.

    Raises:
        UsageError: it is a terminal, or cannot be opened.
    """

    def __init__(self, name: str) -> None:
        super().__init__()
        self._own = name not in STANDARD_OUTPUT
        try:
            self._descriptor = os.open(name, _WRITING) if self._own else STDOUT
            os.fstat(self._descriptor)
        except OSError as error:
            raise UsageError(f"{name}: cannot be written: {error.strerror}") from error
        if os.isatty(self._descriptor):
            raise UsageError(f"{name}: is a terminal: pipe the result on, or give a file")
        _set_binary(self._descriptor)
        self._ready = _Readiness(self._descriptor, "POLLOUT")
        self._abandoned = False
        self.sent = 0
        """Bytes written."""

    @property
    def gone(self) -> bool:
        """Whether the reading end is closed, if that can be known without writing."""
        return self._ready.failed

    def abandon(self) -> None:
        """Make a waiting `write` and all later ones raise `PipeClosed`."""
        self._abandoned = True

    def writable(self) -> bool:
        """Return True."""
        return True

    def seekable(self) -> bool:
        """Return False, even for a regular file."""
        return False

    def write(self, data: "bytes | memoryview") -> int:  # type: ignore[override]
        """Write all of it.

        Raises:
            PipeClosed: the reading end is closed, or it was abandoned.
            OSError: it cannot be written, such as a file on a full disk.
        """
        rest = memoryview(data).cast("B")
        size = len(rest)
        while rest:
            self._wait()
            try:
                done = os.write(self._descriptor, rest[:PIECE])
            except OSError as error:
                if error.errno in (errno.EPIPE, errno.EINVAL):  # the latter on Windows
                    raise PipeClosed("nobody reads the output") from error
                raise
            rest = rest[done:]
        self.sent += size
        return size

    def _wait(self) -> None:
        while not self._abandoned:
            if self._ready.wait():
                return
        raise PipeClosed("the output was given up")

    def close(self) -> None:
        """Close it; standard output stays open."""
        if self._own and not self.closed:
            os.close(self._descriptor)
        super().close()


_BINARY = getattr(os, "O_BINARY", 0)
_READING, _WRITING = os.O_RDONLY | _BINARY, os.O_WRONLY | _BINARY


class _Readiness:
    """Tells whether one end of a pipe can be used without blocking.

    Windows has no `poll`: there the answer is always yes, and reads and writes may block.

    Args:
        descriptor: the end's file descriptor.
        event: `POLLIN` or `POLLOUT`.
    """

    def __init__(self, descriptor: int, event: str) -> None:
        self._descriptor = descriptor
        self._event = getattr(select, event, None)

    def wait(self) -> bool:
        """Wait up to `PATIENCE` seconds; return whether reading or writing would not block."""
        return self._event is None or bool(self._poll(self._event, PATIENCE))

    @property
    def failed(self) -> bool:
        """Whether the reading end is closed."""
        return self._event is not None and bool(self._poll(0, 0) & select.POLLERR)

    def _poll(self, event: int, seconds: float) -> int:
        # A poll object is for one thread at a time: each call has its own.
        poll = select.poll()
        poll.register(self._descriptor, event)
        return sum(events for _, events in poll.poll(seconds * 1000))


def _set_binary(descriptor: int) -> None:
    if sys.platform == "win32":
        import msvcrt  # noqa: PLC0415 - exists only on Windows

        msvcrt.setmode(descriptor, os.O_BINARY)
