"""Interprets the names INPUT and OUTPUT before any file is opened."""

import os
import re
import stat
from pathlib import Path

from vsrpp_cli.durable import beside
from vsrpp_cli.errors import InputError, OutputExistsError, UsageError
from vsrpp_cli.media.container_table import CONTAINERS
from vsrpp_cli.media.images.source import is_frame, is_image_input
from vsrpp_cli.media.images.timestamps_file import NAME as TIMESTAMPS
from vsrpp_cli.media.pipes import is_input_pipe, is_output_pipe
from vsrpp_cli.options import BATCH_NAME
from vsrpp_cli.runs.names import check_name, refuse_long_name

KEPT_SUFFIXES = frozenset(suffix for row in CONTAINERS for suffix in row.suffixes)
"""Suffixes that an unnamed output takes over from its source; others become `.mkv`."""

_KINDS = (
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
    (stat.S_ISSOCK, "a socket"),
)
_NUMBERED = re.compile(r"\d{6,}\.\w+")
"""Names of the frames made from a video."""
_ADDRESS = re.compile("[a-z][a-z0-9+.-]+://", re.IGNORECASE)
PIPES = "a pipe can be read and written once, which only vsrpp upscale does"


def output_suffix(source: Path) -> str:
    """Return the suffix of an output that was not named: the source's, if it can be written."""
    return source.suffix if source.suffix.lower() in KEPT_SUFFIXES else ".mkv"


def output_name(source: Path) -> str:
    """Return the default name of the output for a source."""
    if is_image_input(source):
        return f"{source.absolute().stem}_x4{source.suffix if source.is_file() else ''}"
    return BATCH_NAME.format(stem=source.stem, suffix=output_suffix(source), name=source.name)


def check_input(given: str) -> Path:
    """Return the path of an input.

    Raises:
        InputError: it is empty, an address, a pipe, a device or a socket: a run needs an input
            that can be read again.
    """
    if not given:
        raise InputError("INPUT is empty: give a file or a folder")
    if _ADDRESS.match(given):
        raise InputError(f"{given}: addresses are not read: fetch the file first")
    path = Path(given)
    if is_input_pipe(given):
        raise InputError(f"{given}: {PIPES}: give the name of a file")
    if kind := _special(path):
        raise InputError(f"{given}: is {kind}, not a file")
    return path


def resolve_output(given: str, source: Path) -> Path:
    """Return the path of the output that `given` means for an input.

    As with `cp`, an existing folder receives a file named after the input, and a symbolic link
    means its target. But a folder that contains only frames, or whose work folder exists, is the
    output of an earlier run: it is the output itself.

    Raises:
        UsageError: it is empty, a pipe, a device or a socket.
    """
    if not given:
        raise UsageError("OUTPUT is empty: give a file or a folder")
    if is_output_pipe(given):
        raise UsageError(f"{given}: {PIPES}: give the name of a file")
    path = Path(given)
    refuse_long_name(path)
    if kind := _special(path):
        raise UsageError(f"{given}: is {kind}, which is left alone; give the name of a file")
    if path.is_symlink():
        path = path.resolve()
    if path.is_dir() and not _takes_frames(path, source):
        path /= output_name(source)
    check_name(path)
    return path


def _takes_frames(folder: Path, source: Path) -> bool:
    """Return whether frames are written into an existing folder, rather than one file."""
    folder = folder.absolute()
    if beside(folder, "", folder.name, ".vsrpp").exists():
        return True
    if is_image_input(source):
        return source.is_dir()
    held = list(folder.iterdir())
    return bool(held) and all(_NUMBERED.fullmatch(p.name) or p.name == TIMESTAMPS for p in held)


def check_place(output: Path, source: Path | None = None) -> None:
    """Check that the folder of an output exists, and that the output is not the input itself.

    Raises:
        UsageError: one of these is not so.
    """
    if source is not None and source.exists() and output.exists() and output.samefile(source):
        raise UsageError(f"{output} is the input itself: give another name")
    if not output.absolute().parent.is_dir():
        raise UsageError(f"{output.absolute().parent} is no folder: create it first")


def is_taken(output: Path) -> bool:
    """Return whether the name exists and is not an empty folder."""
    return os.path.lexists(output) and not (output.is_dir() and not any(output.iterdir()))


def check_free(output: Path, *, overwrite: bool) -> None:
    """Make sure that a result may get the name `output`.

    Raises:
        OutputExistsError: something is there, and may not be replaced or holds more than frames.
    """
    if not is_taken(output):
        return
    if not overwrite:
        raise OutputExistsError(
            f"{output} exists: give `overwrite=True` to replace it, or `skip_existing=True`"
        )
    if output.is_dir() and not any(map(is_frame, output.iterdir())):
        raise OutputExistsError(
            f"{output} is a folder without frames in it, which `overwrite=True` does not replace: "
            "give a new folder's name"
        )


def _special(path: Path) -> str | None:
    """Return what a path is if it is a device or socket; None otherwise."""
    try:
        mode = path.stat().st_mode
    except (OSError, ValueError):
        return None
    return next((name for holds, name in _KINDS if holds(mode)), None)
