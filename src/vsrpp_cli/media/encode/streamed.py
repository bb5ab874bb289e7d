"""Writes videos sequentially: to pipes, and to files when the input is a pipe."""

from __future__ import annotations

import contextlib
from fractions import Fraction
from io import RawIOBase
from pathlib import Path
from typing import cast

import av
import av.error
import numpy as np
from av.container import Flags
from av.video.frame import VideoFrame
from av.video.plane import VideoPlane

from vsrpp_cli.errors import EncoderError, PipeClosed
from vsrpp_cli.media.container_table import Y4M, container_row
from vsrpp_cli.media.encode.codec import configure, encoder_rate, open_codec
from vsrpp_cli.media.encode.output_errors import output_errors
from vsrpp_cli.media.encode.pixel_formats import describe
from vsrpp_cli.media.encode.writer import Writer, picture_of
from vsrpp_cli.media.opening import open_output
from vsrpp_cli.media.types import EncodeSettings, FinalFrame, Frame

FRAGMENTED = {"movflags": "frag_keyframe+delay_moov+default_base_moof"}
"""MP4 and MOV are written in fragments to pipes, since otherwise their header is completed at the
end. The header is delayed until the first fragment, so that it can state the start time."""


def open_stream_writer(
    target: Path | RawIOBase, settings: EncodeSettings, name: str | None = None
) -> Writer:
    """Return the writer of a video that is written sequentially.

    Args:
        target: a file or a pipe.
        settings: what to write; Y4M only to pipes.
        name: name of the target for messages.

    Raises:
        EncoderError, DiskFullError: writing cannot be started.
    """
    named = Path(name) if name is not None else cast("Path", target)
    if settings.container == Y4M.muxer:
        return Y4mWriter(cast("RawIOBase", target), settings, named)
    return ContainerWriter(target, settings, named)


class ContainerWriter:
    """Encodes frames into one file of any container, with their timestamps.

    The encoder counts frames, as in `SegmentWriter`. Its presentation and decoding times are
    converted from counts to timestamps by the same rule, which keeps their order.
    """

    def __init__(self, target: Path | RawIOBase, settings: EncodeSettings, name: Path) -> None:
        self._target, self._settings, self._name = target, settings, name
        self._frames = self._packets = 0
        self._times: dict[int, int] = {}
        self._first = 0
        self._step = max(1, round(1 / encoder_rate(settings) / settings.time_base))
        self._open, self._whole = True, False
        self._row = container_row(settings.container)
        piped = not isinstance(target, Path)
        options = FRAGMENTED if piped else dict(self._row.muxer_options)
        options = options if self._row.edit_lists else {}
        with output_errors(name, "opening"):
            self._container = open_output(target, settings.container, options)
        try:
            self._stream = self._start()
        except BaseException:
            self.abort()
            raise

    def _start(self) -> av.VideoStream:
        self._container.flags |= cast("int", Flags.bitexact.value)  # no random identifiers
        stream = cast("av.VideoStream", self._container.add_stream(self._settings.codec))
        configure(stream.codec_context, self._settings)
        stream.time_base = self._settings.time_base
        if tag := self._row.codec_tags.get(stream.codec_context.codec.canonical_name):
            stream.codec_context.codec_tag = tag
        open_codec(stream.codec_context, self._settings)
        if self._settings.display_matrix is not None:
            stream.set_display_matrix(self._settings.display_matrix)
        with output_errors(self._name, "opening"):
            self._container.start_encoding()
        return stream

    def write(self, frame: Frame | FinalFrame) -> None:
        """Encode one frame, in presentation order."""
        picture = picture_of(frame, self._settings)
        if not self._frames:
            self._first = frame.pts
        self._times[self._frames] = frame.pts
        picture.pts = self._frames
        picture.time_base = self._stream.codec_context.time_base
        self._frames += 1
        with output_errors(self._name, "encoding"):
            self._mux(self._stream.codec_context.encode(picture))

    def _mux(self, packets: list[av.Packet[av.VideoStream]]) -> None:
        for packet in packets:
            assert packet.pts is not None
            counted = packet.pts if packet.dts is None else packet.dts
            packet.pts, packet.dts = self._time(packet.pts), self._time(counted)
            packet.duration = self._step
            packet.time_base = self._settings.time_base
            packet.stream = self._stream
            self._packets += 1
            self._container.mux(packet)
            for index in [i for i in self._times if i < counted]:
                del self._times[index]

    def _time(self, counted: int) -> int:
        """Return the timestamp of a frame by its number; negative numbers are before the first."""
        if counted < 0:
            return self._first + counted * self._step
        return self._times[counted]

    def close(self) -> int:
        """Flush the encoder, finish the file and return the number of frames.

        Raises:
            EncoderError: the encoder returned fewer frames than it was given.
            PipeClosed: the reader has closed the pipe.
        """
        self._open = False
        with output_errors(self._name, "encoding"):
            self._mux(self._stream.codec_context.encode(None))
            self._container.close()
        if self._packets != self._frames:
            raise EncoderError(
                f"{self._settings.codec} gave {self._packets} pictures for {self._frames}"
            )
        self._whole = True
        return self._frames

    def abort(self) -> None:
        """Stop and remove the file, if it is one; does nothing after `close`."""
        if self._whole:
            return
        if self._open:
            self._open = False
            with contextlib.suppress(av.error.FFmpegError, OSError, PipeClosed):
                self._container.close()
        if isinstance(self._target, Path):
            self._target.unlink(missing_ok=True)


