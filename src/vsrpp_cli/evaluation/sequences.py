"""Finds and reads the sequences of a data set: folders of frames, and videos."""

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vsrpp_cli.errors import InputError
from vsrpp_cli.evaluation.protocols import Protocol
from vsrpp_cli.media.source import open_source
from vsrpp_cli.media.suffixes import IMAGE_SUFFIXES, VIDEO_SUFFIXES
from vsrpp_cli.metrics import to_8bit

TRUTH_FOLDERS = ("GT", "gt", "sequences")
"""Subfolders of a data set that usually contain the ground truth."""


@dataclass(frozen=True)
class Sequence:
    """One sequence of ground truth."""

    name: str
    """Its path below the data set, with slashes and without the suffix of a video."""
    path: Path


def find_sequences(
    dataset: Path, protocol: Protocol | None, only: tuple[str, ...] = ()
) -> list[Sequence]:
    """Return the sequences of a data set in the order of their names.

    Args:
        dataset: a folder of folders of frames or videos (at any depth), a folder of frames, or a
            single video.
        protocol: restricts the sequences to those of a benchmark.
        only: names of the sequences to use instead of the protocol's.

    Raises:
        InputError: there are none, or one of those named is missing.
    """
    if not dataset.exists():
        raise InputError(f"{dataset}: no such folder")
    if dataset.is_file():
        return [Sequence(dataset.stem, dataset)]
    root = next((dataset / f for f in TRUTH_FOLDERS if (dataset / f).is_dir()), dataset)
    wanted = only or _wanted(root, protocol)
    if wanted:
        return [named_sequence(root, name) for name in wanted]
    found = _all_below(root)
    if not found:
        raise InputError(f"{root}: no folders of frames and no videos in it")
    return found


def _wanted(root: Path, protocol: Protocol | None) -> tuple[str, ...]:
    if protocol is None:
        return ()
    if protocol.listing is None:
        return protocol.sequences
    for folder in (root, root.parent):
        listing = folder / protocol.listing
        if listing.is_file():
            return tuple(listing.read_text("utf-8").split())
    return ()


def named_sequence(root: Path, name: str) -> Sequence:
    """Return the sequence called `name` below `root`, a folder or a video; InputError if none."""
    if (root / name).is_dir():
        return Sequence(name, root / name)
    videos = [root / f"{name}{suffix}" for suffix in sorted(VIDEO_SUFFIXES)]
    for path in (root / name, *videos):
        if path.is_file():
            return Sequence(Path(name).stem, path)
    raise InputError(f"{root}: sequence {name} is missing")


def _all_below(root: Path) -> list[Sequence]:
    found = []
    for folder, folders, files in os.walk(root):
        folders.sort()
        here = Path(folder)
        suffixes = {Path(file).suffix.lower() for file in files}
        if suffixes & IMAGE_SUFFIXES.keys():
            name = here.relative_to(root).as_posix() if here != root else root.resolve().name
            found.append(Sequence(name, here))
        for file in files:
            if Path(file).suffix.lower() in VIDEO_SUFFIXES:
                place = (here / file).relative_to(root)
                found.append(Sequence(place.with_suffix("").as_posix(), here / file))
    return sorted(found, key=lambda sequence: sequence.name)


def read_8bit(path: Path, frames: int | None = None) -> list[NDArray[np.uint8]]:
    """Return the frames (3, H, W) of a folder or video, RGB, rounded to 8 bits.

    Args:
        path: of the folder, pattern or video.
        frames: the largest number, from the beginning.

    Raises:
        InputError: it cannot be read.
    """
    source = open_source(path)
    scan = source.scan(scenes=False, start=None, end=None, frames=frames)
    return [to_8bit(frame.rgb) for frame in source.read(scan, 0, scan.frames)]
