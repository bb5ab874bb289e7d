"""A part of a pack in one small file, to be copied to another machine.

A ZIP archive of an index, clips and stills. Each is compressed without loss by bzip2, as green, red
minus green and blue minus green, in differences to the pixels above and to the left. Real pictures
shrink to about a third.
"""

from __future__ import annotations

import bz2
import json
import zipfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from vsrpp_cli.errors import InputError
from vsrpp_cli.records import from_json
from vsrpp_cli.training.material.prepare import Image, PackWriter, PreparationSettings, best_crop
from vsrpp_cli.training.material.sampler import Pack, probabilities
from vsrpp_cli.training.recipe import Recipe

INDEX = "index.json"
ENTRY_BYTES = 400
"""Most bytes of a picture's entries in the archive and its index."""
MORE_FRAMES = 2
"""Additional frames of a clip beyond those that a recipe trains on."""
ROOM = 32
"""Additional high-resolution pixels of a clip's sides beyond a recipe's patch."""
STILL_SIDE = 512
"""Largest side of a still in pixels."""
STILLS_SHARE = 0.5
"""Factor on the share of the file for stills. Without it that share would be the share of clips
rendered from stills; but many clips can be rendered from one still."""
DETAIL_POWER = 0.7
"""Pictures are chosen with a probability that grows with this power of their detail."""

Row = dict[str, Any]


@dataclass
class _Archive:
    """Takes pictures as long as there is room."""

    file: zipfile.ZipFile
    room: int
    """Bytes left."""
    rows: list[Row] = field(default_factory=list)

    def add(self, kind: str, pixels: Image, row: Row, room: int) -> bool:
        """Append a picture unless it takes more than `room` bytes; return whether it was."""
        data = bz2.compress(folded(pixels))
        needed = len(data) + ENTRY_BYTES
        if needed > room:
            return False
        self.file.writestr(str(len(self.rows)), data)
        self.rows.append(row | {"kind": kind, "shape": pixels.shape})
        self.room -= needed
        return True

    def fill(self, kind: str, pictures: Iterator[tuple[Image, Row]], share: float = 1.0) -> None:
        """Append pictures until a share of the room is full."""
        least = self.room - int(share * self.room)
        for pixels, row in pictures:
            if not self.add(kind, pixels, row, self.room - least):
                return


def shrink(pack: Pack, path: Path, recipe: Recipe, *, limit: int, seed: int = 0) -> Counter[str]:
    """Write a part of a pack, with all held-out clips that fit, to a file of at most `limit` bytes.

    Args:
        pack: as `prepare` made it.
        path: of the file; an existing one is replaced.
        recipe: determines how many frames and pixels of a clip are needed, and the share of stills.
        limit: bytes.
        seed: decides which clips and stills are chosen, and which part of each.

    Returns:
        the number of pictures of each kind: `held_out`, `still`, `clip`.

    Raises:
        InputError: no clip and no still fits.
    """
    settings, rng = small_settings(recipe), np.random.default_rng(seed)
    temporary = path.with_name(path.name + ".part")
    with zipfile.ZipFile(temporary, "w") as file:
        archive = _Archive(file, limit - len(json.dumps(asdict(settings))) - ENTRY_BYTES)
        archive.fill("held_out", _held_out(pack))
        archive.fill("still", _stills(pack, settings, rng), STILLS_SHARE * recipe.data.synthetic)
        archive.fill("clip", _clips(pack, settings, rng))
        index = {"settings": asdict(settings), "rows": archive.rows}
        file.writestr(INDEX, json.dumps(index))
    counts = Counter(row["kind"] for row in archive.rows)
    if not counts["clip"] + counts["still"]:
        temporary.unlink()
        raise InputError(f"nothing to train on fits into {limit} bytes beside what is held out")
    temporary.replace(path)
    return counts


