"""What a video file holds, from its header and its first picture."""

import re
import struct
from collections.abc import Iterator
from fractions import Fraction
from itertools import islice
from pathlib import Path
from typing import Any

import av
import av.error
import av.logging
from av.container import InputContainer
from av.stream import AttachmentStream, Disposition, Stream
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from vsrpp_cli.errors import InputError, UsageError
from vsrpp_cli.media.color import codepoints
from vsrpp_cli.media.color.convert import frame_to_alpha, has_alpha, supported
from vsrpp_cli.media.color.tags import color_of
from vsrpp_cli.media.decode.decoding import TrackDecoder, looks_encrypted, open_container
from vsrpp_cli.media.decode.timestamp_repair import usual_step
from vsrpp_cli.media.types import ColorSpec, HdrMetadata, SourceInfo, StreamInfo

FALLBACK_RATE = Fraction(25)
"""Frames per second of a track that says nothing about it."""

RAW = ("h264", "hevc", "vvc", "m4v", "mpegvideo", "obu", "h263")
"""Elementary streams: no container, no timestamps."""
MAX_RATE = 300
"""Frames per second above which a header's claim is taken for a placeholder."""
RATE_PACKETS = 100
OPAQUE_FRAMES = 200
USUAL_RATES = tuple(
    map(
        Fraction,
        [
            "10",
            "12",
            "15",
            "24000/1001",
            "24",
            "25",
            "30000/1001",
            "30",
            "50",
            "60000/1001",
            "60",
            "100",
            "120",
            "240",
        ],
    )
)

IDENTITY = (1 << 16, 0, 0, 0, 1 << 16, 0, 0, 0, 1 << 30)
FIELD_ORDERS = {1: "progressive", 2: "top", 3: "bottom", 4: "top", 5: "bottom"}
"""FFmpeg's AVFieldOrder; of the last two only the coded order differs from the displayed one."""


def probe(path: str, *, video_track: int | None = None) -> SourceInfo:
    """Find out what a video file holds, decoding no more than its first picture.

    Args:
        path: the file.
        video_track: which of the video tracks, counted from 0; None for the first real one.

    Raises:
        InputError: no video in it that can be decoded.
        UsageError: there is no such video track.
    """
    with open_container(path) as container:
        index = choose_track(path, container, video_track)
        others = tuple(_describe(s) for s in container.streams if s.index != index)
        dump = _dump(container)
    with TrackDecoder(path, index, threads=1) as decoder:
        frame = next(decoder.frames(), None)
        if frame is None:
            raise InputError(_why_no_picture(path, decoder.stream))
        return _source_info(path, decoder, frame, others, dump)


def choose_track(path: str, container: InputContainer, wanted: int | None) -> int:
    """Return the stream index of the video track to use: cover art does not count."""
    real = [s for s in container.streams.video if not _is_still(s)]
    if not real:
        raise InputError(_why_no_video(path, container))
    if wanted is None:
        # Some files name tracks that hold nothing.
        return next((s.index for s in real if _says_something(s)), real[0].index)
    if wanted >= len(real):
        raise UsageError(
            f"--video-track {wanted}: {path} has {len(real)} video "
            f"track{'s' if len(real) > 1 else ''}, counted from 0"
        )
    return real[wanted].index


def _is_still(stream: VideoStream) -> bool:
    return bool(stream.disposition & (Disposition.attached_pic | Disposition.timed_thumbnails))


def _says_something(stream: VideoStream) -> bool:
    context: Any = stream.codec_context
    return context is not None and context.width > 0


def _why_no_video(path: str, container: InputContainer) -> str:
    kinds = [s.type for s in container.streams]
    if container.streams.video:
        return f"{path}: holds no video but a cover picture"
    if not kinds:
        return f"{path}: holds no stream that can be read"
    return f"{path}: holds no video, only {', '.join(sorted(set(kinds)))}"


def _why_no_picture(path: str, stream: VideoStream) -> str:
    context = stream.codec_context
    if context.codec_tag == "encv" or "enc_key_id" in stream.metadata or looks_encrypted(path):
        return f"{path}: is encrypted (copy protection)"
    return f"{path}: no picture of its video track ({context.name}) can be decoded"


def _describe(stream: Stream) -> StreamInfo:
    context: Any = stream.codec_context
    name = context.name if context is not None else ""
    if isinstance(stream, AttachmentStream):
        name = stream.mimetype or name
    kind = stream.type if stream.type != "unknown" else "data"
    return StreamInfo(
        index=stream.index,
        kind=kind,
        codec=name or "unknown",
        language=stream.language,
        title=stream.metadata.get("title") or stream.metadata.get("filename"),
        attached_picture=isinstance(stream, VideoStream) and _is_still(stream),
    )


