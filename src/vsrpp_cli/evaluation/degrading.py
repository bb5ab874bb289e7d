"""Whole videos and folders of frames made small, all else kept as `upscale` keeps it."""

import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vsrpp_cli.degrade import SCALE, degrade_rgb, downsampler
from vsrpp_cli.errors import InputError, OutputExistsError, UsageError
from vsrpp_cli.inference.device import default_threads
from vsrpp_cli.media.encode.output_size import quarter_turned
from vsrpp_cli.media.encode.selection import resolve
from vsrpp_cli.media.encode.writer import open_writer, segment_suffix
from vsrpp_cli.media.mux.join import join, plan_streams
from vsrpp_cli.media.mux.publish import publish
from vsrpp_cli.media.mux.verify import verify
from vsrpp_cli.media.source import FrameSource, open_source
from vsrpp_cli.media.types import EncodeSettings, Frame, OutputPlan, Scan, SourceInfo
from vsrpp_cli.options import UpscaleOptions
from vsrpp_cli.runs.durable import disk_errors, fsync_tree

OnFrame = Callable[[int, int], None]
"""Called with frames done and all of them."""


@dataclass(frozen=True)
class Degraded:
    """What was written."""

    output: str
    frames: int
    width: int
    height: int
    notes: tuple[str, ...]


def degrade_input(
    path: Path,
    output: Path,
    kind: str,
    options: UpscaleOptions,
    *,
    factor: int = SCALE,
    on_frame: OnFrame | None = None,
) -> Degraded:
    """Make a video or folder of frames `factor` times smaller.

    Frames from images are rounded to their code values as the benchmarks' PNGs were. Frames of a
    video are not: they go through its colour conversion and its encoder.

    Args:
        path: the input.
        output: the result, of any kind `upscale` writes; it appears when complete and verified.
        kind: `bi` or `bd`.
        options: what to take of the input, and how to encode; all about networks is ignored.
        factor: how many times smaller; rows and columns beyond a multiple are left off.
        on_frame: told about each frame.

    Raises:
        VsrppError: input or output do not allow what the options ask.
    """
    downsampler(kind)
    _refuse_nonsense(path, output, options)
    source = open_source(
        path, video_track=options.video_track, fps=options.fps, deinterlace=options.deinterlace
    )
    info = source.info
    settings = resolve(
        info, _sized(info, options, factor), output, scale=1, threads=default_threads()
    )
    streams = plan_streams(info, settings, options)
    scan = source.scan(scenes=False, start=options.start, end=options.end, frames=options.frames)
    plan = OutputPlan(path=str(output.absolute()), encode=settings, streams=streams)
    with (
        disk_errors(output),
        tempfile.TemporaryDirectory(
            prefix=".vsrpp-degrade-", dir=output.absolute().parent
        ) as folder,
    ):
        segment = Path(folder) / f"segment{segment_suffix(settings)}"
        _write_segment(source, scan, settings, segment, _Small(info, kind, factor), on_frame)
        joined = Path(folder) / f"joined{output.suffix}"
        notes = join([segment], scan, info, plan, joined)
        notes += verify(joined, scan, info, plan, decode=options.verify)
        fsync_tree(joined)
        publish(joined, output.absolute())
    said = (*info.notes, *scan.notes, *settings.notes, *settings.losses, *notes)
    reasons = tuple(choice.reason for choice in streams if choice.reason)
    return Degraded(str(output), scan.frames, settings.width, settings.height, said + reasons)


def _refuse_nonsense(path: Path, output: Path, options: UpscaleOptions) -> None:
    if path.exists() and output.exists() and output.samefile(path):
        raise UsageError(f"{output} is the input itself: give another name")
    empty = output.is_dir() and not any(output.iterdir())
    if os.path.lexists(output) and not empty and not options.overwrite:
        raise OutputExistsError(f"{output} exists: give -y to replace it")
    if not output.absolute().parent.is_dir():
        raise UsageError(f"{output.absolute().parent} is no folder: create it first")


def _sized(info: SourceInfo, options: UpscaleOptions, factor: int) -> UpscaleOptions:
    """Return the options with the size of the result, as it is shown."""
    width, height = info.width // factor, info.height // factor
    if not width or not height:
        raise InputError(
            f"{info.path}: frames of {info.width}x{info.height} are too small to be made "
            f"{factor} times smaller"
        )
    if quarter_turned(info.display_matrix):
        width, height = height, width
    return replace(options, width=width, height=height, scale=None)


@dataclass(frozen=True)
class _Small:
    """Makes one frame small."""

    info: SourceInfo
    kind: str
    factor: int

    def __call__(self, frame: Frame) -> Frame:
        levels = (1 << self.info.bit_depth) - 1 if self.info.kind == "frames" else None
        alpha = None if frame.alpha is None else self._degraded(frame.alpha[None], levels)[0]
        return Frame(frame.pts, self._degraded(frame.rgb, levels), alpha)

    def _degraded(self, planes: NDArray[np.float32], levels: int | None) -> NDArray[np.float32]:
        return degrade_rgb(planes, self.kind, factor=self.factor, levels=levels)


def _write_segment(
    source: FrameSource,
    scan: Scan,
    settings: EncodeSettings,
    path: Path,
    small: _Small,
    on_frame: OnFrame | None,
) -> None:
    writer = open_writer(path, settings)
    try:
        for done, frame in enumerate(source.read(scan, 0, scan.frames), 1):
            writer.write(small(frame))
            if on_frame is not None:
                on_frame(done, scan.frames)
        writer.close()
    except BaseException:
        writer.abort()
        raise
