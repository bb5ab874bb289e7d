"""Reads videos from pipes, which can be read only once, so that they cannot be scanned.

Interlacing is taken from the header, timestamps are repaired one by one, and cuts are detected
while pictures arrive.
"""

import math
from collections import deque
from collections.abc import Iterator
from dataclasses import replace
from itertools import chain
from typing import NamedTuple

import av.error
import numpy as np
from av.container import InputContainer
from av.packet import Packet
from av.video.format import VideoFormat
from av.video.frame import VideoFrame
from av.video.stream import VideoStream
from numpy.typing import NDArray

from vsrpp_cli.errors import InputError, UnknownNameError
from vsrpp_cli.media.color.tags import readable
from vsrpp_cli.media.decode.clock import Clock, nominal_step
from vsrpp_cli.media.decode.decoding import TrackDecoder
from vsrpp_cli.media.decode.deinterlace import deinterlaced
from vsrpp_cli.media.decode.probe import choose_track, probe_stream
from vsrpp_cli.media.decode.reader import Converter
from vsrpp_cli.media.decode.scan import SmallLuma
from vsrpp_cli.media.demuxer_table import demuxer_row
from vsrpp_cli.media.opening import open_input
from vsrpp_cli.media.pipes import InputPipe
from vsrpp_cli.media.types import Frame, Loss, SourceInfo
from vsrpp_cli.options import RawVideo, UpscaleOptions


class Streamed(NamedTuple):
    """A frame, and the small picture in which cuts are detected."""

    frame: Frame
    luma: NDArray[np.uint8]


class StreamSource:
    """One video track from a pipe, or from a file that is read like one.

    Args:
        pipe: the input.
        name: its name for messages.
        options: `raw`, `video_track`, `deinterlace`, `start`, `end`, `frames`, `audio` and
            `subtitles` are used.

    Raises:
        InputError: the input is empty, or has no video that can be decoded.
        UsageError: there is no such track or pixel format.
    """

    def __init__(self, pipe: InputPipe, name: str, options: UpscaleOptions) -> None:
        self._options = options
        self._decoder = _decoder(pipe, name, options)
        self._pictures = self._decoder.frames()
        first = next(self._pictures, None)
        if first is None:
            raise InputError(f"{name}: ends before its first frame is whole")
        self._pictures = chain([first], self._pictures)
        info = probe_stream(name, self._decoder, first)
        if not readable(info.color):
            raise InputError(f"{name}: colour matrix {info.color.matrix!r} is not supported")
        self._filters = _filters(info, options.deinterlace)
        self.info: SourceInfo = replace(
            info,
            notes=(*info.notes, *_notes(info, options)),
            losses=(*info.losses, *_losses(info, options)),
        )
        self._ended = False
        self.repaired = 0
        """Number of timestamps that were missing or not later than the one before."""

    @property
    def damaged(self) -> int:
        """Number of places that could not be decoded, an incomplete end not counted."""
        return max(0, self._decoder.errors - self._decoder.cut_short)

    @property
    def torn(self) -> bool:
        """Whether the end was reached and was within a frame."""
        return self._ended and self._decoder.torn

    def frames(self) -> Iterator[Streamed]:
        """Yield the requested frames in order; may be called once."""
        stamps: deque[int] = deque()
        small, converter = SmallLuma(), Converter(self.info, ())
        pictures = deinterlaced(self._chosen(stamps), self._filters)
        for index, picture in enumerate(pictures):
            luma = small.of(picture)
            yield Streamed(Frame(stamps.popleft(), *converter.convert(picture, index)), luma)

    def _chosen(self, stamps: deque[int]) -> Iterator[VideoFrame]:
        """Yield the requested pictures, and add their timestamps to `stamps`."""
        options, unit = self._options, self.info.time_base
        origin, taken = None, 0
        for pts, picture in self._stamped():
            origin = pts if origin is None else origin
            passed = pts - origin
            if options.start is not None and passed < math.ceil(options.start / unit):
                continue
            if options.end is not None and passed >= math.ceil(options.end / unit):
                return
            stamps.append(pts)
            yield picture
            taken += 1
            if taken == options.frames:
                return

    def _stamped(self) -> Iterator[tuple[int, VideoFrame]]:
        """Yield pictures with increasing timestamps; recordings begin at 0."""
        clock, step = Clock(self.info), nominal_step(self.info)
        origin = last = None
        for picture in self._pictures:
            pts = picture.pts
            if origin is None:
                origin = 0 if pts is None else clock.origin(pts)
            if pts is None or (last is not None and pts - origin <= last):
                pts = origin + (0 if last is None else last + step)
                self.repaired += last is not None
            last = pts - origin
            yield last, picture
        self._ended = True

    def close(self) -> None:
        """Close the container."""
        self._decoder.container.close()


