"""A whole run: plan, segments, join, verification, rename.

A run survives interruption at any moment because of the order in which files are made durable: the
plan, then each segment and its line in the journal, then the joined file next to the output, then
its rename, then the journal's line about that. Only then is the work folder removed.
"""

import time
from collections.abc import Generator, Iterator
from contextlib import (
    AbstractContextManager,
    ExitStack,
    closing,
    contextmanager,
    nullcontext,
    suppress,
)
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from vsrpp_cli.checkpoints.download import ResolvedModel
from vsrpp_cli.checkpoints.load import read_config
from vsrpp_cli.durable import disk_errors, fsync_tree, remove
from vsrpp_cli.errors import (
    DiskFullError,
    OutputExistsError,
    ResumeRefusedError,
    UsageError,
    VerificationError,
    VsrppError,
)
from vsrpp_cli.inference.machine.device import resolve_devices
from vsrpp_cli.inference.machine.memory import default_limit
from vsrpp_cli.inference.session import compute_spec
from vsrpp_cli.media.output.assembly import Assembled, Assembly
from vsrpp_cli.media.output.publish import finish_publishing, publish
from vsrpp_cli.options import UpscaleOptions
from vsrpp_cli.planning.budget import workers_that_fit
from vsrpp_cli.runs.cluster.crew import Crew, crew_for
from vsrpp_cli.runs.counter import Counter
from vsrpp_cli.runs.destination import (
    check_free,
    check_input,
    check_place,
    is_taken,
    resolve_output,
)
from vsrpp_cli.runs.names import temporary_output, unverified_output
from vsrpp_cli.runs.plans.plan import Plan, changes, software_changes
from vsrpp_cli.runs.plans.planner import make_plan, open_input, resolve_models, software
from vsrpp_cli.runs.plans.rehearsal import rehearse
from vsrpp_cli.runs.plans.relocation import relocated
from vsrpp_cli.runs.plans.speed import seconds_per_frame
from vsrpp_cli.runs.plans.summary import preamble
from vsrpp_cli.runs.progress import NoteKind, OnProgress, Phase, Progress, ignore
from vsrpp_cli.runs.report import Report
from vsrpp_cli.runs.stop import StopToken
from vsrpp_cli.runs.streaming.run import is_streamed, stream
from vsrpp_cli.runs.work import disk
from vsrpp_cli.runs.work.segment import (
    Finished,
    finished_segments,
    measure,
    noted,
    remove_partial,
)
from vsrpp_cli.runs.work.workfolder import WorkFolder
from vsrpp_cli.runs.workers import cluster, processes, serial


