"""Many runs in a row: if one fails the others are still done, and nothing is done twice.

Before each run, `OUTPUT_DIR/.vsrpp-batch.jsonl` records what its output will be made from. An
output gets its name only when it is complete. So an output whose record matches is finished, even
if the process died right after it was renamed.
"""

import hashlib
import json
import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from vsrpp_cli.checkpoints.download import ResolvedModel, asks_for_auto
from vsrpp_cli.checkpoints.load import read_config
from vsrpp_cli.durable import disk_errors
from vsrpp_cli.errors import (
    BatchError,
    Interrupted,
    PipeClosed,
    Terminated,
    UsageError,
    VsrppError,
)
from vsrpp_cli.inference.session import compute_spec
from vsrpp_cli.media.source import FrameSource
from vsrpp_cli.media.types import SourceInfo
from vsrpp_cli.options import UpscaleOptions
from vsrpp_cli.records import to_json
from vsrpp_cli.runs.account import Account, Status, exit_code
from vsrpp_cli.runs.batch_items import Item
from vsrpp_cli.runs.cluster.crew import Crew, crew_for
from vsrpp_cli.runs.cluster.together import do_together
from vsrpp_cli.runs.destination import check_free
from vsrpp_cli.runs.plans.planner import open_input, resolve_models
from vsrpp_cli.runs.progress import OnProgress, ignore
from vsrpp_cli.runs.report import Report
from vsrpp_cli.runs.run import upscale
from vsrpp_cli.runs.stop import TEXT, StopToken
from vsrpp_cli.runs.work.journal import Journal
from vsrpp_cli.runs.work.workfolder import WorkFolder

JOURNAL = ".vsrpp-batch.jsonl"

COUNTED: tuple[Status, ...] = ("done", "skipped", "failed", "interrupted")
"""The statuses that the report of a batch counts."""

OnItem = Callable[[int, int, Item], OnProgress]
"""Called with the number of an item (from 1), the number of items, and the item; returns the
observer of that run's progress."""

_ENDINGS = (Interrupted, Terminated, PipeClosed)


@dataclass(kw_only=True)
class Outcome:
    """The result of one item."""

    input: str
    output: str
    status: Status = "waiting"
    error: str = ""
    error_kind: str = ""
    """The name of the error's class."""
    exit_code: int = 0
    """The exit code that `vsrpp upscale` would have had."""
    seconds: float = 0.0
    report: Report | None = None


@dataclass(kw_only=True)
class BatchReport(Account):
    """The results of all items; plain values only."""

    outcomes: list[Outcome] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def made(self) -> None:
        """Nothing: each item has an output of its own."""

    def count(self, *statuses: Status) -> int:
        """Return how many items ended in one of these ways."""
        return sum(outcome.status in statuses for outcome in self.outcomes)

    @property
    def failure(self) -> BatchError | None:
        """The error of the batch as a whole, if items failed."""
        if not (failed := self.count("failed")):
            return None
        return BatchError(f"{failed} of {len(self.outcomes)} items failed")

    @classmethod
    def of(cls, items: Sequence[Item], status: Status, notes: Sequence[str] = ()) -> "BatchReport":
        """Return the report of a batch that has not begun."""
        outcomes = [Outcome(input=i.relative, output=str(i.output), status=status) for i in items]
        return cls(outcomes=outcomes, notes=list(notes))

    def record(self) -> dict[str, Any]:
        """Return it as JSON values."""
        counts: dict[str, int] = {status: self.count(status) for status in COUNTED}
        ending = {f.name: getattr(self, f.name) for f in fields(Account)}
        items = [asdict(outcome) for outcome in self.outcomes]
        return {**ending, **counts, "notes": self.notes, "items": items}

    def table(self, *, failures_only: bool = False) -> list[str]:
        """Return a table for people: a line of headings, then a line for each item."""
        shown = [o for o in self.outcomes if o.status == "failed" or not failures_only]
        rows = [("result", "frames", "time", "item"), *(_row(o) for o in shown)]
        widths = [max(len(row[i]) for row in rows) for i in range(3)]
        return [
            f"{row[0]:<{widths[0]}}  {row[1]:>{widths[1]}}  {row[2]:>{widths[2]}}  {row[3]}"
            for row in rows
            if shown
        ]

    def lines(self, *, failures_only: bool = False) -> list[str]:
        """Return the table and, unless only failures are shown, the notes."""
        said = [] if failures_only else [f"note: {text}" for text in self.remarks()]
        return [*self.table(failures_only=failures_only), *said]

    def remarks(self) -> list[str]:
        """Return sentences on what was guessed, repaired or lost, each with the item's name."""
        reports = [(o.input, o.report) for o in self.outcomes if o.report]
        of_items = [f"{name}: {text}" for name, r in reports for text in (*r.notes, *r.events)]
        return [*self.notes, *of_items]


