"""Compares videos, folders of frames or images with the first of them, frame by frame."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from vsrpp_cli.evaluation.comparison.inputs import Crop, Inputs
from vsrpp_cli.evaluation.comparison.places import (
    Map,
    around,
    difference_map,
    moments,
    most_different_part,
    scene_of,
    score,
)
from vsrpp_cli.metrics import Channels, psnr, ssim
from vsrpp_cli.records import finite

SLICE_FRAMES = 240
"""Most frames of a scan line's picture."""

OnFrame = Callable[[int], None]
"""Called with the number of frames done."""


@dataclass
class Likeness:
    """PSNR and SSIM of one input against the reference."""

    path: str
    psnr: list[float] = field(default_factory=list)
    """dB, one a frame."""
    ssim: list[float] = field(default_factory=list)

    @property
    def mean_psnr(self) -> float:
        """Mean over the frames that differ; infinite only if none does."""
        finite_values = [value for value in self.psnr if math.isfinite(value)]
        return math.fsum(finite_values) / len(finite_values) if finite_values else math.inf

    @property
    def mean_ssim(self) -> float:
        """Mean over frames."""
        return math.fsum(self.ssim) / len(self.ssim)

    @property
    def worst(self) -> int:
        """Index of the frame with the lowest PSNR."""
        return min(range(len(self.psnr)), key=self.psnr.__getitem__)


@dataclass(kw_only=True)
class Comparison:
    """The results of comparing inputs with the first of them."""

    inputs: Inputs
    channels: Channels
    border: int
    results: list[Likeness]
    """One for each input but the first."""
    maps: list[Map] = field(default_factory=list)
    """Differences of each frame; the largest ones if there are several other inputs."""
    scores: list[float] = field(default_factory=list)
    """The difference of each frame in the part that differs most."""

    @property
    def reference_enlarged(self) -> bool:
        """Whether the reference is smaller, so that figures show changes rather than quality."""
        return self.inputs.resized(0)

    @property
    def frame(self) -> int:
        """The frame that differs most."""
        return int(np.argmax(self.scores))

    def part(self, frame: int) -> Crop:
        """Return where a frame differs most, in pixels of the first input."""
        return most_different_part(self.maps[frame], self.inputs.sizes[0])

    def row(self, part: Crop) -> int:
        """Return the row of pixels through the middle of a part, at the size of the largest."""
        return (2 * part.y + part.height) * self.inputs.size[1] // (2 * self.inputs.sizes[0][1])

    def moments(self, frames: int) -> list[range]:
        """Return the ranges of frames in which the inputs differ most, `frames` in all."""
        return moments(self.scores, self.inputs.cuts, frames)

    def slice_frames(self, frame: int) -> range:
        """Return the frames of the scene around `frame` for a scan line's picture."""
        scene = scene_of(frame, self.inputs.cuts, self.inputs.frames)
        return around(frame, scene, SLICE_FRAMES)

    def record(self) -> dict[str, Any]:
        """Return what was measured as JSON values; `null` stands for infinite."""
        record = {
            "reference": str(self.inputs.paths[0]),
            "reference_enlarged": self.reference_enlarged,
            "size": list(self.inputs.size),
            "channels": self.channels,
            "border": self.border,
            "frames": self.inputs.frames,
            "results": [{"path": r.path, "psnr": r.psnr, "ssim": r.ssim} for r in self.results],
        }
        found: dict[str, Any] = finite(record)
        return found


def compare(
    inputs: Inputs, *, channels: Channels = "y", border: int = 0, on_frame: OnFrame | None = None
) -> Comparison:
    """Measure all inputs but the first against the first.

    Args:
        inputs: the reference, then the others.
        channels: `y` or `rgb`.
        border: pixels left out on each side, at the size of the largest.
        on_frame: told how many frames are done.

    Raises:
        InputError: an input cannot be read, or the numbers of frames differ.
        UsageError: the frames are too small to be compared.
    """
    results = [Likeness(str(path)) for path in inputs.paths[1:]]
    found = Comparison(inputs=inputs, channels=channels, border=border, results=results)
    for done, (reference, *others) in enumerate(inputs.read(), 1):
        for result, picture in zip(results, others, strict=True):
            result.psnr.append(psnr(reference, picture, channels=channels, border=border))
            result.ssim.append(ssim(reference, picture, channels=channels, border=border))
        maps = [difference_map(reference, picture) for picture in others]
        found.maps.append(np.max(maps, axis=0))
        found.scores.append(score(found.maps[-1]))
        if on_frame is not None:
            on_frame(done)
    return found
