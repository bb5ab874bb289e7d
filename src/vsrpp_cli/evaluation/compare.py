"""Two or more videos, folders of frames or images against each other, frame by frame."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

import numpy as np
import torch

from vsrpp_cli.degrade import bicubic_upsample
from vsrpp_cli.errors import InputError, UsageError
from vsrpp_cli.media.source import open_source
from vsrpp_cli.metrics import Picture, psnr, ssim, to_8bit

GAP = 4
"""White pixels between the panels of a picture."""
PANEL = 320
"""Crops are enlarged by a whole factor until they are at least so many pixels wide."""

OnFrame = Callable[[int], None]
"""Called with the number of frames done."""


@dataclass(frozen=True)
class Crop:
    """A part of a frame, in pixels of the largest of the inputs."""

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
            raise UsageError(f"--crop {text!r}: must be WIDTHxHEIGHT+X+Y")
        crop = cls(*map(int, parts))
        if not crop.width or not crop.height:
            raise UsageError(f"--crop {text}: width and height must be above 0")
        return crop

    def of(self, picture: Picture) -> Picture:
        """Return this part of `picture` (3, H, W); UsageError where it reaches beyond."""
        height, width = picture.shape[1:]
        if self.x + self.width > width or self.y + self.height > height:
            raise UsageError(
                f"--crop {self.width}x{self.height}+{self.x}+{self.y} reaches beyond the frame of "
                f"{width}x{height}"
            )
        return picture[:, self.y : self.y + self.height, self.x : self.x + self.width]


@dataclass
class Comparison:
    """One input against the reference."""

    path: str
    psnr: list[float] = field(default_factory=list)
    """dB, one a frame."""
    ssim: list[float] = field(default_factory=list)

    @property
    def mean_psnr(self) -> float:
        """Mean over the frames that differ; infinite only if none does."""
        finite = [value for value in self.psnr if math.isfinite(value)]
        return math.fsum(finite) / len(finite) if finite else math.inf

    @property
    def mean_ssim(self) -> float:
        """Mean over frames."""
        return math.fsum(self.ssim) / len(self.ssim)

    @property
    def worst(self) -> int:
        """Index of the frame with the lowest PSNR."""
        return min(range(len(self.psnr)), key=self.psnr.__getitem__)


class Inputs:
    """Several inputs, read side by side at the size of the largest.

    Args:
        paths: videos, folders of frames or images.

    Raises:
        InputError: one cannot be read.
        UsageError: no whole factor leads from one size to the largest.
    """

    def __init__(self, paths: Sequence[Path]) -> None:
        self.paths = paths
        self._sources = [open_source(path) for path in paths]
        sizes = [(source.info.width, source.info.height) for source in self._sources]
        largest = max(sizes, key=lambda size: size[0] * size[1])
        self.factors = [
            _factor(size, largest, path) for size, path in zip(sizes, paths, strict=True)
        ]
        """How many times each is enlarged, bicubically."""

    def read(self, frames: int | None = None) -> Iterator[list[Picture]]:
        """Yield the frames of all inputs together.

        Raises:
            InputError: one has fewer frames than the others, unless `frames` are there.
        """
        scans = [source.scan(scenes=False, frames=frames) for source in self._sources]
        counts = [scan.frames for scan in scans]
        if len(set(counts)) > 1:
            told = ", ".join(
                f"{path} has {count}" for path, count in zip(self.paths, counts, strict=True)
            )
            raise InputError(f"the numbers of frames differ: {told}; --frames compares fewer")
        streams = [
            source.read(scan, 0, scan.frames)
            for source, scan in zip(self._sources, scans, strict=True)
        ]
        for together in zip(*streams, strict=True):
            yield [
                enlarged(to_8bit(frame.rgb), factor)
                for frame, factor in zip(together, self.factors, strict=True)
            ]


def _factor(size: tuple[int, int], largest: tuple[int, int], path: Path) -> int:
    factor = largest[0] // size[0]
    if (size[0] * factor, size[1] * factor) != largest:
        raise UsageError(
            f"{path} is {size[0]}x{size[1]}, which no whole factor makes "
            f"{largest[0]}x{largest[1]}: these cannot be compared"
        )
    return factor


def enlarged(picture: Picture, factor: int) -> Picture:
    """Return `picture` (3, H, W) `factor` times larger, bicubically."""
    if factor == 1:
        return picture
    large = bicubic_upsample(torch.from_numpy(picture.astype(np.float64)), factor).numpy()
    return to_8bit((large / 255).astype(np.float32))


def compare(
    inputs: Inputs,
    *,
    channels: str = "y",
    border: int = 0,
    frames: int | None = None,
    on_frame: OnFrame | None = None,
) -> list[Comparison]:
    """Measure all inputs but the first against the first.

    Args:
        inputs: the reference, then the others.
        channels: `y` or `rgb`.
        border: pixels left out on each side.
        frames: at most so many.
        on_frame: told how many frames are done.

    Raises:
        InputError: an input cannot be read, or the numbers of frames differ.
        UsageError: the frames are too small to be compared.
    """
    results = [Comparison(str(path)) for path in inputs.paths[1:]]
    for done, (reference, *others) in enumerate(inputs.read(frames), 1):
        for result, picture in zip(results, others, strict=True):
            result.psnr.append(psnr(reference, picture, channels=channels, border=border))
            result.ssim.append(ssim(reference, picture, channels=channels, border=border))
        if on_frame is not None:
            on_frame(done)
    return results


def side_by_side(inputs: Inputs, frame: int, crop: Crop | None) -> Picture:
    """Return one frame of each input beside each other, or the same crop of each, enlarged.

    Raises:
        UsageError: there is no such frame, or the crop reaches beyond it.
        InputError: an input cannot be read.
    """
    pictures = next(islice(inputs.read(frame + 1), frame, None), None)
    if pictures is None:
        raise UsageError(f"--frame {frame}: there are fewer frames, counted from 0")
    if crop is not None:
        pictures = [_magnified(crop.of(picture)) for picture in pictures]
    height = pictures[0].shape[1]
    gap = np.full((3, height, GAP), 255, np.uint8)
    panels = [part for picture in pictures for part in (gap, picture)]
    return np.concatenate(panels[1:], axis=2)


def _magnified(picture: Picture) -> Picture:
    """Return `picture` with each pixel repeated, so that it can be looked at."""
    factor = max(1, -(-PANEL // picture.shape[2]))
    return picture.repeat(factor, axis=1).repeat(factor, axis=2)