@dataclass
class Run:
    """The state of one run."""

    input: Path
    output: Path
    options: UpscaleOptions
    folder: WorkFolder
    report: Report
    on_progress: OnProgress = ignore
    stop: StopToken = field(default_factory=StopToken)
    models: list[ResolvedModel] | None = None
    crew: Crew | None = None
    """Workers of a cluster that several runs share."""

    @property
    def turn(self) -> AbstractContextManager[Any]:
        """Held while this process plans or joins, where several runs share a crew."""
        return nullcontext() if self.crew is None else self.crew.turn

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Add the time spent inside to a phase."""
        started = time.perf_counter()
        try:
            yield
        finally:
            spent = time.perf_counter() - started
            self.report.seconds[name] = round(self.report.seconds.get(name, 0.0) + spent, 3)

    def say(self, phase: Phase, done: int, total: int | None, text: str = "") -> None:
        """Report the progress of the run to the observer."""
        self.on_progress(Progress(phase=phase, done=done, total=total, text=text))

    def remark(self, kind: NoteKind, text: str) -> None:
        """Report a note to the observer; see `Progress.kind`."""
        self.on_progress(Progress(phase="note", done=0, total=None, text=text, kind=kind))

    def note_event(self, text: str) -> None:
        """Add an event to the report and tell the observer, once."""
        if text not in self.report.events:
            self.report.events.append(text)
            self.remark("computing", text)


def upscale(
    input: str | Path,
    output: str | Path,
    options: UpscaleOptions | None = None,
    *,
    on_progress: OnProgress = ignore,
    stop: StopToken | None = None,
    models: list[ResolvedModel] | None = None,
    crew: Crew | None = None,
) -> Report:
    """Upscale `input` into `output`, continuing an interrupted run of the same command.

    Args:
        input: video file, folder of frames or image; `-` or a FIFO is read as a stream.
        output: the result; it gets this name only when complete and verified. To `-` or a FIFO it
            is written frame by frame.
        options: see `UpscaleOptions`.
        on_progress: called from this thread with `Progress` records.
        stop: set it from another thread to end the run once the segments in progress are saved.
        models: the resolved `options.model`, if the caller has it already.
        crew: workers of a cluster that several runs share, each in its own thread.

    Returns:
        The report of the run.

    Raises:
        VsrppError: the run failed; finished work stays in the work folder.
    """
    options = options or UpscaleOptions()
    if is_streamed(str(input), str(output), options):
        return stream(
            str(input), str(output), options, on_progress=on_progress, stop=stop, models=models
        )
    source = check_input(str(input))
    target = resolve_output(str(output), source)
    folder = WorkFolder.of(target, options.work_dir)
    run = Run(
        source, target, options, folder, Report(input=str(source), output=str(target)),
        on_progress, stop or StopToken(), models, crew,
    )  # fmt: skip
    check_place(target, source)
    if options.skip_existing and is_taken(target) and not folder.path.exists():
        run.report.status = "skipped"
        return run.report
    _refuse_taken(run)
    try:
        with folder.locked():
            _locked_run(run)
    except VsrppError as error:
        run.report.fail(error)
        error.report = run.report
        raise
    run.report.status = "done"
    return run.report


def _refuse_taken(run: Run) -> None:
    ours = run.options.resume != "restart" and _is_published(run)
    if not ours:
        try:
            check_free(run.output, overwrite=run.options.overwrite)
        except OutputExistsError:
            run.folder.discard_if_empty()
            raise


def _locked_run(run: Run) -> None:
    if run.options.resume != "restart" and not run.folder.plan.exists() and _is_published(run):
        # The run was killed while it removed its work folder; only the journal is left.
        run.report.frames = _records(run)["verified"].get("frames", 0)
        _clean_up(run)
        return
    with run.turn:
        plan = _resume(run) or _start(run)
    run.report.describe(plan)
    for note in run.report.notes:
        run.remark("source", note)
    if not _is_published(run):
        _finish(run, plan)
    _clean_up(run)


def _clean_up(run: Run) -> None:
    """Do what is left once the output has its name."""
    finish_publishing(run.output)
    run.report.output_bytes = measure_size(run.output)
    if run.options.keep_work:
        run.report.notes.append(f"work folder kept: {run.folder.path}")
    else:
        run.folder.remove()


def write_plan(
    input: str | Path,
    output: str | Path,
    options: UpscaleOptions,
) -> WorkFolder:
    """Plan a run and write the plan to its work folder, for `vsrpp worker` and `vsrpp join`.

    Raises:
        OutputExistsError, ResumeRefusedError: the output, or a plan for it, exists already.
        VsrppError: the run is impossible.
    """
    source = check_input(str(input))
    target = resolve_output(str(output), source)
    folder = WorkFolder.of(target, options.work_dir)
    run = Run(source, target, options, folder, Report(input=str(source), output=str(target)))
    check_place(target, source)
    _refuse_taken(run)
    with folder.locked():
        if folder.plan.exists() and options.resume != "restart":
            raise ResumeRefusedError(f"{folder.plan} exists: use it, or give `resume='restart'`")
        _start(run)
    return folder


def _start(run: Run) -> Plan:
    """Make a new plan, in an emptied work folder."""
    if run.options.resume == "must":
        raise ResumeRefusedError(f"nothing to resume in {run.folder.path}")
    run.folder.clear()
    try:
        with run.phase("scan"):
            plan = _planned(run)
        plan = replace(_rehearsed(run, plan), work=str(run.folder.path.absolute()))
        plan.write(run.folder.plan)
    except BaseException:
        run.folder.remove()  # without a plan nothing can be continued
        raise
    return plan


def _planned(run: Run) -> Plan:
    source = open_input(run.input.absolute(), run.options)
    models = run.models or resolve_models(
        run.options,
        compute_spec(run.options).device,
        source.info,
        on_progress=lambda p: run.say("download", p.done, p.total, p.file),
    )
    for model in models:
        if model.why:
            run.say("model", 0, None, f"{model.why}, {model.name}")
    run.report.notes += [model.note for model in models if model.note]
    plan = make_plan(
        source,
        run.output,
        run.options,
        models=models,
        on_scan=lambda done, total: _scanned(run, done, total),
    )
    disk.check(plan, work=run.folder.path, output=run.output, workers=run.options.workers or 1)
    return plan


def _rehearsed(run: Run, plan: Plan) -> Plan:
    """Rehearse the run; return the plan with the findings."""
    run.say("rehearse", 0, None)
    with run.phase("rehearse"):
        configs = [read_config(Path(model.path)) for model in plan.models]
        seconds = plan.frames * seconds_per_frame(plan.source, configs, plan.compute)
        plan = rehearse(plan, run.folder, strict=run.options.strict, seconds=seconds)
    assert plan.rehearsed is not None
    rehearsed = replace(plan.rehearsed, seconds=run.report.seconds["rehearse"])
    return replace(plan, rehearsed=rehearsed)


def _scanned(run: Run, done: int, total: int | None) -> None:
    if run.stop.requested:
        raise run.stop.error("stopped before the first frame; nothing is lost")
    run.say("scan", done, total)


def _resume(run: Run) -> Plan | None:
    """Return the plan of an interrupted run of the same command; None if there is none."""
    if run.options.resume == "restart" or not run.folder.plan.exists():
        return None
    plan = relocated(Plan.read(run.folder.plan), run.folder.path)
    source = open_input(run.input.absolute(), run.options)
    differing = changes(plan, run.options.content(), source.fingerprint())
    differing += software_changes(plan, software())
    if differing:
        raise ResumeRefusedError(
            f"{run.folder.path} holds interrupted work of another command: "
            f"{'; '.join(differing)}. Give `resume='restart'` to begin anew"
        )
    # The input may be a copy at another path.
    return replace(plan, source=replace(plan.source, path=source.info.path))


def _finish(run: Run, plan: Plan) -> None:
    remove_partial(run.folder)
    done = finished_segments(plan, run.folder)
    run.report.segments_reused = len(done)
    frames = sum(segment.frames for segment in done.values())
    there = disk.Done(frames, sum(segment.size for segment in done.values()))
    disk.check(
        plan,
        work=run.folder.path,
        output=run.output,
        done=there,
        workers=run.options.workers or 1,
    )
    for line in preamble(plan, work=run.folder.path, done=there):
        run.say("plan", 0, None, line)
    if done:
        run.say("resume", frames, plan.frames, f"{len(done)} of {len(plan.segments)} segments")
    with naming_bytes(plan, run.folder, run.output):
        finished = done | _compute(run, plan, done)
        with run.turn:
            _end(run, plan, finished)


def naming_bytes(plan: Plan, folder: WorkFolder, output: Path) -> AbstractContextManager[None]:
    """Extend errors about a full disk, raised inside, by how much the rest of the run needs."""
    return disk.naming_bytes(plan, work=folder.path, output=output, done=lambda: noted(folder))


def _compute(run: Run, plan: Plan, done: dict[int, Finished]) -> dict[int, Finished]:
    """Compute and return the missing segments, in this process, in several, or on a cluster."""
    missing = [k for k in range(len(plan.segments)) if k not in done]
    new: dict[int, Finished] = {}
    if not missing:
        return new
    frames = {k: plan.segments[k].frames for k in missing}
    count = Counter(run.on_progress, plan.frames, frames)
    with (
        run.stop.foreseeing(count.outlook),
        run.phase("compute"),
        _crew(run) as crew,
        closing(_workers(run, plan, missing, count, crew)) as computed,
    ):
        for segment in computed:
            new[segment.index] = segment
            run.report.frames_computed += segment.frames
            run.report.kernels = segment.kernels
            count.finished(segment.index)
            _note_events(run, segment)
            if run.report.frames_computed + count.before < plan.frames:
                disk.watch(run.folder.segments, segment.size)
    if run.stop.requested and run.report.frames_computed + count.before < plan.frames:
        raise run.stop.error(_how_to_go_on(run, plan))
    return new


@contextmanager
def _crew(run: Run) -> Iterator[Crew | None]:
    """Yield the workers of the run's cluster; None if it uses none."""
    if run.crew is not None or run.options.cluster is None:
        yield run.crew
        return
    with ExitStack() as stack:
        with run.phase("connect"):
            crew = stack.enter_context(crew_for(run.options))
        yield crew


