"""A run whose input or output is a pipe: frames are processed as they arrive.

The input cannot be scanned beforehand, so there is no plan, and the run cannot be resumed. Memory
is bounded by a chunk and short queues, however long the stream is. If the run is interrupted, the
output contains all frames that were finished.
"""

from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from io import RawIOBase
from pathlib import Path
from time import perf_counter

import numpy as np
from numpy.typing import NDArray

from vsrpp_cli.checkpoints.download import ResolvedModel
from vsrpp_cli.durable import disk_errors
from vsrpp_cli.errors import InputError, PipeClosed, StrictError, UsageError, VsrppError
from vsrpp_cli.inference.engine import Engine
from vsrpp_cli.inference.events import Event
from vsrpp_cli.inference.session import Session, compute_spec
from vsrpp_cli.media.decode.streamed import Streamed, StreamSource
from vsrpp_cli.media.encode.selection import find_container, resolve, resolve_pipe
from vsrpp_cli.media.encode.streamed import open_stream_writer
from vsrpp_cli.media.output.publish import publish
from vsrpp_cli.media.pipes import InputPipe, OutputPipe, is_input_pipe, is_output_pipe
from vsrpp_cli.media.types import EncodeSettings, FinalFrame, Frame
from vsrpp_cli.options import UpscaleOptions
from vsrpp_cli.planning.budget import Geometry
from vsrpp_cli.records import to_json
from vsrpp_cli.runs.destination import check_free, check_input, check_place, resolve_output
from vsrpp_cli.runs.names import temporary_output
from vsrpp_cli.runs.plans.planner import resolve_models
from vsrpp_cli.runs.progress import NoteKind, OnProgress, Progress, ignore
from vsrpp_cli.runs.report import Report
from vsrpp_cli.runs.stop import StopNow, StopToken
from vsrpp_cli.runs.streaming.scenes import LiveScenes
from vsrpp_cli.runs.work.threads import ReadAhead, WriteBehind

NO_READER = "nobody reads the output"
READ_AHEAD, WRITE_BEHIND = 4, 3
"""Most frames that are decoded but not computed, and computed but not written."""
STDIN_NAME = "stdin"
"""Stands for the input's name where an output in a folder is named after it."""


def is_streamed(input: str, output: str, options: UpscaleOptions) -> bool:
    """Return whether the input or output is a pipe, or the input is raw video."""
    return bool(options.raw) or is_input_pipe(input) or is_output_pipe(output)


@dataclass
class _Stream:
    """The state of one run."""

    input: str
    output: str
    options: UpscaleOptions
    report: Report
    on_progress: OnProgress
    stop: StopToken
    pipe: OutputPipe | None = None
    """The output, if that is a pipe."""
    written: int = 0
    """Frames written."""
    ended: bool = False
    """Whether the run has ended or failed."""
    deserted: bool = False
    """Whether the reader of the output has closed it."""
    _told: int = -1
    _events: int = 0

    def unwanted(self) -> bool:
        """Return whether no more input should be read."""
        return self.ended or self.stop.requested or self._is_deserted()

    def _is_deserted(self) -> bool:
        """Return whether the reader of the output has closed it."""
        self.deserted = self.deserted or (self.pipe is not None and self.pipe.gone)
        return self.deserted

    def look_up(self, _frames: float = 0) -> None:
        """Report progress.

        Raises:
            PipeClosed: the reader of the output has closed it.
        """
        if self._is_deserted():
            raise PipeClosed(NO_READER)
        if self.written > self._told:
            self._told = self.written
            self.on_progress(Progress(phase="compute", done=self.written, total=None))

    def end(self) -> None:
        """Release threads that wait for input or for room in the output."""
        self.ended = True
        if self.pipe is not None:
            self.pipe.abandon()

    def note(self, kind: NoteKind, text: str) -> None:
        """Add a note to the report and show it, once."""
        notes = self.report.events if kind == "computing" else self.report.notes
        if text not in notes:
            notes.append(text)
            self.on_progress(Progress(phase="note", done=0, total=None, text=text, kind=kind))

    def note_events(self, events: Sequence[Event]) -> None:
        """Add the engine's events since the last call to the report."""
        for event in events[self._events :]:
            self.note("computing", event.text)
            self.report.chunks_recomputed += event.kind == "guard"
        self._events = len(events)


@dataclass
class _Work:
    """What a stream passes through."""

    source: StreamSource
    engine: Engine
    geometry: Geometry
    settings: EncodeSettings


