"""Opening media files: the only module that does it, so that all use the same options.

Which streams FFmpeg finds in a file depends on how far it looks for them. If a file were opened
with different options for joining than for planning, a planned stream might be missing.
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
"""The name of a file, or a file object: one in memory, or a pipe."""


INPUT_OPTIONS = {"probesize": "20000000", "analyzeduration": "20000000"}
"""How far to look for the streams' parameters (bytes, microseconds): recordings that begin in the
middle of a broadcast state them late, and sound may begin late. FFmpeg stops earlier once it knows
all of them."""

# PyAV 19 passes on bytes of tags that are not UTF-8; before, they have to be replaced.
_TAGS: dict[str, Any] = {"metadata_errors": "replace"} if version("av") < "19" else {}


def open_input(
    medium: Medium, demuxer: str | None = None, more: dict[str, str] | None = None
) -> InputContainer:
    """Open a media file for reading.

    Args:
        medium: what to read.
        demuxer: FFmpeg's name of the format; None to detect it from the content.
        more: options of the demuxer, which override `INPUT_OPTIONS`.

    Raises:
        OSError, ValueError, av.error.FFmpegError: it is missing, unreadable or no media file.
    """
    options = {**INPUT_OPTIONS, "protocol_whitelist": "file", "format_whitelist": _allowed()}
    opened = av.open(_name(medium), "r", format=demuxer, options=options | (more or {}), **_TAGS)
    return cast("InputContainer", opened)


def open_output(
    medium: Medium, muxer: str, options: dict[str, str] | None = None
) -> OutputContainer:
    """Open a media file for writing; an existing file is replaced.

    Args:
        medium: where to write.
        muxer: FFmpeg's name of the container.
        options: options of the muxer.

    Raises:
        OSError, ValueError, av.error.FFmpegError: it cannot be written, or there is no such muxer.
    """
    return av.open(_name(medium), "w", format=muxer, options=options or {})


@cache
def _allowed() -> str:
    return ",".join(allowed_formats())


def allowed_formats() -> list[str]:
    """Return FFmpeg's names of the demuxers that may read an input."""
    return sorted(name for name in av.formats_available if name not in REFUSED)


@overload
def fraction(value: None) -> None: ...
@overload
def fraction(value: Rational) -> Fraction: ...
def fraction(value: Rational | None) -> Fraction | None:
    """Convert one of PyAV's rates, time bases or ratios to a `Fraction`.

    PyAV 19 has its own rational type, which is no `Fraction`. Its 0/0, which means unknown, becomes
    0.
    """
    return None if value is None else Fraction(int(value.numerator), int(value.denominator) or 1)


def _name(medium: Medium) -> str | IO[bytes]:
    if isinstance(medium, str | os.PathLike):
        # With the prefix, a colon in a name does not make it a protocol.
        return f"file:{os.fspath(medium)}"
    return cast("IO[bytes]", medium)  # PyAV uses the methods it has
