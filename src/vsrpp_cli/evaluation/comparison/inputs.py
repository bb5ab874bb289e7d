"""Reads several videos, folders of frames or images side by side, for `vsrpp compare`."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from pathlib import Path

import numpy as np

from vsrpp_cli.errors import InputError, UsageError
from vsrpp_cli.media.decode.side_data import quarter_turned
from vsrpp_cli.media.images.writer import turned
from vsrpp_cli.media.source import FrameSource, open_source
from vsrpp_cli.media.types import Frame, Scan, SourceInfo
from vsrpp_cli.metrics import Picture, to_8bit
from vsrpp_cli.resample import resize

SAME_SHAPE = 0.01
"""Differences of shape below this come from rounding sizes to whole or even numbers."""
ROUNDED = 2
"""Pixels by which rounding to even numbers may change a side."""

Size = tuple[int, int]
"""Width and height in pixels."""


@dataclass(frozen=True)
class Crop:
    """A part of a frame, in pixels of the first input, as it is shown (after rotation)."""

    width: int
    height: int
    x: int
    y: int

    @classmethod
    def parse(cls, text: str) -> "Crop":
        """Return the crop that `WxH+X+Y` means; UsageError if it is none."""
        size, *place = text.split("+")
        parts = [*size.lower().split("x"), *place]
        if len(parts) != 4 or not all(part.isdecimal() for part in parts):
            raise UsageError(f"`crop={text!r}`: must be WIDTHxHEIGHT+X+Y or full")
        crop = cls(*map(int, parts))
        if not crop.width or not crop.height:
            raise UsageError(f"`crop={text!r}`: width and height must be above 0")
        return crop

    def __str__(self) -> str:
        return f"{self.width}x{self.height}+{self.x}+{self.y}"

    def inside(self, size: Size) -> "Crop":
        """Return this crop; UsageError where it reaches beyond a frame of `size`."""
        width, height = size
        if self.x + self.width > width or self.y + self.height > height:
            raise UsageError(
                f"the crop {self} reaches beyond the frame of {width}x{height}: it is given in "
                "pixels of the first input"
            )
        return self

    def scaled(self, old: Size, new: Size) -> "Crop":
        """Return the same part of the picture at another size, rounded to whole pixels."""
        left, right = (round(x * new[0] / old[0]) for x in (self.x, self.x + self.width))
        top, bottom = (round(y * new[1] / old[1]) for y in (self.y, self.y + self.height))
        return Crop(max(1, right - left), max(1, bottom - top), left, top)

    def of(self, picture: Picture) -> Picture:
        """Return this part of `picture` (3, H, W)."""
        return picture[:, self.y : self.y + self.height, self.x : self.x + self.width]


class Inputs:
    """Several inputs, read frame by frame at the size of the largest, turned as they are shown.

    Args:
        paths: videos, folders of frames or images; the first is the reference.
        start: seconds into the reference at which the other inputs begin.
        frames: the largest number of frames to read from each.

    Raises:
        InputError: one cannot be read.
        UsageError: their pictures have different shapes.
    """

    def __init__(
        self, paths: Sequence[Path], *, start: Fraction | None = None, frames: int | None = None
    ) -> None:
        self.paths = tuple(paths)
        self._start = start
        self._limit = frames
        self._sources = [open_source(path) for path in paths]
        infos = [source.info for source in self._sources]
        self.sizes: tuple[Size, ...] = tuple(_shown_size(info) for info in infos)
        """Size of each input as it is shown."""
        largest = max(range(len(infos)), key=lambda i: self.sizes[i][0] * self.sizes[i][1])
        self.size = self.sizes[largest]
        """The size to which all inputs are enlarged bicubically: that of the largest."""
        self.pixel_aspect = _pixel_aspect(infos[largest])
        """Width over height of that size's pixels when they are shown."""
        self._check_shapes([_pixel_aspect(info) for info in infos])

    def _check_shapes(self, aspects: Sequence[Fraction]) -> None:
        slack = SAME_SHAPE + ROUNDED / min(min(size) for size in self.sizes)
        shapes = [w * float(a) / h for (w, h), a in zip(self.sizes, aspects, strict=True)]
        for path, shape, (width, height) in zip(self.paths, shapes, self.sizes, strict=True):
            if abs(shape / shapes[0] - 1) > slack:
                raise UsageError(
                    f"{path} ({width}x{height}) is shown {shape:.2f} times as wide as high, "
                    f"{self.paths[0]} {shapes[0]:.2f} times: these cannot be laid over each other"
                )

    @cached_property
    def _scans(self) -> list[Scan]:
        """The frames of each input that are compared; the same number of each.

        Raises:
            InputError: the numbers of frames differ.
        """
        others = [source.scan(scenes=False, frames=self._limit) for source in self._sources[1:]]
        frames = self._limit
        if self._start is not None and others:
            frames = min(scan.frames for scan in others)
        first = self._sources[0].scan(scenes=True, start=self._start, frames=frames)
        scans = [first, *others]
        if len({scan.frames for scan in scans}) > 1:
            raise InputError(self._told_apart(scans))
        return scans

    def _told_apart(self, scans: Sequence[Scan]) -> str:
        """Return the error message with the numbers of frames, as far as they are known."""
        counts = [
            f"{path} has {scan.frames}{' or more' if scan.frames == self._limit else ''}"
            for path, scan in zip(self.paths, scans, strict=True)
        ]
        least = min(scan.frames for scan in scans)
        return (
            f"the numbers of frames differ: {', '.join(counts)}; `frames={least}` compares the "
            "first of each, `start` says where in the first input the others begin"
        )

    @property
    def frames(self) -> int:
        """The number of frames compared; the inputs are scanned when this is first asked for."""
        return self._scans[0].frames

    @property
    def cuts(self) -> tuple[int, ...]:
        """Indices of the reference's frames that begin a new scene (never 0)."""
        return self._scans[0].cuts

    @property
    def times(self) -> list[float]:
        """When each frame of the reference is shown, in seconds from the reference's first."""
        pts, unit = self._scans[0].pts, self._sources[0].info.time_base
        return [float((self._start or 0) + (p - pts[0]) * unit) for p in pts]

    def resized(self, index: int) -> bool:
        """Return whether an input is enlarged to be compared."""
        return self.sizes[index] != self.size

    def read(self, first: int = 0, stop: int | None = None) -> Iterator[list[Picture]]:
        """Yield frames `first:stop` of all inputs together, at the size of the largest."""
        width, height = self.size
        for frames in self._together(first, stop):
            yield [to_8bit(resize(rgb, height, width, "bicubic")) for rgb in frames]

    def read_rows(self, row: int, first: int, stop: int) -> list[Picture]:
        """Return one row of pixels over time for each input, shape (3, frames, width).

        Args:
            row: its number in the largest input. In a smaller one it is the row at the same place,
                enlarged horizontally.
            first: the first frame.
            stop: the frame after the last.
        """
        rows: list[list[np.ndarray]] = [[] for _ in self._sources]
        for frames in self._together(first, stop):
            for kept, rgb in zip(rows, frames, strict=True):
                kept.append(rgb[:, row * rgb.shape[1] // self.size[1]])
        slices = (np.stack(kept, axis=1) for kept in rows)
        return [to_8bit(resize(s, s.shape[1], self.size[0], "bicubic")) for s in slices]

    def _together(self, first: int, stop: int | None) -> Iterator[list[np.ndarray]]:
        """Yield RGB (3, H, W) in [0, 1] of all inputs, turned as they are shown."""
        stop = self.frames if stop is None else stop
        streams = [
            source.read(scan, first, stop)
            for source, scan in zip(self._sources, self._scans, strict=True)
        ]
        for frames in zip(*streams, strict=True):
            yield [
                _upright(frame, source) for frame, source in zip(frames, self._sources, strict=True)
            ]


def _upright(frame: Frame, source: FrameSource) -> np.ndarray:
    matrix = source.info.display_matrix
    return frame.rgb if matrix is None else turned(frame.rgb, matrix)


def _shown_size(info: SourceInfo) -> Size:
    if quarter_turned(info.display_matrix):
        return info.height, info.width
    return info.width, info.height


def _pixel_aspect(info: SourceInfo) -> Fraction:
    aspect = info.sample_aspect_ratio
    return 1 / aspect if quarter_turned(info.display_matrix) else aspect
