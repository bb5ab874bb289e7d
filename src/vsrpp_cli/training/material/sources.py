"""Finds and decodes training material."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np

from vsrpp_cli.errors import InputError, UsageError
from vsrpp_cli.media.images.headers import read_header
from vsrpp_cli.media.source import open_source
from vsrpp_cli.media.suffixes import IMAGE_SUFFIXES, VIDEO_SUFFIXES
from vsrpp_cli.training.material.prepare import Image


@dataclass(frozen=True)
class Photographs:
    """A folder of unrelated pictures."""

    name: str
    """The path below the folder given, with forward slashes."""
    files: tuple[Path, ...]


@dataclass
class Material:
    """What was found to train on."""

    videos: list[tuple[str, Callable[[], Iterator[Image]]]] = field(default_factory=list)
    """Videos and folders of frames: names, and functions that yield their RGB frames (H, W, 3)."""
    photographs: list[Photographs] = field(default_factory=list)


def find_material(folders: Sequence[Path], stills: Sequence[Path] = ()) -> Material:
    """Return the videos, folders of frames and photographs below folders, sorted by name.

    Two or more pictures in one folder are the frames of a sequence if all have the same size, else
    photographs. A single picture is ignored.

    Args:
        folders: searched with their subfolders.
        stills: likewise, but every picture there is a photograph, also a single one.

    Raises:
        InputError: nothing was found, or a picture cannot be read.
        UsageError: one of them is not a folder.
    """
    found = Material()
    for root in folders:
        for place, paths in _walk(root):
            found.videos += [
                (_below(root, path), partial(decode, path))
                for path in paths
                if path.suffix.lower() in VIDEO_SUFFIXES
            ]
            pictures = _pictures(paths)
            if len(pictures) > 1 and _one_size(pictures):
                found.videos.append((_below(root, place), partial(decode, place)))
            elif len(pictures) > 1:
                found.photographs.append(Photographs(_below(root, place), pictures))
    for root in stills:
        for place, paths in _walk(root):
            if pictures := _pictures(paths):
                found.photographs.append(Photographs(_below(root, place), pictures))
    if not found.videos and not found.photographs:
        names = ", ".join(map(str, (*folders, *stills)))
        raise InputError(f"no video and no folder of pictures was found below {names}")
    found.videos.sort(key=lambda video: video[0])
    return found


def _walk(root: Path) -> Iterator[tuple[Path, list[Path]]]:
    """Yield each folder with its files that are not hidden, both sorted by name."""
    if not root.is_dir():
        raise UsageError(f"{root} is no folder of training material")
    for place, folders, files in os.walk(root):
        folders.sort()
        yield Path(place), [Path(place) / file for file in sorted(files) if file[0] != "."]


def _below(root: Path, path: Path) -> str:
    return root.name if path == root else path.relative_to(root).as_posix()


def _pictures(paths: list[Path]) -> tuple[Path, ...]:
    return tuple(path for path in paths if path.suffix.lower() in IMAGE_SUFFIXES)


def _one_size(pictures: Sequence[Path]) -> bool:
    headers = map(read_header, pictures)
    return len({(header.width, header.height) for header in headers}) == 1


def decode(path: Path) -> Iterator[Image]:
    """Yield the frames of a video or a folder as (H, W, 3) uint8 RGB."""
    source = open_source(path)
    scan = source.scan(scenes=False)
    for frame in source.read(scan, 0, scan.frames):
        pixels = np.rint(np.clip(frame.rgb, 0, 1) * np.float32(255)).astype(np.uint8)
        yield np.ascontiguousarray(pixels.transpose(1, 2, 0))