def _workers(
    run: Run, plan: Plan, missing: list[int], count: Counter, crew: Crew | None
) -> Generator[Finished, None, None]:
    if crew is not None:
        return cluster.run(
            plan, run.folder, missing, crew, run.stop, count, on_remark=run.note_event
        )
    devices = resolve_devices(run.options.device)
    workers = min(run.options.workers or len(devices), len(missing))
    fitting = workers_that_fit(plan.geometry, run.options.memory_limit or default_limit())
    if plan.compute.device == "cpu" and workers > fitting:
        run.report.events.append(f"{workers} workers do not fit into memory: {fitting} run")
        workers = fitting
    count.workers = max(workers, 1)
    if workers > 1:
        places = processes.crew(devices, workers, plan.compute.threads)
        return processes.run(plan, run.folder, missing, places, run.stop, count)
    with run.phase("load"):
        engine = serial.load_engine(plan)
    return serial.run(plan, run.folder, missing, engine, run.stop, count)


def _how_to_go_on(run: Run, plan: Plan) -> str:
    done = sum(s.frames for s in finished_segments(plan, run.folder).values())
    return f"stopped with {done} of {plan.frames} frames done: give the same command again to go on"


def _note_events(run: Run, segment: Finished) -> None:
    for event in segment.events:
        run.note_event(str(event["text"]))
        run.report.chunks_recomputed += event.get("kind") == "guard"


