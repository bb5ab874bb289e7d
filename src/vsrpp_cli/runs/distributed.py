"""Carrying out a written plan piece by piece, as `vsrpp worker` and `vsrpp join` do."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from vsrpp_cli.errors import UsageError
from vsrpp_cli.runs.plan import Plan
from vsrpp_cli.runs.report import Report
from vsrpp_cli.runs.run import join, naming_bytes
from vsrpp_cli.runs.segment import worker
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
    return folder, Plan.read(folder.plan)


def compute(path: str, indices: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Compute and commit segments, yielding frames done and to be done by this call.

    Raises:
        UsageError: an index is not in the plan, or the run itself holds the folder.
    """
    folder, plan = open_folder(path)
    for index in indices:
        if not 0 <= index < len(plan.segments):
            raise UsageError(f"segment {index}: the plan has 0 to {len(plan.segments) - 1}")
    total = sum(plan.segments[k].keep_stop - plan.segments[k].keep_start for k in indices)
    done = 0
    yield done, total
    with folder.locked(shared=True), naming_bytes(plan, folder, Path(plan.output.path)):
        engine = load_engine(plan)
        for index in indices:
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
