"""Comparing the finished file with the plan.

Missing or damaged pictures are an error. Other differences are only reported: they are no reason to
discard what may have taken days to compute.
"""

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import av.error
from av.container import InputContainer

from vsrpp_cli.errors import PictureError, VerificationError
from vsrpp_cli.media.color.codepoints import FULL
from vsrpp_cli.media.color.convert import code_points, has_alpha
from vsrpp_cli.media.container_table import container_row
from vsrpp_cli.media.decode.side_data import (
    display_matrix,
    spherical_mapping,
    stereo_layout,
)
from vsrpp_cli.media.encode.encoder_table import encoder_row
from vsrpp_cli.media.mux.timeline import timeline
from vsrpp_cli.media.opening import fraction, open_input
from vsrpp_cli.media.types import EncodeSettings, OutputPlan, Scan, SourceInfo


def verify(
    path: Path, scan: Scan, source: SourceInfo, output: OutputPlan, *, decode: bool
) -> list[str]:
    """Compare a joined file with the plan.

    Args:
        path: the joined file.
        scan: the run's frames.
        source: the input.
        output: from the plan.
        decode: whether to decode all of the video.

    Returns:
        Differences that leave the pictures complete, one sentence each.

    Raises:
        VerificationError: the file cannot be read back, or pictures are missing or damaged.
    """
    settings = output.encode
    try:
        with open_input(path) as file:
            found = list(_streams(file, output))
        with open_input(path) as file:
            found += _picture(file, settings)
        with open_input(path) as file:
            found += _shape(file, settings)
            found += _duration(file, scan, source, settings)
            found += _times(file, scan, source, settings)
        with open_input(path) as file:
            found += _frames(file, scan, source, settings, all_of_them=decode)
    except (av.error.FFmpegError, OSError) as error:
        raise VerificationError(f"the output cannot be read back: {error.strerror}") from error
    return list(dict.fromkeys(found))


def _streams(file: InputContainer, output: OutputPlan) -> Iterator[str]:
    """Check the number of streams of each kind."""
    covers = sum(is_cover(s) for s in file.streams.video)
    found = {
        "video": len(file.streams.video) - covers,
        "audio": len(file.streams.audio),
        "subtitle": len(file.streams.subtitles),
        "attachment": len(file.streams.attachments),
        "cover": covers,
    }
    for kind, count in found.items():
        wanted = sum(c.kind == kind and c.action != "drop" for c in output.streams)
        wanted += kind == "video"
        if count != wanted:
            yield f"the output has {count} {kind} streams instead of {wanted}"
    if not file.streams.video or is_cover(file.streams.video[0]):
        raise VerificationError("the output's first video stream is its cover, or there is none")


def _picture(file: InputContainer, settings: EncodeSettings) -> Iterator[str]:
    """Check size, pixel format and colour tags."""
    codec = file.streams.video[0].codec_context
    if codec.pix_fmt is None:
        # libavformat reads a few seconds only; a video that begins later has no format yet.
        next(file.decode(video=0), None)
    tags = (codec.color_primaries, codec.color_trc, codec.colorspace)
    size, wanted_size = (codec.width, codec.height), (settings.width, settings.height)
    if size != wanted_size:
        raise PictureError(f"the output's size is {size} instead of {wanted_size}")
    compared: tuple[tuple[str, object, object], ...] = (
        ("pixel format", stored(codec.pix_fmt or ""), stored(settings.pix_fmt)),
        ("primaries, transfer and matrix", tags, code_points(settings.color)[:3]),
    )
    for name, found, wanted in compared:
        if found != wanted:
            yield f"the output's {name} is {found} instead of {wanted}"
    full = codec.color_range == FULL
    if full != settings.color.full_range:
        yield f"the output's range is {'full' if full else 'limited'}"


def _shape(file: InputContainer, settings: EncodeSettings) -> Iterator[str]:
    """Check the sample aspect ratio."""
    aspect = fraction(file.streams.video[0].sample_aspect_ratio) or Fraction(1)
    if abs(aspect / settings.sample_aspect_ratio - 1) > ROUNDED_SHAPE:
        yield (
            f"the output's sample aspect ratio is {aspect} instead of "
            f"{settings.sample_aspect_ratio}"
        )


ROUNDED_SHAPE = Fraction(1, 1000)
"""Relative error allowed for an aspect ratio that had to be rounded."""


