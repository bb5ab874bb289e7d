"""Carrying out a written plan piece by piece, as `vsrpp worker` and `vsrpp join` do."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from vsrpp_cli.errors import ResumeRefusedError, UsageError
from vsrpp_cli.runs.plan import Plan, software_changes
from vsrpp_cli.runs.planner import software
from vsrpp_cli.runs.relocation import relocated
from vsrpp_cli.runs.report import Report
from vsrpp_cli.runs.run import join, naming_bytes
from vsrpp_cli.runs.segment import finished_segments, worker
from vsrpp_cli.runs.workers.serial import load_engine
from vsrpp_cli.runs.workfolder import WorkFolder


def open_folder(path: str) -> tuple[WorkFolder, Plan]:
    """Return the work folder at `path`, which may also name its `plan.json`, and the plan.

    Raises:
        UsageError: there is no plan.
    """
    place = Path(path)
    folder = WorkFolder(place if place.is_dir() else place.parent)
    if not folder.plan.exists():
        raise UsageError(f"{path} holds no plan: make one with vsrpp plan --write")
    return folder, relocated(Plan.read(folder.plan), folder.path)


def compute(
    path: str, indices: Sequence[int], say: Callable[[str], None]
) -> Iterator[tuple[int, int]]:
    """Compute and commit segments, yielding frames done and to be done by this call.

    Args:
        path: the work folder.
        indices: the segments; `say` is told of those that are done already.
        say: takes a line of text.

    Raises:
        UsageError: an index is not in the plan, or the run itself holds the folder.
        ResumeRefusedError: this machine's software would give other frames than the plan's.
    """
    folder, plan = open_folder(path)
    for index in indices:
        if not 0 <= index < len(plan.segments):
            raise UsageError(f"segment {index}: the plan has 0 to {len(plan.segments) - 1}")
    if differing := software_changes(plan, software()):
        raise ResumeRefusedError(
            f"{folder.path} was planned with other software: {'; '.join(differing)}. Frames would "
            "differ: give all workers the same, or plan anew with --restart"
        )
    with folder.locked(shared=True), naming_bytes(plan, folder, Path(plan.output.path)):
        yield from _computed(plan, folder, _missing(plan, folder, indices, say))


def _missing(
    plan: Plan, folder: WorkFolder, indices: Sequence[int], say: Callable[[str], None]
) -> list[int]:
    """Return the segments that are not done, and tell of the others."""
    missing = []
    for index in dict.fromkeys(indices):
        if finished_segments(plan, folder, only=index):
            say(f"segment {index} was done already")
        else:
            missing.append(index)
    return missing


def _computed(plan: Plan, folder: WorkFolder, missing: list[int]) -> Iterator[tuple[int, int]]:
    if not missing:
        return
    total = sum(plan.segments[k].keep_stop - plan.segments[k].keep_start for k in missing)
    done = 0
    yield done, total
    engine = load_engine(plan)
    for index in missing:
        done += worker(plan, folder, index, engine).frames
        yield done, total


def finish(path: str, *, verify: bool, keep_work: bool, overwrite: bool) -> Report:
    """Join, verify and publish; then remove the work folder unless `keep_work`.

    Raises:
        UsageError: segments are missing, or the output exists and `overwrite` is false.
        VerificationError: the result is not what the plan says.
    """
    folder, plan = open_folder(path)
    with folder.locked():
        report = join(plan, folder, decode=verify, overwrite=overwrite)
        if not keep_work:
            folder.remove()
    return report
