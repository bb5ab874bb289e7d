"""Several runs in a row, shown one after another."""

import logging
import threading
from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vsrpp_cli.cli import params
from vsrpp_cli.cli.accounts import accounting, write_account
from vsrpp_cli.cli.progress import make_display, tell_result
from vsrpp_cli.cli.signals import stoppable
from vsrpp_cli.cli.text import echo, shown
from vsrpp_cli.options import UpscaleOptions
from vsrpp_cli.runs.progress import OnProgress, Progress
from vsrpp_cli.runs.stop import StopToken

if TYPE_CHECKING:
    from vsrpp_cli.runs.batch import BatchReport
    from vsrpp_cli.runs.batch_items import Found, Item

TEXTS = ("model", "note", "resume")
"""Phases whose progress is a line of text."""

TRACEBACKS = 2
"""At this many `-v` unexpected errors are shown with their traceback."""


def upscale_several(
    find: "Callable[[], Found]",
    outputs: Path,
    values: dict[str, Any],
    *,
    progress: str,
    report: Path | None,
    dry_run: bool,
) -> None:
    """Find the items and upscale them, or list them.

    Args:
        find: returns the items.
        outputs: the folder of results.
        values: click's parameters: those of `UpscaleOptions`, `quiet` and `verbose`.
        progress: how it is shown.
        report: where the account is written, if anywhere.
        dry_run: whether nothing is computed.

    Raises:
        BatchError: an item failed.
        VsrppError: nothing could be done, or it was interrupted.
    """
    from vsrpp_cli.runs.batch import BatchReport

    quiet = values.pop("quiet")
    if values.pop("verbose") >= TRACEBACKS:
        _show_tracebacks()
    with accounting(report, BatchReport):
        options = params.make_options(values)
        found = find()
        if dry_run:
            result = _planned(found)
        else:
            result = _run(found, outputs, options, "none" if quiet else progress)
        if report is not None:
            write_account(result, report)
        if progress != "json" and not dry_run:
            _say(result.lines(failures_only=quiet))
        if failure := result.failure:
            failure.report = result
            raise failure
    tell_result(progress, (), result)


def _show_tracebacks() -> None:
    handler = logging.StreamHandler()
    handler.setFormatter(_OneLineEach("%(message)s"))
    logging.basicConfig(handlers=[handler])
    logging.getLogger("vsrpp_cli").setLevel(logging.DEBUG)


class _OneLineEach(logging.Formatter):
    """Keeps control characters in names and messages from the terminal."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the lines of a record."""
        return "\n".join(map(shown, super().format(record).split("\n")))


def _planned(found: "Found") -> "BatchReport":
    from vsrpp_cli.runs.batch import BatchReport

    for line in [*(f"{item.input} -> {item.output}" for item in found.items), *found.notes]:
        echo(line)
    account = BatchReport.of(found.items, "planned", found.notes)
    account.status = "planned"
    return account


def _run(found: "Found", output_dir: Path, options: UpscaleOptions, progress: str) -> "BatchReport":
    """Do the batch."""
    from vsrpp_cli.runs.batch import run_batch

    token = StopToken()
    watched = _Watched(progress) if options.cluster is None else _Together(progress)
    try:
        with stoppable(token, watched.stopping):
            result = run_batch(found.items, output_dir, options, on_item=watched.begin, stop=token)
    finally:
        watched.end()
    result.notes += found.notes
    return result


class _Watched:
    """One display after another, each for one item."""

    def __init__(self, progress: str) -> None:
        self._progress = progress
        self._display = make_display(progress)

    def begin(self, number: int, count: int, item: "Item") -> OnProgress:
        """Say which item is next and return its display."""
        self.end()
        self._display = make_display(self._progress)
        self._display.tell("item", f"[{number}/{count}] {item.relative}")
        return self._display

    def stopping(self, text: str) -> None:
        """Say that the batch was asked to stop."""
        self._display.tell("stop", text)

    def end(self) -> None:
        """Clear up."""
        self._display.__exit__()


class _Together(_Watched):
    """One display for all items, because a cluster works on many at the same time."""

    def __init__(self, progress: str) -> None:
        super().__init__(progress)
        self._lock = threading.Lock()
        self._frames: dict[int, tuple[int, int]] = {}
        """Done and to be done of each item that is planned."""
        self._done = self._total = 0

    def begin(self, number: int, count: int, item: "Item") -> OnProgress:
        """Say which item begins and return the function that receives its progress."""
        with self._lock:
            self._display.tell("item", f"[{number}/{count}] {item.relative}")
        return partial(self._add, number, item.relative)

    def _add(self, number: int, name: str, progress: Progress) -> None:
        with self._lock:
            if progress.phase == "compute":
                self._count(number, progress.done, progress.total or 0)
            elif progress.text and progress.phase in TEXTS:
                self._display(replace(progress, text=f"{name}: {progress.text}"))

    def _count(self, number: int, done: int, total: int) -> None:
        before = self._frames.get(number, (0, 0))
        self._frames[number] = done, total
        self._done += done - before[0]
        self._total += total - before[1]
        self._display(Progress(phase="compute", done=self._done, total=self._total))


def _say(lines: Iterable[str]) -> None:
    for line in lines:
        echo(line, err=True)
