"""Ctrl-C and SIGTERM: the first asks, the second insists."""

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from vsrpp_cli.runs.stop import INTERRUPTS, StopNow, StopToken

STOPPING = (*INTERRUPTS, signal.SIGTERM)
HINT = "stopping when the segment under way is safe; once more to stop now"


@contextmanager
def stoppable(token: StopToken, say: Callable[[str], None]) -> Iterator[None]:
    """Let signals set `token`; a second one raises at once, wherever the main thread is."""

    def handle(number: int, _frame: FrameType | None) -> None:
        if token.requested:
            raise StopNow
        token.request(number)
        say(HINT)

    previous = {number: signal.signal(number, handle) for number in STOPPING}
    try:
        with token.stopping_now():
            yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
