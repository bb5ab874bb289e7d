"""Writes an HTML page that shows a comparison in any browser: one file that loads nothing else.

The page's parts are in `page_files/`. Pictures are WebP in data URIs, of the best quality with
which the page stays within its size limit.
"""

import base64
import html
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib import resources
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from vsrpp_cli.durable import write_durably
from vsrpp_cli.errors import InputError, UsageError
from vsrpp_cli.evaluation.comparison.compare import Comparison
from vsrpp_cli.evaluation.comparison.inputs import Crop
from vsrpp_cli.evaluation.comparison.panes import captions
from vsrpp_cli.evaluation.comparison.pictures import encoded
from vsrpp_cli.evaluation.comparison.places import around, scene_of
from vsrpp_cli.media.types import ASSUMED_RATE
from vsrpp_cli.metrics import Picture
from vsrpp_cli.records import finite
from vsrpp_cli.version import __version__

QUALITIES = (95, 90, 85, 80, 70, 60)
"""Qualities of WebP, best first; with lower ones artefacts hide the details of the video."""
FRAMES = 12
SIZE = 10_000_000
"""Default limits of a page: frames and bytes."""
SCORES = 400
"""Most points of the curve of differences over time."""


@dataclass(frozen=True, kw_only=True)
class PageSettings:
    """The contents of a page, and how large it may be."""

    frames: int = FRAMES
    """Most frames; those that differ most are shown."""
    size: int = SIZE
    """Most bytes of the file."""
    frame: int | None = None
    """Show the frames around this one instead."""
    crop: Crop | None = None
    """Show only this part, in pixels of the first input."""
    labels: tuple[str, ...] = ()
    """Names to show instead of the files' names."""
    report: dict[str, Any] | None = None
    """The report of the run that made the result, as JSON values."""


@dataclass(frozen=True, kw_only=True)
class PageMade:
    """Facts about a written page."""

    frames: int
    quality: int
    """Of WebP, 0 to 100."""
    size: int
    """Bytes."""


def read_report(path: Path) -> dict[str, Any]:
    """Return a report that `vsrpp upscale --report` wrote.

    Raises:
        InputError: it cannot be read, or is no such report.
    """
    try:
        report = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be read as a report: {error}") from error
    if not isinstance(report, dict) or not {"output", "status"} <= report.keys():
        raise InputError(f"{path}: is no report as `vsrpp upscale` writes it with `report`")
    return report


def write_page(path: Path, found: Comparison, settings: PageSettings) -> PageMade:
    """Write the page; folders above it are made.

    Raises:
        UsageError: not even one frame fits into the size.
        InputError: an input cannot be read.
        OSError: the page cannot be written.
    """
    page = _Page(found, settings)
    stretches, quality, images = page.fitting()
    text = _assembled(page.title, page.data(stretches, quality, images))
    path.parent.mkdir(parents=True, exist_ok=True)
    write_durably(path, text.encode())
    return PageMade(frames=len(images), quality=quality, size=len(text.encode()))


