"""Showing progress on stderr: a bar, plain lines or JSON lines."""

import sys
import time
from collections.abc import Iterable
from typing import Any, Self

from vsrpp_cli.cli.events import write_event, write_result
from vsrpp_cli.cli.text import echo, shown
from vsrpp_cli.runs.account import Account
from vsrpp_cli.runs.amounts import counted, duration, size
from vsrpp_cli.runs.progress import LABELS, UNITS, PhaseBars, Progress

LINE_INTERVAL = 10.0
"""Seconds between plain lines where stderr is no terminal."""

JSON_INTERVAL = 0.2


class Display:
    """Shows `Progress` records and lines of text; this one shows nothing."""

    def __init__(self) -> None:
        self.told: list[str] = []
        """The notes that were shown, which need not be shown again at the end."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def __call__(self, progress: Progress) -> None:
        """Show one record."""

    def begin(self) -> None:
        """Show that the command has started, before there is progress to show."""

    def say(self, text: str) -> None:
        """Show a line of text."""

    def tell(self, kind: str | None, text: str) -> None:  # noqa: ARG002 - of interest to programs
        """Show a line of text about a kind of thing: `item`, `model`, `resume` or `stop`."""
        self.say(text)

    def _is_text(self, progress: Progress) -> bool:
        """Show a record that is a line of text rather than a step of a phase, and say so."""
        if progress.phase == "note":
            self.told.append(progress.text)
            self.say(f"note: {progress.text}")
        elif progress.phase in ("model", "plan"):
            self.say(progress.text)
        elif progress.phase == "resume":
            self.say(_resuming(progress))
        else:
            return False
        return True


def _resuming(progress: Progress) -> str:
    total = counted(progress.total or 0, "frame")
    return f"resuming: {progress.text} done, {progress.done} of {total}"


def make_display(mode: str) -> Display:
    """Return the display for `--progress`; `auto` is a bar on a terminal, else lines."""
    if mode == "auto":
        mode = "bar" if sys.stderr.isatty() else "lines"
    return {"bar": Bar, "lines": Lines, "json": JsonLines, "none": Display}[mode]()


class Bar(Display):
    """A tqdm bar with frames, frames a second and the time left."""

    def __init__(self) -> None:
        super().__init__()
        from tqdm import tqdm  # not needed for --help, which must not wait for it

        self._bars = PhaseBars(tqdm, file=sys.stderr, dynamic_ncols=True)

    def __exit__(self, *_: object) -> None:
        self._bars.close()

    def begin(self) -> None:
        """Show a line that the first phase replaces."""
        self._bars.begin("starting")

    def __call__(self, progress: Progress) -> None:
        """Move the bar; each phase has one of its own."""
        if not self._is_text(progress):
            self._bars(progress)

    def say(self, text: str) -> None:
        """Write a line above the bar."""
        from tqdm import tqdm

        tqdm.write(shown(text), file=sys.stderr)


class Lines(Display):
    """A plain line at the beginning of each phase and every few seconds."""

    def __init__(self) -> None:
        super().__init__()
        self._phase = ""
        self._began = 0.0
        self._first = 0
        self._last = 0.0

    def __call__(self, progress: Progress) -> None:
        """Write a line if it is time for one."""
        now = time.monotonic()
        if self._is_text(progress):
            return
        if progress.phase != self._phase:
            self._phase, self._began, self._last = progress.phase, now, now
            self._first = progress.done
            self.say(f"{LABELS[progress.phase]} {progress.text or '...'}")
        elif now - self._last >= LINE_INTERVAL or progress.done == progress.total:
            self._last = now
            self.say(self._line(progress, now - self._began))

    def _line(self, progress: Progress, seconds: float) -> str:
        if progress.phase == "download":
            return f"downloading: {size(progress.done)} of {size(progress.total or 0)}"
        total = counted(progress.total, "frame") if progress.total else "? frames"
        text = f"{LABELS[progress.phase]}: {progress.done} of {total}"
        rate = (progress.done - self._first) / seconds if seconds > 0 else 0.0
        if rate > 0:
            text += f", {rate:.2f} frames/s"
            if progress.total and progress.done < progress.total:
                text += f", {duration((progress.total - progress.done) / rate)} left"
        return text

    def say(self, text: str) -> None:
        """Write a line."""
        echo(text, err=True)


class JsonLines(Display):
    """Events, one JSON object a line; see `vsrpp_cli.cli.events`."""

    def __init__(self) -> None:
        super().__init__()
        self._phase = ("", "")
        self._last = 0.0
        self._began = self._phase_began = time.monotonic()
        self._first = 0

    def __call__(self, progress: Progress) -> None:
        """Write an event, at most a few a second and always the first and last of a phase."""
        if progress.phase == "note":
            self.told.append(progress.text)
            self.tell(progress.kind, progress.text)
        elif progress.phase in ("model", "plan"):
            self.tell(progress.phase, progress.text)
        elif progress.phase == "resume":
            self.tell("resume", _resuming(progress))
        elif self._is_due(progress):
            self.step(progress)

    def step(self, progress: Progress, **facts: Any) -> None:
        """Write an event of a step, with more facts about it."""
        self._last = time.monotonic()
        if self._phase != (progress.phase, progress.text):
            self._phase = progress.phase, progress.text
            self._phase_began, self._first = self._last, progress.done
        rate, left = self._speed(progress)
        write_event(
            "progress",
            phase=progress.phase,
            done=progress.done,
            total=progress.total,
            elapsed=round(self._last - self._began, 3),
            fps=rate if progress.phase not in UNITS else None,
            eta=left,
            segment=progress.segment,
            text=progress.text,
            **facts,
        )

    def _speed(self, progress: Progress) -> tuple[float | None, float | None]:
        """Return steps a second of this phase, and the seconds it still takes, where known."""
        seconds, done = self._last - self._phase_began, progress.done - self._first
        if seconds <= 0 or done <= 0:
            return None, None
        left = None if progress.total is None else (progress.total - progress.done) * seconds / done
        return round(done / seconds, 3), left if left is None else round(left, 1)

    def _is_due(self, progress: Progress) -> bool:
        again = self._phase == (progress.phase, progress.text) and progress.done != progress.total
        return not again or time.monotonic() - self._last >= JSON_INTERVAL

    def say(self, text: str) -> None:
        """Write a note of no kind in particular."""
        self.tell("text", text)

    def tell(self, kind: str | None, text: str) -> None:
        """Write a note."""
        write_event("note", kind=kind, text=text)


def tell_result(mode: str, lines: Iterable[str], account: Account) -> None:
    """Report the result of a run that did not fail, as lines or as the last event."""
    if mode == "json":
        write_result(account.made, account.record())
        return
    for line in lines:
        echo(line, err=True)
