"""Opening media files: the only place that does it, so that all who look at a file see the same.

What FFmpeg finds in a file depends on how far it looks for streams. Were a file opened for joining
with other options than for probing, a stream might be missing after all has been computed.
"""

import os
from fractions import Fraction
from functools import cache
from importlib.metadata import version
from io import RawIOBase
from numbers import Rational
from typing import IO, Any, cast, overload

import av
from av.container import InputContainer, OutputContainer

from vsrpp_cli.media.demuxer_table import REFUSED

Medium = str | os.PathLike[str] | IO[bytes] | RawIOBase
"""The name of a file, or an open one in memory or at the end of a pipe."""


INPUT_OPTIONS = {"probesize": "20000000", "analyzeduration": "20000000"}
"""Bytes and microseconds looked at for the streams' parameters: recordings that begin in the middle
tell theirs late, and sound may begin late. Files that tell them early are not read further for it.
"""

# PyAV 19 carries bytes of tags that are not UTF-8 as they are; before, they have to be replaced.
_TAGS: dict[str, Any] = {"metadata_errors": "replace"} if version("av") < "19" else {}


def open_input(
    medium: Medium, demuxer: str | None = None, more: dict[str, str] | None = None
) -> InputContainer:
    """Open a media file, our own or a user's, for reading.

    Args:
        medium: what to read.
        demuxer: FFmpeg's name of the format, where it cannot be told from the content.
        more: options of the demuxer.

    Raises:
        OSError, ValueError, av.error.FFmpegError: it is missing, unreadable or no media file.
    """
    options = {**INPUT_OPTIONS, "protocol_whitelist": "file", "format_whitelist": _allowed()}
    opened = av.open(_name(medium), "r", format=demuxer, options=options | (more or {}), **_TAGS)
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


@cache
def _allowed() -> str:
    return ",".join(allowed_formats())


def allowed_formats() -> list[str]:
    """Return FFmpeg's names of the demuxers that input may go through."""
    return sorted(name for name in av.formats_available if name not in REFUSED)


@overload
def fraction(value: None) -> None: ...
@overload
def fraction(value: Rational) -> Fraction: ...
def fraction(value: Rational | None) -> Fraction | None:
    """Return a rate, a time base or a ratio as PyAV gives it as a `Fraction`.

    PyAV 19 has a type of its own for these, which can be calculated with but is none. Its 0/0,
    which says that nothing is known, becomes 0.
    """
    return None if value is None else Fraction(int(value.numerator), int(value.denominator) or 1)


def _name(medium: Medium) -> str | IO[bytes]:
    if isinstance(medium, str | os.PathLike):
        # With the prefix, a colon in a name does not make it a protocol.
        return f"file:{os.fspath(medium)}"
    return cast("IO[bytes]", medium)  # of which PyAV uses what there is