def _dump(container: InputContainer) -> str:
    """Return FFmpeg's own description: the only place where PyAV shows some properties."""
    level = av.logging.get_level()
    try:
        av.logging.set_level(av.logging.VERBOSE)
        av.logging.set_libav_level(av.logging.VERBOSE)
        text: str = container.dumps_format()  # type: ignore[attr-defined]
    finally:
        av.logging.set_level(level)
        av.logging.set_libav_level(av.logging.INFO)  # FFmpeg's default; it cannot be asked
    return text


def _stream_dump(dump: str, index: int) -> str:
    match = re.search(
        rf"^  Stream #0:{index}\b.*?(?=^  Stream #|\Z)", dump, re.MULTILINE | re.DOTALL
    )
    return match.group() if match else ""


def _source_info(
    path: str, decoder: TrackDecoder, frame: VideoFrame, others: tuple[StreamInfo, ...], dump: str
) -> SourceInfo:
    stream, container = decoder.stream, decoder.container
    text = _stream_dump(dump, stream.index)
    kind = frame.format
    if not supported(kind):
        raise InputError(f"{path}: pixel format {kind.name!r} is not supported")
    color = color_of(frame, siting=_siting(text))
    assert stream.time_base is not None
    rate = _rate(path, stream)
    duration = _duration(container, stream)
    hdr = hdr_metadata(frame)
    notes = [*_color_notes(color, frame), *_track_notes(others), *_loss_notes(stream, frame, text)]
    return SourceInfo(
        path=str(Path(path).absolute()),
        kind="video",
        container=container.format.name,
        stream_index=stream.index,
        codec=stream.codec_context.codec.canonical_name,
        width=frame.width,
        height=frame.height,
        pix_fmt=kind.name,
        bit_depth=8 if kind.has_palette else max(part.bits for part in kind.components),
        has_alpha=has_alpha(kind) and not (container.format.name == "gif" and _opaque(path)),
        color=color,
        sample_aspect_ratio=stream.sample_aspect_ratio
        or stream.codec_context.sample_aspect_ratio
        or Fraction(1),
        display_matrix=display_matrix(frame),
        time_base=stream.time_base,
        frame_rate=rate,
        duration=duration,
        begin=_begin(container),
        frame_estimate=stream.frames or _estimate(container, duration, rate),
        interlaced=_field_order(stream, frame),
        hdr=hdr,
        streams=others,
        notes=tuple(notes),
    )


def _rate(path: str, stream: VideoStream) -> Fraction | None:
    """Return the nominal frame rate; where the header's is nonsense, what the packets say."""
    claims = [stream.average_rate]
    if stream.container.format.name in RAW:
        # The container has no rate, and FFmpeg puts 25 there; the stream itself may have one.
        claims.insert(0, stream.codec_context.framerate)
    for rate in claims:
        if rate and rate <= MAX_RATE:
            return rate
    with open_container(path) as container:
        packets = container.demux(container.streams[stream.index])
        stamps = sorted(p.pts for p in islice(packets, RATE_PACKETS) if p.pts is not None)
    if len(stamps) > 2 and stream.time_base:
        return usual_rate(1 / (usual_step(stamps, 1) * Fraction(stream.time_base)))
    guessed = stream.guessed_rate
    return guessed if guessed and guessed <= MAX_RATE else None


def usual_rate(rate: Fraction) -> Fraction | None:
    """Return the frame rate meant by a measured one; None for one that cannot be meant."""
    near = min(USUAL_RATES, key=lambda usual: abs(usual - rate))
    if abs(near - rate) < rate / 50:
        return near
    return rate if rate <= MAX_RATE else None


def _duration(container: InputContainer, stream: VideoStream) -> Fraction | None:
    if stream.duration and stream.time_base:
        return stream.duration * Fraction(stream.time_base)
    if tag := re.fullmatch(r"(\d+):(\d\d):(\d\d(?:\.\d+)?)", stream.metadata.get("DURATION", "")):
        hours, minutes, seconds = (Fraction(part) for part in tag.groups())
        return (hours * 60 + minutes) * 60 + seconds
    if container.duration and len(container.streams) == 1:
        return Fraction(container.duration, av.time_base)
    return None


def _begin(container: InputContainer) -> Fraction | None:
    start = container.start_time
    return None if start is None else Fraction(start, av.time_base)


