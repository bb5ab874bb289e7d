"""Finds out the properties of a video file from its header and its first picture."""

import re
from collections.abc import Iterator
from dataclasses import replace
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
from vsrpp_cli.media.decode.side_data import (
    display_matrix,
    hdr_metadata,
    side_data,
    spherical_mapping,
    stereo_layout,
    track_tag,
)
from vsrpp_cli.media.decode.timestamp_repair import usual_step
from vsrpp_cli.media.demuxer_table import demuxer_row
from vsrpp_cli.media.opening import fraction
from vsrpp_cli.media.types import ColorSpec, FieldOrder, Loss, SourceInfo, StreamInfo

MAX_RATE = 300
"""Highest frame rate of a header that is believed."""
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

HEIF_BRANDS = ("mif1", "mif2", "heic", "heix", "avif")
"""Brands of files with pictures as items (ISO/IEC 23008-12)."""
AUXILIARY = b"urn:mpeg:mpegB:cicp:systems:auxiliary:alpha"
"""Type of a picture in HEIC and AVIF that is the transparency of another one."""
FIELD_ORDERS: dict[int, FieldOrder] = {
    1: "progressive",
    2: "top",
    3: "bottom",
    4: "top",
    5: "bottom",
}
"""FFmpeg's AVFieldOrder; in the last two the coded order differs from the displayed one."""


def probe(path: str, *, video_track: int | None = None) -> SourceInfo:
    """Return the properties of a video file; only its first picture is decoded.

    Args:
        path: the file.
        video_track: number of the video track, from 0; None for the first one that is no cover.

    Raises:
        InputError: it has no video that can be decoded.
        UsageError: there is no such video track.
    """
    with open_container(path) as container:
        index = choose_track(path, container, video_track)
        others = tuple(_describe(s) for s in _others(container, index))
        dump = _dump(container)
    with TrackDecoder(path, index, threads=1) as decoder:
        frame = next(decoder.frames(), None)
        if frame is None:
            raise InputError(_why_no_picture(path, decoder.stream))
        rate = stated_rate(decoder.stream) or _measured_rate(path, decoder.stream)
        info = _source_info(path, decoder, frame, others, dump, rate)
    if info.has_alpha and demuxer_row(info.container).claims_alpha and _opaque(path):
        info = replace(info, has_alpha=False)
    return info


def probe_stream(name: str, decoder: TrackDecoder, frame: VideoFrame) -> SourceInfo:
    """Return the properties of a video that can be read only once.

    Args:
        name: its name, for messages.
        decoder: of its track.
        frame: its first picture, decoded by `decoder`.

    Raises:
        InputError: its format cannot be read as a stream.
    """
    if is_heif(decoder.container):
        raise InputError(f"{name}: a HEIC or AVIF picture cannot come through a pipe: give a file")
    others = tuple(_describe(s) for s in _others(decoder.container, decoder.stream.index))
    rate = stated_rate(decoder.stream) or _guessed_rate(decoder.stream)
    info = _source_info(name, decoder, frame, others, _dump(decoder.container), rate)
    return replace(info, path=name)


def choose_track(path: str, container: InputContainer, wanted: int | None) -> int:
    """Return the stream index of the video track to use; cover art is not counted."""
    real = [s for s in container.streams.video if not _is_still(s) and not _is_part(s)]
    if is_heif(container):
        real = _heif_pictures(path, container, real)
    if not real:
        raise InputError(_why_no_video(path, container))
    if wanted is None:
        # Some files declare tracks without content.
        return next((s.index for s in real if _says_something(s)), real[0].index)
    if wanted >= len(real):
        raise UsageError(
            f"`video_track={wanted}`: {path} has {len(real)} video "
            f"track{'s' if len(real) > 1 else ''}, counted from 0"
        )
    return real[wanted].index


def _is_still(stream: VideoStream) -> bool:
    return bool(stream.disposition & (Disposition.attached_pic | Disposition.timed_thumbnails))


def _is_part(stream: VideoStream) -> bool:
    """Return whether a stream is only a part of something, such as a tile of a picture."""
    return bool(stream.disposition & Disposition.dependent)