def small_settings(recipe: Recipe) -> PreparationSettings:
    """Return a recipe's preparation with clips hardly larger than those that it trains on."""
    stages = [stage for stage in recipe.stages if stage.kind == "restore"] or recipe.stages
    whole = recipe.preparation
    return replace(
        whole,
        frames=min(whole.frames, max(stage.frames for stage in stages) + MORE_FRAMES),
        size=min(whole.size, 4 * max(stage.patch for stage in stages) + ROOM),
    )


def _held_out(pack: Pack) -> Iterator[tuple[Image, Row]]:
    for number, row in enumerate(pack.held_out_rows):
        yield pack.held_out(number), {"source": row["source"]}


def _stills(
    pack: Pack, settings: PreparationSettings, rng: np.random.Generator
) -> Iterator[tuple[Image, Row]]:
    for number in _order(pack.still_rows, rng):
        still = np.array(pack.still(number))  # torch warns of what must not be written to
        side = min(STILL_SIDE, *still.shape[:2])
        crop, detail = best_crop([still], replace(settings, size=side), rng)
        yield crop[0], {"source": pack.still_rows[number]["source"], "detail": detail}


def _clips(
    pack: Pack, settings: PreparationSettings, rng: np.random.Generator
) -> Iterator[tuple[Image, Row]]:
    for number in _order(pack.clip_rows, rng):
        row, clip = pack.clip_rows[number], np.array(pack.clips[number])
        crop, detail = best_crop(list(clip[: settings.frames]), settings, rng)
        yield crop, {"source": row["source"], "detail": detail, "motion": row["motion"]}


def _order(rows: list[Row], rng: np.random.Generator) -> list[int]:
    """Return the numbers of all rows in random order; those with more detail tend to be first."""
    if not rows:
        return []
    shares = probabilities(rows, DETAIL_POWER)
    return [int(number) for number in rng.choice(len(rows), len(rows), replace=False, p=shares)]


def unpack(path: Path, folder: Path) -> Pack:
    """Write the pack in a file made by `shrink` to a folder, replacing one there; return it.

    Raises:
        InputError: the file is not one that `shrink` wrote, or is damaged.
    """
    try:
        with zipfile.ZipFile(path) as file:
            index = json.loads(file.read(INDEX))
            settings, rows = from_json(PreparationSettings, index["settings"]), index["rows"]
            pictures = [unfolded(file.read(str(k)), row["shape"]) for k, row in enumerate(rows)]
    except (OSError, EOFError, KeyError, ValueError, zipfile.BadZipFile) as error:
        raise InputError(f"{path} is no small training pack, or damaged: {error}") from error
    writer = PackWriter(folder, settings)
    for pixels, row in zip(pictures, rows, strict=True):
        _ADD[row["kind"]](writer, pixels, row)
    writer.close()
    return Pack(folder)


_ADD = {
    "held_out": lambda writer, pixels, row: writer.kept(pixels, row["source"]),
    "still": lambda writer, pixels, row: writer.still(pixels, row["source"], row["detail"]),
    "clip": lambda writer, pixels, row: writer.clip(
        pixels, row["source"], row["detail"], row["motion"]
    ),
}


def folded(pixels: Image) -> bytes:
    """Return RGB pictures (..., H, W, 3) as bytes that are near 0 where neighbours are alike."""
    red, green, blue = np.moveaxis(pixels, -1, 0)
    planes = np.stack((green, red - green, blue - green))
    for axis in (-2, -1):
        planes = np.diff(planes, axis=axis, prepend=np.uint8(0))
    return planes.tobytes()


def unfolded(data: bytes, shape: list[int]) -> Image:
    """Undo `folded` and bzip2: return the pictures, (..., H, W, 3) as `shape` says."""
    planes = np.frombuffer(bz2.decompress(data), np.uint8).reshape(3, *shape[:-1])
    for axis in (-1, -2):
        planes = np.cumsum(planes, axis=axis, dtype=np.uint8)
    green, red, blue = planes
    return np.stack((red + green, green, blue + green), axis=-1)
