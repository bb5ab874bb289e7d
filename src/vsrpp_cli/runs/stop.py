"""Requests to stop a run, from a signal handler or another thread."""

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from vsrpp_cli.errors import Interrupted, Terminated, VsrppError

INTERRUPTS = tuple(getattr(signal, n) for n in ("SIGINT", "SIGBREAK") if hasattr(signal, n))
"""Signals that a terminal sends to the process group: Ctrl-C, and Ctrl-Break on Windows."""

BRIEFLY = "stopping after this step; Ctrl-C again stops now"
"""Messages: when a stop is requested before anything is computed; when a run was stopped."""
TEXT = "stopped: give the same command again to go on"


class StopNow(BaseException):
    """Raised by a signal handler in the main thread to stop at once.

    Not an `Exception`, so that no handler for errors of libraries catches it.
    """


@dataclass
class StopToken:
    """A request to end the run, checked between segments.

    All computed segments are then committed, and the run ends with the exception that `error`
    returns.
    """

    signal_number: int | None = None
    outlook: Callable[[], str] = lambda: BRIEFLY
    """Returns a sentence: when the run will stop, and what another signal would cost."""

    def request(self, signal_number: int = signal.SIGINT) -> None:
        """Ask the run to stop once the work in progress is saved."""
        self.signal_number = signal_number

    @contextmanager
    def foreseeing(self, outlook: Callable[[], str]) -> Iterator[None]:
        """Use `outlook` for the code inside."""
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
        """Whether it was SIGTERM, which systems send before SIGKILL."""
        return self.signal_number == signal.SIGTERM

    def error(self, text: str) -> VsrppError:
        """Return the error to raise: `Terminated` after SIGTERM, else `Interrupted`."""
        kind = Terminated if self.terminated else Interrupted
        return kind(text)

    @contextmanager
    def stopping_now(self) -> Iterator[None]:
        """Convert a `StopNow` raised inside into the error to raise."""
        try:
            yield
        except StopNow:
            raise self.error(TEXT) from None