def stream(
    input: str,
    output: str,
    options: UpscaleOptions,
    *,
    on_progress: OnProgress = ignore,
    stop: StopToken | None = None,
    models: list[ResolvedModel] | None = None,
) -> Report:
    """Upscale a stream frame by frame.

    Args:
        input: `-`, a FIFO, or a file that is read like one.
        output: `-`, a FIFO, or a file, which gets its name when the stream has ended.
        options: see `UpscaleOptions`; those about resuming are refused.
        on_progress: called with the number of frames written, without a total.
        stop: set it to end the stream once the frames that were read are written.
        models: the resolved `options.model`, if the caller has it already.

    Returns:
        The report of the run.

    Raises:
        PipeClosed: the reader of the output has closed it.
        InputError: the input cannot be read, or ended within a frame; the frames before are
            written.
        VsrppError: the run failed.
    """
    report = Report(input=input, output=output)
    run = _Stream(input, output, options, report, on_progress, stop or StopToken())
    try:
        _refuse(run)
        _connected(run, models)
    except StopNow:
        raise _failed(run, run.stop.error("stopped at once")) from None
    except VsrppError as error:
        raise _failed(run, error) from error.__cause__
    report.status = "done"
    return report


def _failed(run: _Stream, error: VsrppError) -> VsrppError:
    """Return the error to raise: an input that was cut off on purpose raises InputError, too."""
    if isinstance(error, InputError) and run.deserted:
        error = PipeClosed(NO_READER)
    elif isinstance(error, InputError) and run.stop.requested:
        error = run.stop.error("stopped before the first frame")
    run.report.fail(error)
    error.report = run.report
    return error


def _refuse(run: _Stream) -> None:
    """Refuse options that have no meaning for streams.

    Raises:
        UsageError: such an option is given.
    """
    options = run.options
    pointless = {
        "resume='must'": options.resume == "must",
        "resume='restart'": options.resume == "restart",
        "work_dir": options.work_dir is not None,
        "keep_work": options.keep_work,
        "segment": options.segment is not None,
        "workers": (options.workers or 1) > 1,
        "fps": options.fps is not None,
    }
    if given := [name for name, is_given in pointless.items() if is_given]:
        raise UsageError(f"`{given[0]}` is for files: a stream is read once and has no segments")
    if options.format is not None and not is_output_pipe(run.output):
        raise UsageError(f"`format={options.format!r}` is for pipes: OUTPUT's suffix says it")


def _connected(run: _Stream, models: list[ResolvedModel] | None) -> None:
    """Open input and output, and run the stream."""
    target: Path | OutputPipe
    if is_output_pipe(run.output):
        target = run.pipe = OutputPipe(run.output)
    else:
        target = _file_target(run)
    name = run.input if is_input_pipe(run.input) else str(check_input(run.input))
    with closing(target if isinstance(target, OutputPipe) else RawIOBase()):
        with InputPipe(name, run.unwanted) as pipe:
            source = StreamSource(pipe, name, run.options)
            with closing(source):
                _run(run, source, target, models)
        if isinstance(target, OutputPipe):
            run.report.output_bytes = target.sent


def _file_target(run: _Stream) -> Path:
    """Return the path of an output that is a file.

    Raises:
        OutputExistsError: it exists and may not be replaced.
        UsageError: it is a folder, or not a video file.
    """
    named = Path(STDIN_NAME if is_input_pipe(run.input) else run.input)
    path = resolve_output(run.output, named)
    if path.is_dir() or not path.suffix:
        raise UsageError(f"{path}: a stream becomes a video file or goes into a pipe, not a folder")
    find_container(path)
    check_place(path)
    check_free(path, overwrite=run.options.overwrite)
    run.report.output = str(path)
    return path


def _run(
    run: _Stream,
    source: StreamSource,
    target: Path | OutputPipe,
    models: list[ResolvedModel] | None,
) -> None:
    session = _session(run, source, models)
    settings = _settings(run, source, target, session)
    geometry = session.geometry(source.info.width, source.info.height)
    _describe(run, session, settings, geometry)
    work = _Work(source, session.engine(geometry), geometry, settings)
    run.report.kernels = work.engine.kernels
    started = perf_counter()
    try:
        if isinstance(target, OutputPipe):
            _write(run, work, target)
        else:
            _write_file(run, work, target)
    finally:
        run.report.seconds["compute"] = round(perf_counter() - started, 3)
        run.report.frames = run.report.frames_computed = run.written
    _end(run, source)