def _row(outcome: Outcome) -> tuple[str, str, str, str]:
    frames = str(outcome.report.frames) if outcome.report and outcome.report.frames else ""
    spent = f"{outcome.seconds:.1f} s" if outcome.seconds else ""
    text = f"{outcome.input} -> {outcome.output}"
    if outcome.status == "failed":
        named = outcome.input in outcome.error
        text = outcome.error if named else f"{outcome.input}: {outcome.error}"
    return outcome.status, frames, spent, text


def run_batch(
    items: Sequence[Item],
    outputs: Path,
    options: UpscaleOptions,
    *,
    on_item: OnItem | None = None,
    stop: StopToken | None = None,
) -> BatchReport:
    """Upscale all items, skipping what an earlier batch finished.

    Items are done one after another; on a cluster many at the same time, so that the cluster has
    work while other films are planned and joined.

    Models are resolved once, unless the source of each item decides (`auto`).

    Args:
        items: what to do, see `find_items`.
        outputs: the folder of results, created if necessary.
        options: of every run; `overwrite` replaces outputs that this batch did not make, and with
            `resume="restart"` also those that it made.
        on_item: called before each item begins; on a cluster from several threads.
        stop: set it to end the batch once the work in progress is saved.

    Returns:
        The report; failures of items are recorded there and not raised.

    Raises:
        UsageError, ModelError, DiskFullError: no item can be done at all.
        Interrupted, Terminated, PipeClosed: stopped; the error has the report as `report`.
    """
    if options.resume == "must":
        raise UsageError("`resume='must'` is for a single run: a batch always goes on where it was")
    with disk_errors(outputs):
        outputs.mkdir(parents=True, exist_ok=True)
    device = compute_spec(options).device
    models = [] if asks_for_auto(options.model) else _models(options, device, None)
    batch = _Batch(outputs, options, device, models, stop or StopToken())
    notes = [model.note for model in models if model.note]
    report = BatchReport.of(items, "waiting", notes)

    def do(index: int) -> None:
        batch.stop_if_asked()
        on_progress = on_item(index + 1, len(items), items[index]) if on_item else ignore
        batch.do(items[index], report.outcomes[index], on_progress)

    try:
        batch.do_all(len(items), do)
    except _ENDINGS as ending:
        ending.report = report
        raise
    report.status = "done"
    return report


def _models(options: UpscaleOptions, device: str, info: SourceInfo | None) -> list[ResolvedModel]:
    """Return the models, after a check that their files can be read."""
    models = resolve_models(options, device, info)
    for model in models:
        read_config(model.path)
    return models


