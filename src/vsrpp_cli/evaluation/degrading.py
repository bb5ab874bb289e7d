"""Downscales whole videos and folders of frames; sound and the rest are kept as by `upscale`."""

import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vsrpp_cli.degrade import SCALE, degrade_rgb, downsampler
from vsrpp_cli.durable import disk_errors, fsync_tree
from vsrpp_cli.errors import InputError, UsageError
from vsrpp_cli.evaluation.web import KIND as WEB
from vsrpp_cli.evaluation.web import Degradation, Web
from vsrpp_cli.inference.machine.device import default_threads
from vsrpp_cli.media.decode.side_data import quarter_turned
from vsrpp_cli.media.encode.encoder_table import X264
from vsrpp_cli.media.encode.selection import resolve
from vsrpp_cli.media.encode.writer import SegmentWriter, Writer
from vsrpp_cli.media.mux.stream_selection import scan_and_plan_streams
from vsrpp_cli.media.output.assembly import Assembly
from vsrpp_cli.media.output.protocol import output_of
from vsrpp_cli.media.output.publish import publish
from vsrpp_cli.media.source import FrameSource, open_source
from vsrpp_cli.media.types import EncodeSettings, Frame, OutputPlan, Scan, SourceInfo
from vsrpp_cli.options import UpscaleOptions
from vsrpp_cli.runs.destination import check_free, check_place
from vsrpp_cli.runs.names import check_name

OnFrame = Callable[[int, int], None]
"""Called with the number of frames done and the number of all frames."""


@dataclass(frozen=True)
class Degraded:
    """Facts about the written output."""

    output: str
    frames: int
    width: int
    height: int
    notes: tuple[str, ...]


def degrade_input(
    path: Path,
    output: Path,
    kind: Degradation,
    options: UpscaleOptions,
    *,
    factor: int = SCALE,
    blur: float = 0.0,
    noise: float = 0.0,
    on_frame: OnFrame | None = None,
) -> Degraded:
    """Make a video or folder of frames `factor` times smaller.

    Frames from images are rounded to code values, as the PNG files of the benchmarks are. Frames of
    a video are not; they are converted and encoded for the output.

    Args:
        path: the input.
        output: the result, of any kind that `upscale` writes; it gets its name when it is complete
            and verified.
        kind: `bi` or `bd`; `web` for BI and x264 at CRF `options.crf`. A video output then is what
            that encoder writes, in BT.601; a folder has the decoded frames.
        options: the part of the input to use, and how to encode; options of networks are ignored.
        factor: the factor of downscaling; rows and columns beyond a multiple of it are cropped.
        blur: of `web`, see `Web`.
        noise: of `web`, see `Web`.
        on_frame: called after each frame.

    Raises:
        VsrppError: the input, the output or the options do not allow this.
    """
    web = _web(kind, options, blur, noise)
    if web is not None:
        options = replace(options, crf=None)
    check_name(output)
    check_place(output, path)
    check_free(output, overwrite=options.overwrite)
    source = open_source(
        path, video_track=options.video_track, fps=options.fps, deinterlace=options.deinterlace
    )
    info = source.info
    settings = resolve(
        info, _sized(info, options, factor), output, scale=1, threads=default_threads()
    )
    if web is not None and settings.kind == "video":
        settings = _compressed(settings, web)
    scan, streams = scan_and_plan_streams(source, settings, options, scenes=False)
    plan = OutputPlan(path=str(output.absolute()), encode=settings, streams=streams)
    with (
        disk_errors(output),
        tempfile.TemporaryDirectory(
            prefix=".vsrpp-degrade-", dir=output.absolute().parent
        ) as folder,
    ):
        segment = Path(folder) / f"segment{output_of(plan).segment_suffix}"
        small = _Small(info, kind, factor, web)
        frames = _small_frames(source, scan, small, on_frame)
        if web is not None and settings.kind == "frames":
            frames = _through_x264(frames, scan, settings, web, Path(folder) / "coded.mkv")
        _write_segment(frames, output_of(plan).open_writer(segment))
        joined = Path(folder) / f"joined{output.suffix}"
        made = Assembly([segment], scan, info, plan, joined, decode=options.verify).run()
        fsync_tree(joined)
        publish(joined, output.absolute())
    losses = [loss.text for loss in (*info.losses, *settings.losses)]
    reasons = [choice.reason for choice in made.streams if choice.reason]
    said = (*info.notes, *scan.notes, *settings.notes, *losses, *made.notes, *made.deviations)
    notes = tuple(dict.fromkeys((*said, *reasons)))
    return Degraded(str(output), scan.frames, settings.width, settings.height, notes)