class Y4mWriter:
    """Writes frames as YUV4MPEG2, including the header.

    FFmpeg's muxer is not used, since PyAV cannot set the shape of pixels for it.
    """

    def __init__(self, target: RawIOBase, settings: EncodeSettings, name: Path) -> None:
        self._target, self._settings, self._name = target, settings, name
        self._frames = 0

    def write(self, frame: Frame | FinalFrame) -> None:
        """Write one frame; before the first one, the header."""
        if not self._frames:
            self._put(y4m_header(self._settings))
        picture = picture_of(frame, self._settings)
        self._put(b"FRAME\n")
        for plane in picture.planes:
            self._put(_code_values(picture, plane))
        self._frames += 1

    def _put(self, data: bytes | memoryview) -> None:
        with output_errors(self._name, "writing"):
            self._target.write(data)

    def close(self) -> int:
        """Return the number of frames, all of which have been written."""
        return self._frames

    def abort(self) -> None:
        """Do nothing: what was written cannot be taken back."""


def y4m_header(settings: EncodeSettings) -> bytes:
    """Return the line that begins a YUV4MPEG2 stream, its newline included."""
    rate = settings.frame_rate or encoder_rate(settings)
    aspect = settings.sample_aspect_ratio
    layout = _layout(settings)
    words = [
        "YUV4MPEG2",
        f"W{settings.width}",
        f"H{settings.height}",
        f"F{_ratio(rate)}",
        "Ip",
        f"A{_ratio(aspect)}",
        f"C{layout}",
        f"XYSCSS={layout.upper()}",
        f"XCOLORRANGE={'FULL' if settings.color.full_range else 'LIMITED'}",
    ]
    return (" ".join(words) + "\n").encode("ascii")


def _ratio(value: Fraction) -> str:
    return f"{value.numerator}:{value.denominator}"


SITINGS = {"center": "420jpeg", "topleft": "420paldv"}
"""Names of 4:2:0 at 8 bits by chroma location; all others are 420mpeg2."""


def _layout(settings: EncodeSettings) -> str:
    """Return the name of a pixel format: `420jpeg`, `422`, `444p10`, `mono12`."""
    form = describe(settings.pix_fmt)
    deep = "" if form.depth == 8 else str(form.depth)
    if form.gray:
        return f"mono{deep}"
    if deep:
        return f"{form.subsampling.replace(':', '')}p{deep}"
    if form.subsampling == "4:2:0":
        return SITINGS.get(settings.color.siting, "420mpeg2")
    return form.subsampling.replace(":", "")


def _code_values(picture: VideoFrame, plane: VideoPlane) -> memoryview:
    """Return the rows of a plane without padding."""
    size = 1 if picture.format.components[0].bits == 8 else 2
    rows = np.frombuffer(memoryview(plane), np.uint8).reshape(plane.height, plane.line_size)
    return np.ascontiguousarray(rows[:, : plane.width * size]).data
