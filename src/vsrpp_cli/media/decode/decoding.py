"""Opens video files and decodes one of their tracks, also damaged ones."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Self

import av.error
from av.codec.context import ThreadType
from av.container import InputContainer
from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from vsrpp_cli.errors import InputError
from vsrpp_cli.media.demuxer_table import demuxer_row
from vsrpp_cli.media.opening import open_input

MAX_READ_ERRORS = 100
"""Consecutive read errors after which the rest of a file is given up."""


def open_container(path: str) -> InputContainer:
    """Open a user's media file.

    Raises:
        InputError: it is missing, unreadable, empty, or not a media file.
    """
    try:
        container = open_input(path)
    except (OSError, ValueError, av.error.FFmpegError) as error:
        raise InputError(_why_not_opened(path, error)) from error
    if demuxer_row(container.format.name).text:
        container.close()
        raise InputError(f"{path}: is a text file, not a video")
    return container


def _why_not_opened(path: str, error: Exception) -> str:
    if isinstance(error, FileNotFoundError):
        return f"{path}: no such file"
    if isinstance(error, IsADirectoryError):
        return f"{path}: is a folder without frames"
    if isinstance(error, PermissionError):
        return f"{path}: no permission to read it"
    with contextlib.suppress(OSError):
        if Path(path).stat().st_size == 0:
            return f"{path}: is empty"
        if looks_encrypted(path):
            return f"{path}: is encrypted (copy protection)"
        if _lacks_index(path):
            return f"{path}: the index of this MP4 is missing: it was cut short or is no whole file"
    if isinstance(error, av.error.InvalidDataError):
        return f"{path}: is not a media file, or damaged at its beginning"
    return f"{path}: cannot be opened: {getattr(error, 'strerror', None) or error}"


def looks_encrypted(path: str) -> bool:
    """Return whether a file begins with MP4 boxes that describe encrypted video."""
    with Path(path).open("rb") as file:
        head = file.read(1 << 20)
    return head[4:8] == b"ftyp" and b"encv" in head and b"sinf" in head


def _lacks_index(path: str) -> bool:
    """Return whether a file looks like MP4 without a `moov` box at its top level."""
    with Path(path).open("rb") as file:
        seen = False
        while len(head := file.read(16)) >= 8:
            size, kind = int.from_bytes(head[:4], "big"), head[4:8]
            if kind == b"moov":
                return False
            if not seen and kind not in (b"ftyp", b"styp", b"mdat", b"moof", b"free", b"wide"):
                return False
            seen = True
            size = int.from_bytes(head[8:16], "big") if size == 1 else size
            if size < 8:
                break
            file.seek(size - len(head), os.SEEK_CUR)
        return seen


class TrackDecoder:
    """Decodes one video track in presentation order, skipping damaged packets.

    Args:
        path: the file.
        index: index of the stream in the container.
        threads: decoder threads; None for FFmpeg's choice. With 1, damage is concealed in the same
            way each time.
        container: the file, if it is open already; it is closed together with this object.

    Attributes:
        errors: number of packets that could not be decoded and of places where reading failed.
        packets: number of packets read.
        stream: the track.

    Raises:
        InputError: there is no decoder for the track, or the file cannot be opened.
    """

    def __init__(
        self,
        path: str,
        index: int,
        *,
        threads: int | None = None,
        container: InputContainer | None = None,
    ) -> None:
        self.path = path
        self.container = container or open_container(path)
        stream = self.container.streams[index]
        assert isinstance(stream, VideoStream)
        self.stream = stream
        self.errors = self.packets = 0
        context = stream.codec_context
        if context is None:  # no decoder for what the header says
            self.container.close()
            raise InputError(f"{path}: nothing here decodes its video track {index}")
        context.thread_type = ThreadType.AUTO
        context.thread_count = threads or 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.container.close()

    def seek(self, pts: int) -> bool:
        """Seek to a key frame at or before `pts` (in the stream's time base); False if it fails."""
        try:
            self.container.seek(pts, stream=self.stream)
        except (OSError, av.error.FFmpegError):
            return False
        return True

    def frames(self) -> Iterator[VideoFrame]:
        """Yield the pictures from the current position to the end.

        Raises:
            InputError: the decoder does not support a feature of the stream.
        """
        for packet in self._packets():
            yield from self._decode(packet)
        yield from self._decode(None)

    def _packets(self) -> Iterator["Packet[VideoStream]"]:
        """Yield packets; continue after read errors as far as possible."""
        failures = 0
        while failures < MAX_READ_ERRORS:
            try:
                for packet in self.container.demux(self.stream):
                    failures = 0
                    if packet.size == 0 and packet.pts is None:
                        return
                    self.packets += 1
                    # An empty packet of Theora repeats a picture; the decoder would take it as end.
                    if packet.size:
                        yield packet
            except (OSError, av.error.FFmpegError):
                self.errors += failures == 0
                failures += 1
            else:
                return

    def _decode(self, packet: "Packet[VideoStream] | None") -> list[VideoFrame]:
        try:
            return self.stream.codec_context.decode(packet)
        except EOFError:
            return []
        except (NotImplementedError, av.error.PatchWelcomeError) as error:
            name = self.stream.codec_context.name
            raise InputError(f"{self.path}: {name} of this kind cannot be decoded") from error
        except (OSError, ValueError, av.error.FFmpegError):
            self.errors += 1
            return []
