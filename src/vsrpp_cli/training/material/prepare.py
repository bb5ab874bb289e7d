"""Packs videos and photographs as training material: crops without cuts and near-duplicates.

The pack is a folder with three raw uint8 files, which are memory-mapped, and a JSON index:

* ``clips.u8``: (N, T, S, S, 3), short clips of consecutive frames, downscaled so that compression
  artefacts vanish and detail reaches down to single pixels;
* ``stills.u8``: single frames of videos at their native size, and photographs, from which clips
  with known motion are rendered;
* ``held_out.u8``: one clip of each held-out video, for validation;
* ``pack.json``: the settings, and for each clip and still where it came from and how much detail
  it has.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F

from vsrpp_cli.errors import InputError

Image = npt.NDArray[np.uint8]
"""One RGB frame, (H, W, 3), 0..255."""

PACK_VERSION = 1

OnSource = Callable[[str, int, str], None]
"""Called with the name of a video or of a folder of photographs, the number of pictures packed from
it, and what they are (`clips` or `stills`)."""


@dataclass(frozen=True)
class PreparationSettings:
    """How videos are turned into a pack."""

    frames: int = 14
    """Frames of a packed clip (longer than the trained ones, so that frames can be skipped)."""
    size: int = 288
    """Height and width of a packed clip in high-resolution pixels."""
    downscale: tuple[float, float] = (1.25, 2.0)
    """Range of the factor by which a video is downscaled before cropping. The upper limit grows for
    videos of more than 720 lines; a video is never made smaller than a crop."""
    crops: int = 2
    """Crops taken from each run of `frames` frames."""
    clips_per_source: int = 70
    """No more runs of a video are packed once it has this many clips."""
    duplicate: float = 0.35
    """Mean absolute difference of thumbnails (0..255); a frame that differs less is skipped."""
    cut: float = 24.0
    """Mean absolute difference of thumbnails (0..255) above which a new scene begins."""
    detail: float = 1.6
    """Crops whose mean high-pass magnitude (0..255) is below this are left out as too flat."""
    still_sides: tuple[int, ...] = (1280, 800)
    """Short sides in pixels to which each photograph is downscaled, so that detail reaches down to
    single pixels. A photograph is never enlarged, nor made smaller than `size`."""
    held_out_frames: int = 10
    """Frames of the clip kept from each held-out video."""
    held_out_size: int = 384
    """Largest height and width of that clip."""
    seed: int = 0


@dataclass
class PackWriter:
    """Appends pictures to the files of a pack, and collects its index."""

    folder: Path
    settings: PreparationSettings
    clips: list[dict[str, Any]] = field(default_factory=list)
    stills: list[dict[str, Any]] = field(default_factory=list)
    held_out: list[dict[str, Any]] = field(default_factory=list)
    offset: int = 0
    held_out_offset: int = 0

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        self._clips = (self.folder / "clips.u8").open("wb")
        self._stills = (self.folder / "stills.u8").open("wb")
        self._held_out = (self.folder / "held_out.u8").open("wb")

    def clip(self, pixels: Image, source: str, detail: float, motion: float) -> None:
        """Append a clip, (T, S, S, 3); T and S are `frames` and `size` of the settings."""
        self._clips.write(np.ascontiguousarray(pixels).tobytes())
        self.clips.append({"source": source, "detail": detail, "motion": motion})

    def still(self, pixels: Image, source: str, detail: float) -> None:
        """Append a still, (H, W, 3)."""
        self._stills.write(np.ascontiguousarray(pixels).tobytes())
        height, width = pixels.shape[:2]
        row = {"source": source, "offset": self.offset, "height": height, "width": width}
        self.stills.append(row | {"detail": detail})
        self.offset += pixels.size

    def kept(self, pixels: Image, source: str) -> None:
        """Append a held-out clip, (T, H, W, 3)."""
        self._held_out.write(np.ascontiguousarray(pixels).tobytes())
        frames, height, width = pixels.shape[:3]
        row = {"source": source, "offset": self.held_out_offset, "frames": frames}
        self.held_out.append(row | {"height": height, "width": width})
        self.held_out_offset += pixels.size

    def close(self) -> None:
        """Write the index; without it the pack cannot be read."""
        self._clips.close()
        self._stills.close()
        self._held_out.close()
        index = {
            "version": PACK_VERSION,
            "settings": asdict(self.settings),
            "clips": self.clips,
            "stills": self.stills,
            "held_out": self.held_out,
        }
        temporary = self.folder / "pack.json.part"
        temporary.write_text(json.dumps(index, indent=0), encoding="utf-8")
        os.replace(temporary, self.folder / "pack.json")  # noqa: PTH105


def prepare(
    sources: Iterable[tuple[str, Callable[[], Iterator[Image]]]],
    folder: Path,
    settings: PreparationSettings,
    *,
    photographs: Iterable[tuple[str, Iterable[tuple[str, Callable[[], Image]]]]] = (),
    held_out: Collection[str] = (),
    on_source: OnSource | None = None,
) -> None:
    """Pack training material.

    Args:
        sources: pairs of the name of a video and a function that returns its RGB frames (H, W, 3)
            in order.
        folder: where the pack is written; an older pack there is replaced.
        settings: sizes and thresholds.
        photographs: pairs of the name of a folder and its photographs: pairs of a name and a
            function that decodes it.
        held_out: names of sources of which one clip each is packed, for validation.
        on_source: called after each video and each folder of photographs.

    Raises:
        InputError: there is no clip and no still, or a held-out video is too short.
    """
    writer = PackWriter(folder, settings)
    tell = on_source or (lambda _name, _count, _unit: None)
    for name, frames in sources:
        rng = np.random.default_rng([settings.seed, *name.encode()])
        before = len(writer.clips)
        if name in held_out:
            _keep(frames(), name, writer)
            continue
        for run in scene_runs(frames(), settings):
            if len(writer.clips) - before >= settings.clips_per_source:
                break
            _pack_run(run, name, writer, rng)
        tell(name, len(writer.clips) - before, "clips")
    for name, pictures in photographs:
        before = len(writer.stills)
        for picture, load in pictures:
            _pack_photograph(load(), f"{name}/{picture}", writer)
        tell(name, len(writer.stills) - before, "stills")
    writer.close()
    if not writer.clips and not writer.stills:
        raise InputError(
            f"no clip of {settings.frames} moving, detailed frames of at least "
            f"{settings.size}x{settings.size} pixels was found in the videos given: small ones "
            "need a recipe with another preparation.size, and preparation.downscale = [1, 1]"
        )


def _pack_photograph(picture: Image, name: str, writer: PackWriter) -> None:
    """Write a photograph at each of `still_sides` that it allows."""
    settings = writer.settings
    height, width = picture.shape[:2]
    short = min(height, width)
    for side in dict.fromkeys(min(side, short) for side in settings.still_sides):
        if side < settings.size:
            continue
        factor = short / side
        small = picture if side == short else resize(
            picture, round(height / factor), round(width / factor)
        )  # fmt: skip
        detail = detail_of(small)
        if detail >= settings.detail:
            writer.still(small, name, detail)


def _keep(frames: Iterator[Image], name: str, writer: PackWriter) -> None:
    """Write the centre of the first scene that is long enough, downscaled, as a held-out clip."""
    settings = writer.settings
    run = next(scene_runs(frames, replace(settings, frames=settings.held_out_frames)), None)
    if run is None:
        raise InputError(f"{name}: no {settings.held_out_frames} moving frames to hold out")
    height, width = run[0].shape[:2]
    factor = max(1.0, min(settings.downscale[1], min(height, width) / settings.held_out_size))
    small = np.stack([resize(f, round(height / factor), round(width / factor)) for f in run])
    size_y, size_x = (min(side, settings.held_out_size) for side in small.shape[1:3])
    y, x = (small.shape[1] - size_y) // 2, (small.shape[2] - size_x) // 2
    writer.kept(small[:, y : y + size_y, x : x + size_x], name)


def thumbnail(frame: Image) -> npt.NDArray[np.float32]:
    """Return the mean of R, G and B as a small array of about 36x64, 0..255."""
    height, width = frame.shape[:2]
    y, x = max(1, height // 36), max(1, width // 64)
    gray = frame[: height // y * y, : width // x * x].astype(np.float32).mean(axis=2)
    blocks = gray.reshape(height // y, y, width // x, x)
    return np.asarray(blocks.mean(axis=(1, 3)), dtype=np.float32)


def scene_runs(frames: Iterator[Image], settings: PreparationSettings) -> Iterator[list[Image]]:
    """Yield runs of `settings.frames` frames each, without cuts and near-duplicates."""
    run: list[Image] = []
    last: npt.NDArray[np.float32] | None = None
    for frame in frames:
        small = thumbnail(frame)
        change = float("inf") if last is None else float(np.abs(small - last).mean())
        if change < settings.duplicate:
            continue
        if change > settings.cut:
            run = []
        last = small
        run.append(frame)
        if len(run) == settings.frames:
            yield run
            run = []


def resize(frame: Image, height: int, width: int) -> Image:
    """Return an RGB frame (H, W, 3) resized by the antialiased bicubic filter, 8 bit."""
    pixels = torch.from_numpy(frame).permute(2, 0, 1)[None].float()
    small = F.interpolate(pixels, (height, width), mode="bicubic", antialias=True)
    out = small[0].round().clamp(0, 255).byte().permute(1, 2, 0).contiguous()
    return np.asarray(out.numpy(), dtype=np.uint8)


def detail_of(image: Image) -> float:
    """Return the mean magnitude (0..255) of what a 5x5 box blur removes from mean(R, G, B)."""
    luma = torch.from_numpy(np.ascontiguousarray(image)).float().mean(dim=2)[None, None]
    blurred = F.avg_pool2d(luma, 5, stride=1)
    return float((luma[..., 2:-2, 2:-2] - blurred).abs().mean())


def _factor(height: int, width: int, settings: PreparationSettings, draw: float) -> float | None:
    """Return the downscaling factor at `draw` (0..1) of its range; None for too small videos."""
    largest = min(height, width) / settings.size
    if largest < 1:
        return None
    low, high = settings.downscale
    high = min(high * max(1.0, min(height, width) / 720), largest)
    return min(low, high) + draw * (high - min(low, high))


def _pack_run(run: list[Image], name: str, writer: PackWriter, rng: np.random.Generator) -> None:
    """Write one still and the best crops of a run of frames."""
    settings = writer.settings
    height, width = run[0].shape[:2]
    middle = run[len(run) // 2]
    still_detail = detail_of(middle)
    if still_detail >= settings.detail / 2 and min(height, width) >= settings.size:
        writer.still(middle, name, still_detail)
    for _ in range(settings.crops):
        factor = _factor(height, width, settings, float(rng.random()))
        if factor is None:
            return
        size = (round(height / factor), round(width / factor))
        small = [resize(frame, *size) for frame in run]
        crop, detail = best_crop(small, settings, rng)
        if detail >= settings.detail:
            motion = float(np.abs(crop[1:].astype(np.int16) - crop[:-1]).mean())
            writer.clip(crop, name, detail, motion)


def best_crop(
    frames: list[Image], settings: PreparationSettings, rng: np.random.Generator
) -> tuple[Image, float]:
    """Return the one of four random crops (T, S, S, 3) with the most detail, and its detail.

    Args:
        frames: (H, W, 3) each, no side smaller than S, which is `settings.size`.
        settings: of the pack.
        rng: draws the positions.
    """
    size = settings.size
    middle = frames[len(frames) // 2]
    best: tuple[float, int, int] | None = None
    for _ in range(4):
        y = int(rng.integers(0, middle.shape[0] - size + 1))
        x = int(rng.integers(0, middle.shape[1] - size + 1))
        found = detail_of(middle[y : y + size, x : x + size])
        if best is None or found > best[0]:
            best = (found, y, x)
    assert best is not None
    detail, y, x = best
    crop = np.stack([frame[y : y + size, x : x + size] for frame in frames])
    return crop, detail
