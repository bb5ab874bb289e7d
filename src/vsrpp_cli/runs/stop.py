"""Asking a run to stop, from a signal handler or another thread."""

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from vsrpp_cli.errors import Interrupted, Terminated, VsrppError

INTERRUPTS = tuple(getattr(signal, n) for n in ("SIGINT", "SIGBREAK") if hasattr(signal, n))
"""What a terminal sends to the whole process group: Ctrl-C, and Ctrl-Break on Windows."""

BRIEFLY = "stopping after this step; Ctrl-C again stops now"
"""Messages of a stop before anything is computed, and after."""
TEXT = "stopped: give the same command again to go on"


class StopNow(BaseException):
    """Raised by a signal handler wherever the main thread is.

    Not an `Exception`, lest a handler for whatever a library may raise takes it for a failure.
    """


@dataclass
class StopToken:
    """A request to end the run, checked between segments.

    The run then ends with everything that was computed committed, by raising the error that
    `error` makes of the signal.
    """

    signal_number: int | None = None
    outlook: Callable[[], str] = lambda: BRIEFLY
    """Says when a run that is asked to stop will, and what another signal costs."""

    def request(self, signal_number: int = signal.SIGINT) -> None:
        """Ask the run to stop when what it is computing is safe."""
        self.signal_number = signal_number

    @contextmanager
    def foreseeing(self, outlook: Callable[[], str]) -> Iterator[None]:
        """Let `outlook` be that of what is done inside."""
        before, self.outlook = self.outlook, outlook
        try:
            yield
        finally:
            self.outlook = before

    @property
    def requested(self) -> bool:
        """Whether the run should stop."""
        return self.signal_number is not None

    @property
    def terminated(self) -> bool:
        """Whether it was SIGTERM, which a system sends before it kills."""
        return self.signal_number == signal.SIGTERM

    def error(self, text: str) -> VsrppError:
        """Return the error to raise: `Terminated` after SIGTERM, else `Interrupted`."""
        kind = Terminated if self.terminated else Interrupted
        return kind(text)

    @contextmanager
    def stopping_now(self) -> Iterator[None]:
        """Turn a `StopNow` from within into the error to raise."""
        try:
            yield
        except StopNow:
            raise self.error(TEXT) from None