def _session(run: _Stream, source: StreamSource, models: list[ResolvedModel] | None) -> Session:
    compute = compute_spec(run.options)
    models = models or resolve_models(
        run.options,
        compute.device,
        source.info,
        on_progress=lambda p: run.on_progress(
            Progress(phase="download", done=p.done, total=p.total, text=p.file)
        ),
    )
    for model in models:
        if model.why:
            text = f"{model.why}, {model.name}"
            run.on_progress(Progress(phase="model", done=0, total=None, text=text))
    return Session(models, run.options, compute)


def _settings(
    run: _Stream, source: StreamSource, target: Path | OutputPipe, session: Session
) -> EncodeSettings:
    """Return the settings of the encoder, after notes on what will be lost.

    Raises:
        StrictError: something would be lost, and `strict` is set.
    """
    info, options, threads = source.info, run.options, session.compute.threads
    if isinstance(target, OutputPipe):
        settings = resolve_pipe(info, options, scale=session.scale, threads=threads)
    else:
        settings = resolve(info, options, target, scale=session.scale, threads=threads)
    lost = [loss.text for loss in settings.losses]
    if options.strict and lost:
        raise StrictError(f"`strict`: {'; '.join(lost)}")
    models = (model.note for model in session.models if model.note)
    for text in (*info.notes, *session.compute.notes, *settings.notes, *lost, *models):
        run.note("source", text)
    return settings


def _describe(run: _Stream, session: Session, settings: EncodeSettings, geometry: Geometry) -> None:
    report, compute = run.report, session.compute
    report.size = settings.width, settings.height
    report.model = ",".join(model.name for model in session.models)
    report.device, report.precision = compute.device, compute.precision
    report.threads, report.geometry = compute.threads, to_json(geometry)


def _write_file(run: _Stream, work: _Work, path: Path) -> None:
    """Write to a temporary file next to the output, and rename it when it is complete."""
    temporary = temporary_output(path)
    try:
        _write(run, work, temporary)
        check_free(path, overwrite=run.options.overwrite)
        with disk_errors(path):
            publish(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    run.report.output_bytes = path.stat().st_size


def _write(run: _Stream, work: _Work, target: Path | OutputPipe) -> None:
    """Upscale and write all frames, then complete the output.

    Raises:
        UsageError, Interrupted: there was no frame.
    """
    with ReadAhead(work.source.frames(), READ_AHEAD) as frames:
        try:
            writer = open_stream_writer(target, work.settings, run.output)
            with WriteBehind(writer, WRITE_BEHIND) as output:
                _pass_on(run, work, frames, output)
        finally:
            run.end()


def _pass_on(
    run: _Stream,
    work: _Work,
    frames: ReadAhead[Streamed],
    output: WriteBehind[Frame | FinalFrame, int],
) -> None:
    run.look_up()
    try:
        for frame in _upscaled(run, work, frames):
            output.write(frame)
            run.written += 1
            run.look_up()
            run.note_events(work.engine.events)
        _refuse_nothing(run)
        output.close()
    except BaseException:
        run.end()  # else the writer's thread may wait for ever
        raise


def _refuse_nothing(run: _Stream) -> None:
    if run.written:
        return
    if run.stop.requested:
        raise run.stop.error("stopped before the first frame")
    raise UsageError(f"{run.input}: no frame between `start` and `end`")


def _upscaled(run: _Stream, work: _Work, frames: ReadAhead[Streamed]) -> Iterator[Frame]:
    """Yield the upscaled frames of a stream with their timestamps and alpha."""
    scenes = LiveScenes(frames, detect=run.options.scenes == "auto")
    beside: deque[tuple[int, NDArray[np.float32] | None]] = deque()

    def pictures() -> Iterator[NDArray[np.float32]]:
        for frame in scenes:
            beside.append((frame.pts, frame.alpha))
            yield frame.rgb

    chunks = scenes.chunks(work.geometry.chunk, work.geometry.overlap)
    for rgb in work.engine.upscale(pictures(), chunks, run.look_up):
        pts, alpha = beside.popleft()
        yield Frame(pts, rgb, alpha)


def _end(run: _Stream, source: StreamSource) -> None:
    """Note what was damaged or repaired.

    Raises:
        Interrupted, Terminated: the run was stopped.
        InputError: the input ended within a frame.
    """
    if source.damaged:
        run.note("result", f"{source.damaged} damaged places skipped")
    if source.repaired:
        run.note("result", f"{source.repaired} timestamps were missing or out of order: mended")
    if run.stop.requested:
        raise run.stop.error(f"stopped: {run.written} frames are written")
    if source.torn:
        raise InputError(
            f"{run.input}: ends amid a frame; the {run.written} frames before are written"
        )