def join(
    plan: Plan,
    folder: WorkFolder,
    options: UpscaleOptions,
    *,
    on_progress: OnProgress = ignore,
    stop: StopToken | None = None,
) -> Report:
    """Join the finished segments of a plan into its output: the end of a run.

    Args:
        plan: the run.
        folder: its work folder, locked by the caller.
        options: only `verify`, `strict` and `overwrite` are used, and `cluster`, which computes
            missing segments, with `workers` and `mixed`.
        on_progress: called with `Progress` records.
        stop: set it to end the run once the segments in progress are saved.

    Raises:
        UsageError: segments are missing, and there is no cluster.
        OutputExistsError: the output exists and may not be replaced.
        VerificationError: the result does not match the plan; it is kept under another name.
    """
    output = Path(plan.output.path)
    report = Report(input=plan.source.path, output=str(output))
    run = Run(
        Path(plan.source.path), output, options, folder, report, on_progress, stop or StopToken()
    )
    run.report.describe(plan)
    report.segments_reused = len(plan.segments)
    if not _is_published(run):
        done = finished_segments(plan, folder)
        missing = set(range(len(plan.segments))) - set(done)
        if missing and options.cluster is None:
            raise UsageError(f"segments are missing: {', '.join(map(str, sorted(missing)))}")
        with naming_bytes(plan, folder, output):
            _end(run, plan, done | _compute(run, plan, done))
        report.segments_reused = len(done)
    report.output_bytes = measure_size(output)
    report.status = "done"
    return report


