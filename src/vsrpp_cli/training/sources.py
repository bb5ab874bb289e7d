"""Finding and decoding training videos."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np

from vsrpp_cli.errors import InputError
from vsrpp_cli.media.images.headers import SUFFIXES
from vsrpp_cli.media.source import open_source
from vsrpp_cli.training.prepare import Image

VIDEO_SUFFIXES = frozenset({
    ".mp4", ".m4v", ".mov", ".qt", ".mkv", ".webm", ".avi", ".mpg", ".mpeg", ".m2v", ".ts", ".m2ts",
    ".mts", ".wmv", ".flv", ".ogv", ".264", ".h264", ".265", ".h265", ".hevc", ".y4m", ".3gp",
    ".mxf", ".vob",
})  # fmt: skip


def find_sources(folder: Path) -> list[tuple[str, Callable[[], Iterator[Image]]]]:
    """Return every video and every folder of frames below `folder`, sorted by name.

    Returns:
        Pairs of the path below `folder`, with forward slashes, and a function that decodes it to
        RGB frames (H, W, 3).

    Raises:
        InputError: there is none.
    """
    found: list[Path] = []
    for place, folders, files in os.walk(folder):
        folders.sort()
        paths = [Path(place) / file for file in sorted(files)]
        found += [path for path in paths if path.suffix.lower() in VIDEO_SUFFIXES]
        if sum(path.suffix.lower() in SUFFIXES for path in paths) > 1:
            found.append(Path(place))
    if not found:
        raise InputError(f"no video and no folder of frames was found below {folder}")
    return [(path.relative_to(folder).as_posix(), partial(decode, path)) for path in sorted(found)]


def decode(path: Path) -> Iterator[Image]:
    """Yield the frames of a video or a folder as (H, W, 3) uint8 RGB."""
    source = open_source(path)
    scan = source.scan(scenes=False)
    for frame in source.read(scan, 0, scan.frames):
        pixels = np.rint(np.clip(frame.rgb, 0, 1) * np.float32(255)).astype(np.uint8)
        yield np.ascontiguousarray(pixels.transpose(1, 2, 0))
