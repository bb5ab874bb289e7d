"""`vsrpp batch`."""

import logging
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from vsrpp_cli.cli import params
from vsrpp_cli.cli.accounts import accounting
from vsrpp_cli.cli.config import RunCommand
from vsrpp_cli.cli.events import progress_option
from vsrpp_cli.cli.progress import make_display, tell_result
from vsrpp_cli.cli.signals import stoppable
from vsrpp_cli.cli.text import echo, printable
from vsrpp_cli.options import BATCH_NAME, UpscaleOptions
from vsrpp_cli.runs.progress import OnProgress
from vsrpp_cli.runs.stop import StopToken

if TYPE_CHECKING:
    from vsrpp_cli.runs.batch import BatchReport
    from vsrpp_cli.runs.batch_items import Found, Item

EXAMPLES = """
vsrpp batch tapes/ tapes_x4/
vsrpp batch tapes/ tapes_1080p/ --include '*.mkv' --height 1080 --name '{stem}_1080p.mkv'
"""

TRACEBACKS = 2
"""At this many `-v` what nobody foresaw is shown with its traceback."""


@click.command("batch", cls=RunCommand, examples=EXAMPLES)
@click.argument("input_dir", type=click.Path(path_type=Path))
@click.argument("output_dir", type=click.Path(path_type=Path))
@params.source(
    "--include",
    multiple=True,
    metavar="PATTERN",
    help="Take only files whose name, or path below INPUT_DIR, matches; may be repeated.",
)
@params.source(
    "--exclude",
    multiple=True,
    metavar="PATTERN",
    help="Skip files and folders that match; may be repeated.",
)
@params.output(
    "--name",
    default=BATCH_NAME,
    show_default=True,
    metavar="TEMPLATE",
    help="Names of the outputs, from {stem}, {suffix} and {name} of the input.",
)
@params.compute_options
@params.cluster_options
@params.geometry_options
@params.selection_options
@params.output_options
@params.run_options
@params.config_option
@progress_option
@params.report_option
@params.run("--dry-run", is_flag=True, help="List inputs and outputs and compute nothing.")
@params.quiet_option
@params.verbose_option("More; twice for tracebacks.")
def command(
    *,
    input_dir: Path,
    output_dir: Path,
    include: tuple[str, ...],
    exclude: tuple[str, ...],
    name: str,
    progress: str,
    dry_run: bool,
    **values: Any,
) -> None:  # fmt: skip
    """Upscale every video and every folder of frames below INPUT_DIR into OUTPUT_DIR.

    OUTPUT_DIR mirrors the tree of INPUT_DIR. One bad item does not stop the rest; the same command
    given again skips what is finished and goes on with what was interrupted.
    """
    from vsrpp_cli.runs.batch import BatchReport
    from vsrpp_cli.runs.batch_items import find_items

    report, quiet = values.pop("report"), values.pop("quiet")
    if values.pop("verbose") >= TRACEBACKS:
        _show_tracebacks()
    with accounting(report, BatchReport):
        options = params.make_options(values)
        found = find_items(input_dir, output_dir, name=name, include=include, exclude=exclude)
        if dry_run:
            result = _planned(found)
        else:
            result = _run(found, output_dir, options, "none" if quiet else progress)
        if report is not None:
            result.write(report)
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
        return "\n".join(map(printable, super().format(record).split("\n")))


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
    watched = _Watched(progress)
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


def _say(lines: Iterable[str]) -> None:
    for line in lines:
        echo(line, err=True)
