"""Carries out a written plan in parts, as `vsrpp worker` and `vsrpp join` do."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from vsrpp_cli.errors import ResumeRefusedError, UsageError, WorkFolderBusyError
from vsrpp_cli.inference.machine.device import available_devices, resolve_device
from vsrpp_cli.options import UpscaleOptions
from vsrpp_cli.runs.counter import Counter
from vsrpp_cli.runs.path_map import PathMap
from vsrpp_cli.runs.plans.plan import Plan, software_changes
from vsrpp_cli.runs.plans.planner import software
from vsrpp_cli.runs.plans.relocation import check_models, check_source, relocated
from vsrpp_cli.runs.progress import OnProgress, ignore
from vsrpp_cli.runs.report import Report
from vsrpp_cli.runs.run import join, naming_bytes
from vsrpp_cli.runs.scheduler import shared_out
from vsrpp_cli.runs.stop import StopToken
from vsrpp_cli.runs.work.segment import finished_segments, named_segments, worker
from vsrpp_cli.runs.work.workfolder import WorkFolder
from vsrpp_cli.runs.workers.serial import load_engine

POLL = 5.0
"""Seconds between two reads of the workers' marks, which may be a thousand small files."""


def open_folder(path: str, maps: Sequence[PathMap] = ()) -> tuple[WorkFolder, Plan]:
    """Return the work folder at `path`, which may also name its `plan.json`, and the plan.

    Args:
        path: of the folder.
        maps: where folders of the plan are on this machine.

    Raises:
        UsageError: there is no plan.
    """
    place = Path(path)
    folder = WorkFolder(place if place.is_dir() else place.parent)
    if not folder.plan.exists():
        raise UsageError(f"{path} holds no plan: `vsrpp plan` makes one with `write`")
    return folder, relocated(Plan.read(folder.plan), folder.path, maps)


@dataclass(frozen=True)
class Share:
    """The part of a plan that one worker computes."""

    folder: WorkFolder
    plan: Plan
    indices: tuple[int, ...]
    """Its segments, each once."""


def share(
    path: str,
    numbers: Sequence[int],
    tasks: int | None = None,
    *,
    maps: Sequence[PathMap] = (),
) -> Share:
    """Return the segments of some of the tasks that a plan is divided into.

    Args:
        path: the work folder.
        numbers: of the tasks.
        tasks: the number of all tasks; None where each segment is a task.
        maps: where folders of the plan are on this machine.

    Raises:
        UsageError: there is no plan, or it has no such task.
    """
    folder, plan = open_folder(path, maps)
    return Share(folder, plan, shared_out(numbers, tasks, len(plan.segments)))


def compute(
    mine: Share,
    say: Callable[[str], None],
    *,
    device: str,
    on_progress: OnProgress = ignore,
    stop: StopToken,
) -> None:
    """Compute and commit segments.

    Args:
        mine: the segments.
        say: called with a line of text for each segment that is done already.
        device: where the networks run; `auto` for the plan's device.
        on_progress: called with `Progress` records, whose frames are those of this call.
        stop: checked before each segment.

    Raises:
        WorkFolderBusyError: a run or a join holds the folder.
        UsageError: the device is of another kind than the plan's.
        ResumeRefusedError: this machine's software differs from the plan's, so frames would too.
        InputError, ModelUnavailableError: input or model are not on this machine.
        Terminated, Interrupted: the worker was told to stop before all segments were done.
    """
    folder, plan = mine.folder, mine.plan
    if differing := software_changes(plan, software()):
        raise ResumeRefusedError(
            f"{folder.path} was planned with other software: {'; '.join(differing)}. Frames would "
            "differ: give all workers the same, or plan anew with `resume='restart'`"
        )
    place = _place(plan, device)
    check_source(plan)
    check_models(plan)
    with folder.locked(shared=True), naming_bytes(plan, folder, Path(plan.output.path)):
        _compute(mine, _missing(mine, say), place, on_progress, stop)


def _place(plan: Plan, device: str) -> str:
    """Return the device of this machine on which a plan is computed.

    Raises:
        UsageError: it is of another kind than the plan's, so frames would differ.
    """
    planned = plan.compute.device
    kind = planned.partition(":")[0]
    if device == "auto":  # the planner's second GPU may be the worker's only one
        device = planned if planned in available_devices() else kind
    found = resolve_device(device)
    if found.type != kind:
        raise UsageError(
            f"`device={device!r}`: the plan is made for {kind}, on {found.type} frames would differ"
        )
    return str(found)


def _missing(mine: Share, say: Callable[[str], None]) -> list[int]:
    """Return the segments that are not done; `say` which ones are."""
    missing = []
    for index in mine.indices:
        if finished_segments(mine.plan, mine.folder, only=index):
            say(f"segment {index} was done already")
        else:
            missing.append(index)
    return missing


def _compute(
    mine: Share, missing: list[int], device: str, on_progress: OnProgress, stop: StopToken
) -> None:
    if not missing:
        return
    plan = mine.plan
    frames = {k: plan.segments[k].frames for k in missing}
    count = Counter(on_progress, sum(frames.values()), frames)
    with stop.foreseeing(count.outlook):
        engine = load_engine(plan, device)
        for number, index in enumerate(missing):
            if stop.requested:
                raise stop.error(
                    f"stopped with {number} of {len(missing)} segments done: "
                    "give the same command again to go on"
                )
            worker(plan, mine.folder, index, engine, count, alone=False)
            count.finished(index)


def wait_for_workers(path: str, say: Callable[[str], None]) -> None:
    """Wait until all segments are marked as done and no worker holds the folder.

    Args:
        path: the work folder.
        say: called with a line of text on the progress.

    Raises:
        UsageError: there is no plan.
    """
    folder, plan = open_folder(path)
    total, told = len(plan.segments), -1
    while (count := len(named_segments(folder))) < total:
        if count != told:
            say(f"waiting for workers: {count} of {total} segments are done")
            told = count
        time.sleep(POLL)
    while not _is_free(folder):
        if told != total:
            say(f"waiting for workers: all {total} segments are done, some are not at their end")
            told = total
        time.sleep(POLL)


def _is_free(folder: WorkFolder) -> bool:
    """Return whether the folder can be locked now."""
    try:
        with folder.locked():
            return True
    except WorkFolderBusyError:
        return False


def finish(
    path: str,
    options: UpscaleOptions,
    *,
    maps: Sequence[PathMap] = (),
    on_progress: OnProgress = ignore,
    stop: StopToken | None = None,
) -> Report:
    """Join, verify and publish; then remove the work folder unless `options.keep_work`.

    Args:
        path: the work folder.
        options: as for `run.join`.
        maps: where folders of the plan are on this machine.
        on_progress: called with `Progress` records.
        stop: set it to end once the segments in progress are saved.

    Raises:
        UsageError: segments are missing and there is no cluster to compute them.
        OutputExistsError: the output exists and may not be replaced.
        InputError, ResumeRefusedError: the source is not on this machine, or is another file.
        VerificationError: the result does not match the plan.
    """
    folder, plan = open_folder(path, maps)
    check_source(plan)
    with folder.locked():
        report = join(plan, folder, options, on_progress=on_progress, stop=stop)
        if not options.keep_work:
            folder.remove()
    return report