def _decoder(pipe: InputPipe, name: str, options: UpscaleOptions) -> "StreamDecoder":
    container = _opened(pipe, name, options.raw)
    try:
        index = choose_track(name, container, options.video_track)
        return StreamDecoder(name, index, container, pipe)
    except BaseException:
        container.close()
        raise


def _opened(pipe: InputPipe, name: str, raw: RawVideo | None) -> InputContainer:
    try:
        container = open_input(pipe, "rawvideo" if raw else None, _described(raw) if raw else {})
    except (OSError, ValueError, av.error.FFmpegError) as error:
        if not pipe.received:
            raise InputError(f"{name}: is empty") from error
        raise InputError(
            f"{name}: is no video that can be read as it comes: give a file, Y4M, Matroska, "
            "MPEG-TS or NUT, or `raw` for frames without a header"
        ) from error
    if demuxer_row(container.format.name).text:
        container.close()
        raise InputError(f"{name}: is text, not a video")
    return container


def _described(raw: RawVideo) -> dict[str, str]:
    """Return the options of FFmpeg's demuxer for raw frames."""
    try:
        VideoFormat(raw.pix_fmt, raw.width, raw.height)
    except ValueError:
        raise UnknownNameError(f"`raw`: FFmpeg has no pixel format {raw.pix_fmt!r}") from None
    return {
        "video_size": f"{raw.width}x{raw.height}",
        "framerate": str(raw.rate),
        "pixel_format": raw.pix_fmt,
    }


def _filters(info: SourceInfo, deinterlace: str) -> tuple[str, ...]:
    """Return the filters for deinterlacing; whether frames are interlaced is up to the header."""
    if deinterlace == "off" or (deinterlace == "auto" and info.interlaced == "progressive"):
        return ()
    parity = {"top": "tff", "bottom": "bff"}.get(info.interlaced, "auto")
    return (f"bwdif=mode=send_frame:parity={parity}:deint=all",)


def _notes(info: SourceInfo, options: UpscaleOptions) -> Iterator[str]:
    if info.interlaced != "progressive" and options.deinterlace == "auto":
        yield "interlaced by its header: deinterlaced with bwdif"


def _losses(info: SourceInfo, options: UpscaleOptions) -> Iterator[Loss]:
    """Yield the loss of sound and subtitles, unless they are left out on request."""
    wanted = {"audio": options.audio, "subtitle": options.subtitles}
    if beside := sorted({stream.kind for stream in info.streams if wanted.get(stream.kind)}):
        text = f"{' and '.join(beside)} dropped: through a pipe only the pictures go"
        yield Loss(kind="tracks", text=text)


class StreamDecoder(TrackDecoder):
    """Decodes one track from a pipe, and detects whether its last packet is complete."""

    def __init__(self, name: str, index: int, container: InputContainer, pipe: InputPipe) -> None:
        super().__init__(name, index, container=container)
        self._pipe = pipe
        self._last: Packet[VideoStream] | None = None

    def _packets(self) -> "Iterator[Packet[VideoStream]]":
        for packet in super()._packets():
            self._last = packet
            yield packet

    @property
    def torn(self) -> bool:
        """Whether the last packet is incomplete.

        FFmpeg marks such packets; for Y4M it silently drops them.
        """
        if not demuxer_row(self.container.format.name).hides_torn:
            return self.cut_short
        last = self._last
        whole = last.pos + last.size if last is not None and last.pos is not None else 0
        return self._pipe.received > whole

    @property
    def cut_short(self) -> bool:
        """Whether FFmpeg marks the last packet as corrupt."""
        return self._last is not None and self._last.is_corrupt
