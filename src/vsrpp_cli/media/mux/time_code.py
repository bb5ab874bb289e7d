"""Time codes (SMPTE, hours:minutes:seconds:frames) as a track of MP4 and MOV."""

from __future__ import annotations

import io
from collections.abc import Sequence
from fractions import Fraction
from typing import TYPE_CHECKING, cast

import av
import av.error

from vsrpp_cli.media.opening import open_input, open_output
from vsrpp_cli.media.types import EncodeSettings, SourceInfo

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.stream import Stream


def time_code_of(source: InputContainer, info: SourceInfo) -> str | None:
    """Return the time code of the source's first frame; None if there is none."""
    streams = [source.streams[info.stream_index], *source.streams.data]
    tags = (item for stream in streams for item in stream.metadata.items())
    return next((text for name, text in tags if name.lower() == "timecode"), None)


def is_time_code(stream: Stream) -> bool:
    """Return whether a stream of data is a time code track."""
    return any(name.lower() == "timecode" for name in stream.metadata)


def time_code_rate(
    source: InputContainer, info: SourceInfo, settings: EncodeSettings
) -> Fraction | None:
    """Return a frame rate at which the muxer accepts the source's time code; None if there is none.

    Time codes count whole frames per second, and those with dropped numbers need a multiple of
    30000/1001 frames per second. If the source's frame rate varies, its average is none of these,
    but the base rate of its timestamps may be.
    """
    text = time_code_of(source, info)
    if text is None:
        return None
    video = cast("av.VideoStream", source.streams[info.stream_index])
    rates = [settings.frame_rate, Fraction(video.base_rate) if video.base_rate else None]
    return _first_accepted(text, settings.container, [rate for rate in rates if rate])


def _first_accepted(text: str, muxer: str, rates: Sequence[Fraction]) -> Fraction | None:
    return next((rate for rate in rates if _is_accepted(text, muxer, rate)), None)


def _is_accepted(text: str, muxer: str, rate: Fraction) -> bool:
    """Return whether a file written in memory has a track with this time code."""
    memory = io.BytesIO()
    try:
        with open_output(memory, muxer) as trial:
            stream = trial.add_mux_stream("mjpeg", rate=cast("int", rate), width=16, height=16)
            stream.time_base = 1 / rate
            stream.metadata["timecode"] = text
            packet: av.Packet[Stream] = av.Packet(b"\xff\xd8\xff\xd9")
            packet.stream, packet.time_base = stream, 1 / rate
            packet.pts = packet.dts = 0
            packet.duration = 1
            trial.start_encoding()
            trial.mux(packet)
        memory.seek(0)
        with open_input(memory) as written:
            return any("timecode" in s.metadata for s in written.streams.data)
    except (av.error.FFmpegError, ValueError, OSError):
        return False