def is_heif(container: InputContainer) -> bool:
    """Return whether a file contains still pictures, as HEIC and AVIF do."""
    brands = container.metadata.get("compatible_brands", "")
    brands += container.metadata.get("major_brand", "")
    return any(brand in brands for brand in HEIF_BRANDS) and container.duration is None


def _heif_pictures(
    path: str, container: InputContainer, real: list[VideoStream]
) -> list[VideoStream]:
    """Return the pictures of a HEIF file, the primary item first.

    Raises:
        InputError: FFmpeg can only read the tiles of which it consists.
    """
    meant = [s for s in real if s.disposition & Disposition.default]
    if not meant:
        tiles = sum(_is_part(s) for s in container.streams.video)
        raise InputError(
            f"{path}: its picture is put together from {tiles or 'several'} tiles, which is not "
            "supported: convert it first, e.g. with heif-convert, ImageMagick (magick IN.heic "
            "OUT.png) or FFmpeg 7.1 or later (ffmpeg -i IN.heic OUT.png)"
        )
    return [*meant, *(s for s in real if s not in meant)]


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
    """Return FFmpeg's text dump: the only way to some properties in PyAV."""
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
    path: str,
    decoder: TrackDecoder,
    frame: VideoFrame,
    others: tuple[StreamInfo, ...],
    dump: str,
    rate: Fraction | None,
) -> SourceInfo:
    stream, container = decoder.stream, decoder.container
    text = _stream_dump(dump, stream.index)
    kind = frame.format
    if not supported(kind):
        raise InputError(f"{path}: pixel format {kind.name!r} is not supported")
    color = color_of(frame, siting=_siting(text))
    assert stream.time_base is not None
    duration = _duration(container, stream)
    crop = _crop(text)
    notes = [
        *_color_notes(color, frame),
        *_crop_notes(crop),
        *_track_notes(path, container, others),
        *_decoding_notes(stream, frame, text),
    ]
    losses = [*_losses(frame, text), *_heif_losses(path, container)]
    return SourceInfo(
        path=str(Path(path).absolute()),
        kind="video",
        container=container.format.name,
        stream_index=stream.index,
        codec=stream.codec_context.codec.canonical_name,
        width=frame.width - crop[0] - crop[1],
        height=frame.height - crop[2] - crop[3],
        pix_fmt=kind.name,
        bit_depth=8 if kind.has_palette else max(part.bits for part in kind.components),
        has_alpha=has_alpha(kind),
        color=color,
        sample_aspect_ratio=fraction(stream.sample_aspect_ratio)
        or fraction(stream.codec_context.sample_aspect_ratio)
        or Fraction(1),
        display_matrix=display_matrix(frame),
        time_base=fraction(stream.time_base),
        frame_rate=rate,
        duration=duration,
        begin=_begin(container),
        frame_estimate=stream.frames or _estimate(container, duration, rate),
        interlaced=_field_order(stream, frame),
        hdr=hdr_metadata(frame),
        crop=crop,
        stereo=stereo_layout(frame, stream),
        spherical=spherical_mapping(frame),
        streams=others,
        notes=tuple(notes),
        losses=tuple(losses),
    )


def stated_rate(stream: VideoStream) -> Fraction | None:
    """Return the nominal frame rate; None if the header's is implausible."""
    claims = [fraction(stream.average_rate)]
    if demuxer_row(stream.container.format.name).elementary:
        # Without a container FFmpeg reports 25; the stream itself may state a rate.
        claims.insert(0, fraction(stream.codec_context.framerate))
    return next((rate for rate in claims if rate and rate <= MAX_RATE), None)


def _measured_rate(path: str, stream: VideoStream) -> Fraction | None:
    """Return the frame rate measured on the first packets."""
    with open_container(path) as container:
        packets = container.demux(container.streams[stream.index])
        stamps = sorted(p.pts for p in islice(packets, RATE_PACKETS) if p.pts is not None)
    if len(stamps) > 2 and stream.time_base:
        return usual_rate(1 / (usual_step(stamps, 1) * Fraction(stream.time_base)))
    return _guessed_rate(stream)


def _guessed_rate(stream: VideoStream) -> Fraction | None:
    guessed = fraction(stream.guessed_rate)
    return guessed if guessed and guessed <= MAX_RATE else None