class _Batch:
    """What the items have in common."""

    def __init__(
        self,
        outputs: Path,
        options: UpscaleOptions,
        device: str,
        models: list[ResolvedModel],
        stop: StopToken,
    ) -> None:
        self._outputs, self._options, self._device, self._stop = outputs, options, device, stop
        self._models = models
        """The models of all items; empty if each item's source decides."""
        self._crew: Crew | None = None
        self._writing = threading.Lock()
        self._journal = Journal(outputs / JOURNAL)
        self._records = {record.get("output"): record for record in self._journal.read()}

    def stop_if_asked(self) -> None:
        """End the batch between two items if a stop was requested."""
        if self._stop.requested:
            raise self._stop.error(TEXT)

    def do_all(self, count: int, do: Callable[[int], None]) -> None:
        """Call `do` with each of the numbers of `count` items."""
        if self._options.cluster is None:
            for index in range(count):
                do(index)
            return
        with crew_for(self._options) as self._crew:
            do_together(count, do, stop=self._stop, abort=self._crew.abort)

    def do(self, item: Item, outcome: Outcome, on_progress: OnProgress) -> None:
        """Run one item; an error is stored in `outcome`, unless it is a signal to end.

        Raises:
            Interrupted, Terminated, PipeClosed: the batch must end.
        """
        started = time.perf_counter()
        try:
            with self._stop.stopping_now():
                outcome.report = self._upscale(item, on_progress)
            outcome.status = "done" if outcome.report else "skipped"
        except VsrppError as error:
            ending = isinstance(error, _ENDINGS)
            outcome.status, outcome.error = "interrupted" if ending else "failed", str(error)
            outcome.exit_code, outcome.error_kind = exit_code(error), type(error).__name__
            outcome.report = error.report if isinstance(error.report, Report) else None
            if ending:
                raise
        # Unexpected errors with one input must not prevent the other items.
        except Exception as error:
            logging.getLogger(__name__).debug("%s", item.input, exc_info=True)
            outcome.status, outcome.exit_code = "failed", 1
            outcome.error_kind = type(error).__name__
            outcome.error = f"{outcome.error_kind}: {error}"
        finally:
            outcome.seconds = round(time.perf_counter() - started, 3)

    def _upscale(self, item: Item, on_progress: OnProgress) -> Report | None:
        """Run one item; None if it was done before."""
        source = open_input(item.input.absolute(), self._options)
        models = self._models or _models(self._options, self._device, source.info)
        record = {
            "output": item.output.relative_to(self._outputs).as_posix(),
            "made_from": self._made_from(source, models),
            "before": _identity(item.output),
        }
        overwrite = self._options.overwrite
        last = self._records.get(record["output"], {})
        if last.get("made_from") == record["made_from"]:
            finished = record["before"] not in (None, last["before"])
            again = overwrite and self._options.resume == "restart"
            if finished and not again and not self._work_is_left(item):
                return None
            # Made by this batch and interrupted: the single run continues it or cleans up.
            record["before"] = last["before"] if finished else record["before"]
        elif record["before"] is not None and not self._work_is_left(item):
            if self._options.skip_existing:
                return None
            # Refuse before the record of this output is replaced: it is still correct.
            check_free(item.output, overwrite=overwrite)
        if record != last:
            with disk_errors(item.output.parent):
                item.output.parent.mkdir(parents=True, exist_ok=True)
            with self._writing:
                self._journal.append(record)
        return upscale(
            item.input,
            item.output,
            self._options,
            on_progress=on_progress,
            stop=self._stop,
            models=models,
            crew=self._crew,
        )

    def _made_from(self, source: FrameSource, models: list[ResolvedModel]) -> str:
        """Return a hash of all that decides what the output will be."""
        facts = {
            "input": to_json(source.fingerprint()),
            "options": self._options.content(),
            "models": [model.sha256 for model in models],
        }
        return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()

    def _work_is_left(self, item: Item) -> bool:
        return WorkFolder.of(item.output, self._options.work_dir).plan.exists()


def _identity(path: Path) -> list[int] | None:
    """Return inode, size and modification time of a file or folder; None if there is none."""
    try:
        status = path.stat()
    except FileNotFoundError:
        return None
    return [status.st_ino, status.st_size, status.st_mtime_ns]