def _duration(
    file: InputContainer, scan: Scan, source: SourceInfo, settings: EncodeSettings
) -> Iterator[str]:
    """Check the duration that the container states."""
    stream = file.streams.video[0]
    line = timeline(scan, settings, source.time_base)
    begin, end = scan.pts[0], scan.pts[-1] + scan.last_duration
    stated = container_row(settings.container).track_durations
    if stated and stream.duration is not None and stream.time_base:
        found, wanted = stream.duration * stream.time_base, (end - begin) * source.time_base
    elif file.duration is not None:
        # The duration of the whole file: sound may last longer.
        found, wanted = Fraction(file.duration, av.time_base), (end - line.shift) * source.time_base
        found = min(found, wanted)
    else:
        yield "the output does not say how long it is"
        return
    if abs(found - wanted) > ROUNDED_DURATION:
        yield f"the output's video lasts {float(found):.3f} s instead of {float(wanted):.3f}"


ROUNDED_DURATION = Fraction(2, 1000)
"""Error in seconds allowed for a duration: some containers store milliseconds."""


def stored(pix_fmt: str) -> str:
    """Return the part of a pixel format that all files store: no layout, range or transparency."""
    plain = STORED.get(pix_fmt, pix_fmt).replace("yuvj", "yuv").replace("yuva", "yuv")
    # ProRes 4444 is read as 12 bits, whatever was given.
    return plain.replace("yuv444p12", "yuv444p10")


STORED = {
    "nv12": "yuv420p",
    "nv16": "yuv422p",
    "p010le": "yuv420p10le",
    "p012le": "yuv420p12le",
    "p210le": "yuv422p10le",
}
"""Pixel format of decoded pictures that hardware encoded, by that given to the encoder."""


def is_cover(stream: av.VideoStream) -> bool:
    """Return whether a video stream is cover art."""
    return bool(stream.disposition & av.stream.Disposition.attached_pic)


def _times(
    file: InputContainer, scan: Scan, source: SourceInfo, settings: EncodeSettings
) -> list[str]:
    """Read every packet of every stream, and compare those of the video with the plan."""
    stream = file.streams.video[0]
    found = [
        packet.pts
        for packet in file.demux()
        if packet.stream_index == stream.index and packet.size and packet.pts is not None
    ]
    unit = fraction(stream.time_base) or Fraction(1)
    return _differing_times(sorted(found), unit, scan, source, settings)


def _differing_times(
    found: list[int], unit: Fraction, scan: Scan, source: SourceInfo, settings: EncodeSettings
) -> list[str]:
    """Return a sentence about the first frame with a wrong time, or nothing.

    Raises:
        PictureError: the number of frames differs.
    """
    if len(found) != scan.frames:
        raise PictureError(f"the output has {len(found)} frames instead of {scan.frames}")
    line = timeline(scan, settings, source.time_base)
    for index, (pts, wanted) in enumerate(zip(found, scan.pts, strict=True)):
        exact = (wanted - line.shift) * source.time_base
        # Rounding to the container's unit may shift a time by half a unit.
        if abs(pts * unit - exact) * 2 > unit:
            shown = f"{float(pts * unit):.6f} s instead of {float(exact):.6f}"
            return [f"frame {index} is shown at {shown}"]
    return []


def _frames(
    file: InputContainer,
    scan: Scan,
    source: SourceInfo,
    settings: EncodeSettings,
    *,
    all_of_them: bool,
) -> list[str]:
    """Decode the video, or its first frame only."""
    stream = file.streams.video[0]
    stream.thread_type = "AUTO"
    found: list[int] = []
    differing: list[str] = []
    for frame in file.decode(stream):
        if frame.is_corrupt or frame.pts is None:
            raise PictureError(f"frame {len(found)} of the output is damaged")
        if not found:
            differing = list(_first_frame(frame, stream, settings))
            if not all_of_them:
                return differing
        found.append(frame.pts)
    unit = fraction(stream.time_base) or Fraction(1)
    return differing + _differing_times(found, unit, scan, source, settings)


def _first_frame(
    frame: av.VideoFrame, stream: av.VideoStream, settings: EncodeSettings
) -> Iterator[str]:
    """Check properties that only decoded frames have."""
    compared: tuple[tuple[str, object, object], ...] = (
        ("display matrix", display_matrix(frame), settings.display_matrix),
        ("3D layout", stereo_layout(frame, stream), settings.stereo),
        ("spherical mapping", spherical_mapping(frame), settings.spherical),
    )
    for name, found, wanted in compared:
        if found != wanted:
            yield f"the output's {name} is {found} instead of {wanted}"
    decoded = not encoder_row(settings.codec).format.alpha_beside
    if settings.keep_alpha and decoded and not has_alpha(frame.format):
        yield f"the output has lost its transparency ({frame.format.name})"