def usual_rate(rate: Fraction) -> Fraction | None:
    """Return the usual frame rate near a measured one, else that itself; None if implausible."""
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


def _field_order(stream: VideoStream, frame: VideoFrame) -> FieldOrder:
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


def _crop(text: str) -> tuple[int, int, int, int]:
    """Return the pixels to crop: left, right, top, bottom (Matroska's PixelCrop, MP4's `clap`)."""
    match = re.search(r"Frame Cropping: (\d+)/(\d+)/(\d+)/(\d+)", text)
    left, right, top, bottom = map(int, match.groups()) if match else (0, 0, 0, 0)
    return left, right, top, bottom


def _crop_notes(crop: tuple[int, int, int, int]) -> Iterator[str]:
    if any(crop):
        sides = zip(crop, ("left", "right", "top", "bottom"), strict=True)
        cut = ", ".join(f"{pixels} {side}" for pixels, side in sides if pixels)
        yield f"cropped as the file asks players to do (pixels: {cut})"


def _track_notes(
    path: str, container: InputContainer, others: tuple[StreamInfo, ...]
) -> Iterator[str]:
    if is_heif(container):
        yield from _heif_notes(path, container)
        return
    more = [s for s in others if s.kind == "video" and not s.attached_picture]
    if more:
        tracks = f"{len(more)} further video track{'s' if len(more) > 1 else ''}"
        yield f"{tracks}: `video_track` chooses another"


def _losses(frame: VideoFrame, text: str) -> Iterator[Loss]:
    """Yield the properties of pictures that are lost by decoding."""
    if _has_dolby_vision(frame, text):
        yield Loss(
            kind="hdr", text="Dolby Vision metadata is dropped: the base layer alone is upscaled"
        )
    if side_data(frame, "DYNAMIC_HDR_PLUS"):
        yield Loss(kind="hdr", text="HDR10+ metadata is dropped")
    if side_data(frame, "A53_CC"):
        captions = "closed captions inside the pictures (CEA-608/708) are dropped"
        yield Loss(kind="captions", text=captions)


def _has_dolby_vision(frame: VideoFrame, text: str) -> bool:
    return "DOVI configuration record" in text or bool(side_data(frame, "DOVI_METADATA"))


def _decoding_notes(stream: VideoStream, frame: VideoFrame, text: str) -> Iterator[str]:
    """Yield notes on pictures that will be decoded incorrectly."""
    if _has_dolby_vision(frame, text) and re.search(r"profile: 5\b", text):
        yield "Dolby Vision profile 5 has no usable base layer: expect wrong colours"
    if track_tag(stream, "alpha_mode") == "1" and not has_alpha(frame.format):
        yield f"transparency of {stream.codec_context.name} is not read: taken as opaque"


def _others(container: InputContainer, index: int) -> list[Stream]:
    """Return the streams other than the video track; pictures of HEIF files do not count."""
    heif = is_heif(container)
    return [s for s in container.streams if s.index != index and not (heif and s.type == "video")]


def _has_heif_alpha(path: str) -> bool:
    with Path(path).open("rb") as file:
        return AUXILIARY in file.read(1 << 20)


def _heif_losses(path: str, container: InputContainer) -> Iterator[Loss]:
    if is_heif(container) and _has_heif_alpha(path):
        text = "transparency in a picture of its own (HEIC, AVIF) is dropped: taken as opaque"
        yield Loss(kind="transparency", text=text)


def _heif_notes(path: str, container: InputContainer) -> Iterator[str]:
    if _has_heif_alpha(path):
        return
    if more := len(container.streams.video) - 1:
        yield (
            f"{more} further pictures (thumbnails, depth, gain maps and the like) are not read; "
            "`video_track` chooses another picture"
        )


def _opaque(path: str) -> bool:
    """Return whether the first `OPAQUE_FRAMES` pictures of an animation are opaque.

    FFmpeg decodes every GIF with alpha, but most are opaque.
    """
    with open_container(path) as container:
        frames = islice(container.decode(video=0), OPAQUE_FRAMES)
        try:
            return all((frame_to_alpha(f) == 1).all() for f in frames)  # type: ignore[union-attr]
        except (ValueError, av.error.FFmpegError):
            return False