def _estimate(
    container: InputContainer, duration: Fraction | None, rate: Fraction | None
) -> int | None:
    if duration is None and container.duration:
        duration = Fraction(container.duration, av.time_base)
    return round(duration * rate) if duration and rate else None


def _field_order(stream: VideoStream, frame: VideoFrame) -> str:
    claimed = FIELD_ORDERS.get(stream.codec_context.field_order, "progressive")
    if frame.interlaced_frame:
        return claimed if claimed != "progressive" else "top"
    return claimed


def _siting(text: str) -> str:
    """Return the chroma sample location from a stream's description."""
    line = next((line for line in text.splitlines() if "Video:" in line), "")
    words = re.split(r", *|/", ",".join(re.findall(r"\(([^()]*)\)", line)))
    return next((w for w in words if w in codepoints.SITINGS), "unspecified")


def _color_notes(color: ColorSpec, frame: VideoFrame) -> Iterator[str]:
    readings = {
        "matrix": color.matrix,
        "range": "full range" if color.full_range else "limited range",
    }
    guessed = [name for name in readings if name in color.guessed]
    if guessed:
        yield (
            f"colour {' and '.join(guessed)} not given: taken as "
            f"{', '.join(readings[name] for name in guessed)}, as players do for "
            f"{frame.width}x{frame.height}"
        )


def _track_notes(others: tuple[StreamInfo, ...]) -> Iterator[str]:
    more = [s for s in others if s.kind == "video" and not s.attached_picture]
    if more:
        tracks = f"{len(more)} further video track{'s' if len(more) > 1 else ''}"
        yield f"{tracks}: --video-track chooses another"


def _loss_notes(stream: VideoStream, frame: VideoFrame, text: str) -> Iterator[str]:
    """Name what belongs to the pictures and does not survive decoding."""
    if "DOVI configuration record" in text or _side_data(frame, "DOVI_METADATA"):
        yield "Dolby Vision metadata is dropped: the base layer alone is upscaled"
        if re.search(r"profile: 5\b", text):
            yield "Dolby Vision profile 5 has no usable base layer: expect wrong colours"
    if _side_data(frame, "DYNAMIC_HDR_PLUS"):
        yield "HDR10+ metadata is dropped"
    if _side_data(frame, "A53_CC"):
        yield "closed captions inside the pictures (CEA-608/708) are dropped"
    if stream.metadata.get("alpha_mode") == "1":
        yield f"transparency of {stream.codec_context.name} is not read: taken as opaque"


def _opaque(path: str) -> bool:
    """Return whether an animation's pictures are opaque, as far as `OPAQUE_FRAMES` go.

    FFmpeg decodes each GIF with alpha, and most have none.
    """
    with open_container(path) as container:
        frames = islice(container.decode(video=0), OPAQUE_FRAMES)
        try:
            return all((frame_to_alpha(f) == 1).all() for f in frames)  # type: ignore[union-attr]
        except (ValueError, av.error.FFmpegError):
            return False


def _side_data(frame: VideoFrame, kind: str) -> bytes:
    """Return a frame's side data of one kind; empty where it has none or PyAV cannot tell."""
    try:
        found: Any = frame.side_data
        return bytes(found[kind]) if kind in found else b""
    except (KeyError, ValueError):  # kinds that this PyAV does not know spoil all of them
        return b""


def display_matrix(frame: VideoFrame) -> tuple[int, ...] | None:
    """Return the nine numbers of the frame's display matrix; None for none or the identity."""
    data = _side_data(frame, "DISPLAYMATRIX")
    if len(data) < 36:
        return None
    matrix = struct.unpack("<9i", data[:36])
    return matrix if matrix != IDENTITY else None


def hdr_metadata(frame: VideoFrame) -> HdrMetadata | None:
    """Return mastering display and content light level; None where the frame has neither."""
    primaries: tuple[tuple[float, float], ...] = ()
    luminance = cll = fall = None
    if len(mastering := _side_data(frame, "MASTERING_DISPLAY_METADATA")) >= 88:
        values = struct.unpack("<22i", mastering[:88])
        numbers = [n / d if d else 0.0 for n, d in zip(values[:20:2], values[1:20:2], strict=True)]
        if values[20]:
            primaries = tuple(zip(numbers[0:8:2], numbers[1:8:2], strict=True))
        if values[21]:
            luminance = numbers[8], numbers[9]
    if len(light := _side_data(frame, "CONTENT_LIGHT_LEVEL")) >= 8:
        cll, fall = struct.unpack("<2I", light[:8])
    if not primaries and luminance is None and cll is None:
        return None
    return HdrMetadata(primaries=primaries, luminance=luminance, max_cll=cll, max_fall=fall)