def _end(run: Run, plan: Plan, done: dict[int, Finished]) -> None:
    temporary = temporary_output(run.output)
    remove(temporary)
    found = _assembled(run, plan, done, temporary)
    changed = found.left_out(plan.output.streams)
    news = [*(choice.reason for choice in changed), *found.deviations]
    for text in (*news, *found.notes):
        if text not in run.report.notes:
            run.report.notes.append(text)
            run.remark("result", text)
    if run.options.strict and (new := [t for t in news if t not in plan.notes]):
        raise _kept(run, temporary, VerificationError(f"`strict`: {'; '.join(new)}"))
    size, digest = measure(temporary)
    record = {"event": "verified", "size": size, "digest": digest, "frames": plan.frames}
    run.folder.journal.append(record)
    _publish(run, temporary)


def _assembled(run: Run, plan: Plan, done: dict[int, Finished], temporary: Path) -> Assembled:
    """Join and verify; if verification fails, the result is kept under another name."""
    paths = [run.folder.segments / done[k].name for k in range(len(plan.segments))]
    clock = _PhaseClock(run, plan)
    assembly = Assembly(
        paths,
        plan.scan,
        plan.source,
        plan.output,
        temporary,
        decode=run.options.verify,
        on_phase=clock,
    )
    try:
        with disk_errors(temporary):
            found = assembly.run()
            clock.stop()
            with run.phase("join"):
                fsync_tree(temporary)
    except VerificationError as error:
        raise _kept(run, temporary, error) from error
    except BaseException:
        remove(temporary)
        raise
    finally:
        clock.stop()
    return found


def _kept(run: Run, temporary: Path, error: VerificationError) -> VerificationError:
    """Keep a result that failed verification; return the error with its path."""
    kept = unverified_output(run.output)
    remove(kept)
    temporary.rename(kept)
    return VerificationError(f"{error}; the result is kept as {kept}")


class _PhaseClock:
    """Reports the phases at the end of a run, and measures their time."""

    def __init__(self, run: Run, plan: Plan) -> None:
        self._run, self._plan = run, plan
        self._phase = ExitStack()

    def __call__(self, phase: Literal["join", "verify"]) -> None:
        self.stop()
        self._phase.enter_context(self._run.phase(phase))
        self._run.say(phase, 0, self._plan.frames if phase == "verify" else None)

    def stop(self) -> None:
        """End the current phase."""
        self._phase.close()


def _publish(run: Run, temporary: Path) -> None:
    """Give the verified result its name."""
    try:
        check_free(run.output, overwrite=run.options.overwrite)
    except OutputExistsError as error:
        raise OutputExistsError(f"{error} (the result is ready; it appeared meanwhile)") from error
    with disk_errors(run.output):
        publish(temporary, run.output)
    with suppress(DiskFullError):
        # Not essential: the output's digest shows that it is the verified one.
        run.folder.journal.append({"event": "published"})


def _is_published(run: Run) -> bool:
    """Return whether the output has been published, even if the journal does not say so yet."""
    records = _records(run)
    if "verified" not in records or not run.output.exists():
        return False
    if "published" in records and run.output.is_dir():
        return True  # a folder may contain other files of the user
    verified = records["verified"]
    return measure(run.output) == (verified["size"], verified["digest"])


def _records(run: Run) -> dict[str, Any]:
    """Return the last line of each kind in the journal."""
    return {record["event"]: record for record in run.folder.journal.read()}


def measure_size(path: Path) -> int:
    """Return the bytes of a file, or of all files of a folder."""
    if path.is_dir():
        return sum(child.stat().st_size for child in path.iterdir())
    return path.stat().st_size
