"""Encodes frames into the file of a segment.

A segment is a Matroska file with closed groups of pictures, so that segments can be joined packet
by packet. Its timestamps count frames, one a millisecond, since Matroska has no finer ones; the
exact timestamps are in the plan. The encoder gets the nominal frame rate and counts frames too, so
that irregular timestamps of the source cannot disturb it.
"""

from __future__ import annotations

import contextlib
from fractions import Fraction
from pathlib import Path
from typing import Protocol, Self, cast

import av
import av.error
import numpy as np
from av.container import Flags
from av.video.frame import VideoFrame
from numpy.typing import NDArray

from vsrpp_cli.errors import EncoderError
from vsrpp_cli.media.color.convert import rgb_to_frame, tag
from vsrpp_cli.media.encode.codec import configure, open_codec
from vsrpp_cli.media.encode.output_errors import output_errors
from vsrpp_cli.media.opening import open_output
from vsrpp_cli.media.types import EncodeSettings, FinalFrame, Frame, Rgb
from vsrpp_cli.resample import fit

SEGMENT_SUFFIX = ".mkv"

MILLISECOND = Fraction(1, 1000)

REORDERING = 64
"""More frames than any encoder reorders: added to presentation times, so that none is before its
decoding time."""


class Writer(Protocol):
    """Writes the frames of a segment."""

    def write(self, frame: Frame | FinalFrame) -> None:
        """Write the next frame."""

    def close(self) -> int:
        """Finish the segment, which is then complete but not fsynced; return its frames."""

    def abort(self) -> None:
        """Stop and remove what was written."""


class SegmentWriter:
    """Encodes frames into one Matroska file; a context manager that aborts unless closed.

    Args:
        path: of the file; an existing one is replaced.
        settings: from the plan.

    Raises:
        EncoderError: the encoder refuses its settings or an option.
        DiskFullError: at any time.
    """

    def __init__(self, path: Path, settings: EncodeSettings) -> None:
        self.path = path
        self._settings = settings
        self._frames = 0
        self._packets = 0
        self._open = True
        with output_errors(path, "opening"):
            self._container = open_output(path, "matroska")
        self._container.flags |= cast("int", Flags.bitexact.value)  # no random identifiers
        try:
            self._stream = self._start()
        except BaseException:
            self.abort()
            raise

    def _start(self) -> av.VideoStream:
        stream = cast("av.VideoStream", self._container.add_stream(self._settings.codec))
        configure(stream.codec_context, self._settings)
        stream.time_base = MILLISECOND
        open_codec(stream.codec_context, self._settings)
        with output_errors(self.path, "opening"):
            self._container.start_encoding()
        return stream

    def write(self, frame: Frame | FinalFrame) -> None:
        """Encode one frame; a `Frame` is resized to the size of the output if necessary.

        Args:
            frame: the next one in presentation order.
        """
        picture = picture_of(frame, self._settings)
        picture.pts = self._frames
        picture.time_base = self._stream.codec_context.time_base
        self._frames += 1
        with output_errors(self.path, "encoding"):
            self._mux(self._stream.codec_context.encode(picture))

    def _mux(self, packets: list[av.Packet[av.VideoStream]]) -> None:
        for packet in packets:
            assert packet.pts is not None
            packet.pts += REORDERING
            packet.dts = self._packets
            packet.duration = 1
            packet.time_base = MILLISECOND
            packet.stream = self._stream
            self._packets += 1
            self._container.mux(packet)

    def close(self) -> int:
        """Flush the encoder, finish the file and return the number of frames.

        Raises:
            EncoderError: the encoder returned fewer frames than it was given.
        """
        try:
            self._finish()
        except BaseException:
            self.abort()
            raise
        self._open = False
        return self._frames

    def _finish(self) -> None:
        with output_errors(self.path, "encoding"):
            self._mux(self._stream.codec_context.encode(None))
            self._container.close()
        if self._packets != self._frames:
            raise EncoderError(
                f"{self._settings.codec} gave {self._packets} pictures for {self._frames}"
            )

    def abort(self) -> None:
        """Stop and remove the file; does nothing after `close`."""
        if self._open:
            self._open = False
            with contextlib.suppress(av.error.FFmpegError, OSError):
                self._container.close()
            self.path.unlink(missing_ok=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.abort()


def picture_of(frame: Frame | FinalFrame, settings: EncodeSettings) -> VideoFrame:
    """Return a frame in the size, pixel format and colours of the output, for an encoder."""
    rgb: Rgb = frame.rgb
    if isinstance(frame, Frame):
        rgb = fit(frame.rgb, settings.width, settings.height)
    alpha = _alpha(frame, settings)
    picture = rgb_to_frame(rgb, settings.pix_fmt, settings.color, alpha, dither=settings.dither)
    tag(picture, settings.color)
    return picture


def _alpha(frame: Frame | FinalFrame, settings: EncodeSettings) -> NDArray[np.float32] | None:
    if not settings.keep_alpha:
        return None
    if frame.alpha is None:
        return np.ones((settings.height, settings.width), np.float32)
    return fit(frame.alpha, settings.width, settings.height, "bicubic")
