"""Opening media files: the only place that does it, so that all who look at a file see the same.

What FFmpeg finds in a file depends on how far it looks for streams. Were a file opened for joining
with other options than for probing, a stream might be missing after all has been computed.
"""

import os
from importlib.metadata import version
from typing import IO, Any, cast

import av
from av.container import InputContainer, OutputContainer

Medium = str | os.PathLike[str] | IO[bytes]
"""The name of a file, or an open one in memory."""

INPUT_OPTIONS = {"probesize": "20000000", "analyzeduration": "20000000"}
"""Bytes and microseconds looked at for the streams' parameters: recordings that begin in the middle
tell theirs late, and sound may begin late. Files that tell them early are not read further for it.
"""

# PyAV 19 replaces bytes of tags that are not UTF-8; before, it has to be told so.
_TAGS: dict[str, Any] = {"metadata_errors": "replace"} if version("av") < "19" else {}


def open_input(medium: Medium) -> InputContainer:
    """Open a media file, our own or a user's, for reading.

    Raises:
        OSError, ValueError, av.error.FFmpegError: it is missing, unreadable or no media file.
    """
    opened = av.open(_name(medium), "r", options=dict(INPUT_OPTIONS), **_TAGS)
    return cast("InputContainer", opened)


def open_output(
    medium: Medium, muxer: str, options: dict[str, str] | None = None
) -> OutputContainer:
    """Open a media file for writing, replacing one that is there.

    Args:
        medium: where to write.
        muxer: FFmpeg's name of the container.
        options: of the muxer.

    Raises:
        OSError, ValueError, av.error.FFmpegError: it cannot be written, or there is no such muxer.
    """
    return av.open(_name(medium), "w", format=muxer, options=options or {})


def _name(medium: Medium) -> str | IO[bytes]:
    if isinstance(medium, str | os.PathLike):
        # With the prefix, a colon in a name does not make it a protocol.
        return f"file:{os.fspath(medium)}"
    return medium