def _sized(info: SourceInfo, options: UpscaleOptions, factor: int) -> UpscaleOptions:
    """Return the options with the size of the output as it is displayed."""
    width, height = info.width // factor, info.height // factor
    if not width or not height:
        raise InputError(
            f"{info.path}: frames of {info.width}x{info.height} are too small to be made "
            f"{factor} times smaller"
        )
    if quarter_turned(info.display_matrix):
        width, height = height, width
    return replace(options, width=width, height=height, scale=None)


def _web(kind: Degradation, options: UpscaleOptions, blur: float, noise: float) -> Web | None:
    """Return the strength of `web`, None for another degradation.

    Raises:
        UnknownNameError: there is no such degradation.
        UsageError: an option contradicts it, or a strength is out of range.
    """
    if kind != WEB:
        downsampler(kind)
        if blur or noise:
            raise UsageError(f"`blur` and `noise` belong to `kind={WEB!r}`, not to {kind}")
        return None
    told = {
        "`codec`": options.codec,
        "`preset`": options.preset,
        "`pix_fmt`": options.pix_fmt,
        "`encoder_options`": options.encoder_options,
    }
    if given := [name for name, value in told.items() if value]:
        raise UsageError(f"`kind={WEB!r}` decides how is encoded: leave out {', '.join(given)}")
    web = Web(blur=blur, noise=noise)
    return web if options.crf is None else replace(web, crf=options.crf)


def _compressed(settings: EncodeSettings, web: Web) -> EncodeSettings:
    """Return the settings of a video with everything that affects pixels replaced by `web`'s.

    Raises:
        UsageError: the output's container cannot hold H.264.
    """
    if settings.container not in X264.containers:
        raise UsageError(
            f"`kind={WEB!r}` writes H.264: give OUTPUT a suffix of .mp4, .mov or .mkv, or none"
        )
    coded = web.encoding.settings(settings.width, settings.height, settings.time_base)
    return replace(
        settings,
        codec=coded.codec,
        pix_fmt=coded.pix_fmt,
        color=coded.color,
        options=coded.options,
        threads=coded.threads,
        hdr=None,
        keep_alpha=False,
        dither=False,
    )


@dataclass(frozen=True)
class _Small:
    """Downscales one frame."""

    info: SourceInfo
    kind: Degradation
    factor: int
    web: Web | None

    def __call__(self, index: int, frame: Frame) -> Frame:
        if self.web is not None:
            codes = np.rint(frame.rgb.clip(0, 1) * np.float32(255)).astype(np.uint8)
            low = self.web.small(codes, index, self.factor)
            return Frame(frame.pts, low.astype(np.float32) / np.float32(255))
        levels = (1 << self.info.bit_depth) - 1 if self.info.kind == "frames" else None
        alpha = None if frame.alpha is None else self._degraded(frame.alpha[None], levels)[0]
        return Frame(frame.pts, self._degraded(frame.rgb, levels), alpha)

    def _degraded(self, planes: NDArray[np.float32], levels: int | None) -> NDArray[np.float32]:
        assert self.kind != WEB
        return degrade_rgb(planes, self.kind, factor=self.factor, levels=levels)


def _small_frames(
    source: FrameSource, scan: Scan, small: _Small, on_frame: OnFrame | None
) -> Iterator[Frame]:
    for index, frame in enumerate(source.read(scan, 0, scan.frames)):
        yield small(index, frame)
        if on_frame is not None:
            on_frame(index + 1, scan.frames)


def _through_x264(
    frames: Iterator[Frame], scan: Scan, settings: EncodeSettings, web: Web, path: Path
) -> Iterator[Frame]:
    """Yield the frames after x264, with their original timestamps."""
    width, height = (side + side % 2 for side in (settings.width, settings.height))
    encoding = web.encoding.settings(width, height, settings.time_base)
    _write_segment(frames, SegmentWriter(path, encoding))
    coded = open_source(path, deinterlace="off")
    known = coded.scan(scenes=False)
    for pts, frame in zip(scan.pts, coded.read(known, 0, known.frames), strict=True):
        rgb = np.ascontiguousarray(frame.rgb[:, : settings.height, : settings.width])
        yield Frame(pts, rgb)


def _write_segment(frames: Iterator[Frame], writer: Writer) -> None:
    try:
        for frame in frames:
            writer.write(frame)
        writer.close()
    except BaseException:
        writer.abort()
        raise
