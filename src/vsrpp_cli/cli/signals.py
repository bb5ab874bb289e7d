"""Ctrl-C and SIGTERM: the first asks, the second insists."""

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from vsrpp_cli.runs.stop import INTERRUPTS, StopNow, StopToken

STOPPING = (*INTERRUPTS, signal.SIGTERM)
ALARM = (signal.SIGALRM,) if hasattr(signal, "SIGALRM") else ()
"""Windows has none, and sends no SIGTERM either: it kills."""


@contextmanager
def stoppable(
    token: StopToken, say: Callable[[str], None], grace: float | None = None
) -> Iterator[None]:
    """Let signals set `token`; a second one raises at once, wherever the main thread is.

    Args:
        token: what is set.
        say: told that it was.
        grace: seconds after SIGTERM until it is as if the second one came.
    """

    def handle(number: int, _frame: FrameType | None) -> None:
        if token.requested:
            raise StopNow
        token.request(number)
        limited = ALARM and token.terminated and grace is not None
        if limited:
            # Even a grace of 0 is a moment: a timer of 0 would be none.
            signal.setitimer(signal.ITIMER_REAL, max(grace or 0.0, 1e-3))
        text = token.outlook()
        say(f"{text}; in {grace:g} s it stops in any case" if limited else text)

    previous = {number: signal.signal(number, handle) for number in (*STOPPING, *ALARM)}
    try:
        with token.stopping_now():
            yield
    finally:
        if ALARM:
            signal.setitimer(signal.ITIMER_REAL, 0)
        for number, handler in previous.items():
            signal.signal(number, handler)