class _Page:
    """Collects the contents of one page."""

    def __init__(self, found: Comparison, settings: PageSettings) -> None:
        self._found = found
        self._inputs = found.inputs
        self._settings = settings
        self._names = [name for name, _ in captions(found.inputs, settings.labels)]
        self._first = found.frame if settings.frame is None else settings.frame
        self._part = self._in_largest(settings.crop) if settings.crop else None
        self._sizes: dict[int, int] = {}
        self.title = " → ".join([self._names[0], ", ".join(self._names[1:])])

    def _in_largest(self, part: Crop) -> Crop:
        return part.scaled(self._inputs.sizes[0], self._inputs.size)

    def fitting(self) -> tuple[list[range], int, list[list[str]]]:
        """Return ranges of frames, a quality and the pictures, which fit into the size."""
        wanted = self._settings.frames
        room = self._settings.size - len(_assembled(self.title, self.data([], 0, [])).encode())
        while True:
            stretches = self._stretches(wanted)
            for quality in self._promising(sum(map(len, stretches)), room):
                images = [self._images(frame, quality) for frame in self._frames(stretches)]
                size = sum(len(image) for frame in images for image in frame)
                if size <= room:
                    return stretches, quality, images
            if wanted == 1:
                raise UsageError(
                    f"not even one frame fits into a page of {self._settings.size / 1e6:g} MB: "
                    "`html_size` allows a larger one, `crop` shows a part only"
                )
            wanted = max(1, wanted * 2 // 3)

    def _promising(self, count: int, room: int) -> Iterator[int]:
        """Yield the qualities at which `count` frames like the first one would fit, best first."""
        for quality in QUALITIES:
            if self._expected(quality) * count <= room:
                yield quality

    def _expected(self, quality: int) -> int:
        """Return how many bytes the pictures of the first frame take."""
        if quality not in self._sizes:
            self._sizes[quality] = sum(map(len, self._images(self._sample, quality)))
        return self._sizes[quality]

    @cached_property
    def _sample(self) -> list[Picture]:
        return self._cut(next(self._inputs.read(self._first, self._first + 1)))

    def _stretches(self, frames: int) -> list[range]:
        if self._settings.frame is None:
            return self._found.moments(frames)
        scene = scene_of(self._first, self._inputs.cuts, self._inputs.frames)
        return [around(self._first, scene, frames)]

    def _frames(self, stretches: Sequence[range]) -> Iterator[list[Picture]]:
        for stretch in stretches:
            for pictures in self._inputs.read(stretch.start, stretch.stop):
                yield self._cut(pictures)

    def _cut(self, pictures: list[Picture]) -> list[Picture]:
        if self._part is None:
            return pictures
        return [self._part.of(picture) for picture in pictures]

    def _images(self, pictures: Sequence[Picture], quality: int) -> list[str]:
        return [_data_uri(picture, quality) for picture in pictures]

    def data(
        self, stretches: Sequence[range], quality: int, images: Sequence[list[str]]
    ) -> dict[str, Any]:
        """Return all that the page's script reads, as JSON values."""
        inputs, found = self._inputs, self._found
        numbers = [number for stretch in stretches for number in stretch]
        starts = np.cumsum([0, *map(len, stretches)]).tolist()
        size = (self._part.width, self._part.height) if self._part else inputs.size
        return {
            "generator": f"vsrpp {__version__}",
            "size": size,
            "pixelAspect": float(inputs.pixel_aspect),
            "crop": str(self._settings.crop) if self._settings.crop else None,
            "inputs": self._described(),
            "frames": [
                {"number": number, "time": round(inputs.times[number], 4), "images": pictures}
                for number, pictures in zip(numbers, images, strict=True)
            ],
            "stretches": list(pairwise(starts)),
            "first": numbers.index(self._first) if self._first in numbers else 0,
            "rate": self._rate(),
            "focus": self._focus(size),
            "slice": self._slice,
            "rows": inputs.size[1],
            "scores": _thinned(found.scores),
            "compared": inputs.frames,
            "channels": found.channels,
            "referenceEnlarged": found.reference_enlarged,
            "figures": [
                {"label": name, "psnr": r.mean_psnr, "ssim": r.mean_ssim, "worst": r.worst}
                for name, r in zip(self._names[1:], found.results, strict=True)
            ],
            "quality": quality,
            "report": self._settings.report,
        }

    def _described(self) -> list[dict[str, Any]]:
        return [
            {"label": name, "size": size, "enlarged": self._inputs.resized(index)}
            for index, (name, size) in enumerate(zip(self._names, self._inputs.sizes, strict=True))
        ]

    def _rate(self) -> float:
        """Return how many frames are shown a second."""
        times = self._inputs.times
        return (len(times) - 1) / (times[-1] - times[0]) if len(times) > 1 else float(ASSUMED_RATE)

    def _focus(self, size: tuple[int, int]) -> tuple[float, float, float, float]:
        """Return the part that differs most: x, y, width, height, as shares of the picture."""
        if self._part is not None:
            return 0.0, 0.0, 1.0, 1.0
        part = self._in_largest(self._found.part(self._first))
        return part.x / size[0], part.y / size[1], part.width / size[0], part.height / size[1]

    @cached_property
    def _slice(self) -> dict[str, Any]:
        """Return the row of pixels through the middle of the part that differs most, over time."""
        part = self._settings.crop or self._found.part(self._first)
        row, frames = self._found.row(part), self._found.slice_frames(self._first)
        slices = self._inputs.read_rows(row, frames.start, frames.stop)
        if self._part is not None:
            left, right = self._part.x, self._part.x + self._part.width
            slices = [s[..., left:right] for s in slices]
        images = self._images([np.ascontiguousarray(s) for s in slices], QUALITIES[0])
        return {"row": row, "first": frames[0], "last": frames[-1], "images": images}


def _data_uri(picture: Picture, quality: int) -> str:
    options = {"lossless": "0", "quality": str(quality), "compression_level": "3"}
    data = encoded(picture, "webp", options)
    return f"data:image/webp;base64,{base64.b64encode(data).decode()}"


def _thinned(scores: Sequence[float]) -> list[float]:
    """Return at most `SCORES` scores: the highest of each of as many parts."""
    parts = np.array_split(np.array(scores), min(SCORES, len(scores)))
    return [round(float(part.max()), 3) for part in parts]


def _assembled(title: str, data: dict[str, Any]) -> str:
    """Return the page: the parts in `page_files/` put together with its data."""
    folder = resources.files("vsrpp_cli.evaluation.comparison") / "page_files"
    # JSON within HTML: "</script" must not end it, nor "<!--" begin a comment.
    values = json.dumps(finite(data), ensure_ascii=False, allow_nan=False).replace("<", "\\u003c")
    parts = {
        "title": html.escape(title),
        "generator": html.escape(data["generator"]),
        "style": (folder / "page.css").read_text("utf-8").rstrip(),
        "script": (folder / "page.js").read_text("utf-8").rstrip(),
        "data": values,
    }
    template = (folder / "page.html").read_text("utf-8")
    return re.sub(r"\{\{(\w+)\}\}", lambda match: parts[match[1]], template)
