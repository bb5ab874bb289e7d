"""Draws batches from a pack; the n-th batch depends on the seed and on n alone.

A resumed run therefore sees the same batches as an uninterrupted one.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from vsrpp_cli.errors import InputError
from vsrpp_cli.training.material.degradation import Degrade
from vsrpp_cli.training.material.prepare import PACK_VERSION, Image
from vsrpp_cli.training.material.synthesis import Layer, camera, layered_flows, outline, render
from vsrpp_cli.training.recipe import DataRecipe, Stage

MARGIN = 8
"""High-resolution pixels around a patch, so that the downsampling filter meets no border."""


@dataclass(frozen=True)
class Batch:
    """The input of a training step: N clips of T frames."""

    low: Tensor
    """(N, T, 3, h, w) float32 in [0, 1], rounded to 8 bits as a real input is."""
    high: Tensor
    """(N, T, 3, scale * h, scale * w) float32 in [0, 1]."""
    flow: Tensor
    """(N, T-1, 2, h, w) float32, pixels: true flow to the next frame; 0 where `known` is 0."""
    known: Tensor
    """(N,) float32: 1 for clips whose flow is known, else 0."""

    def to(self, device: torch.device) -> Batch:
        """Return the batch on a device."""
        parts = (self.low, self.high, self.flow, self.known)
        low, high, flow, known = (part.to(device) for part in parts)
        return Batch(low, high, flow, known)


class Pack:
    """Training material as `prepare` packed it.

    Args:
        folder: of the pack.

    Raises:
        InputError: the folder contains no pack of this version.
    """

    def __init__(self, folder: Path) -> None:
        try:
            index = json.loads((folder / "pack.json").read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise InputError(f"{folder} holds no training pack: {error}") from error
        if index["version"] != PACK_VERSION:
            raise InputError(f"{folder} was packed by another version; prepare it again")
        settings = self.settings = index["settings"]
        self.clip_rows, self.still_rows = index["clips"], index["stills"]
        shape = (len(self.clip_rows), settings["frames"], settings["size"], settings["size"], 3)
        clips = _map(folder / "clips.u8", self.clip_rows)
        self.clips = np.empty(shape, np.uint8) if clips is None else clips.reshape(shape)
        self.held_out_rows = index["held_out"]
        self._stills = _map(folder / "stills.u8", self.still_rows)
        self._held_out = _map(folder / "held_out.u8", self.held_out_rows)

    def still(self, number: int) -> Image:
        """Return one still, (H, W, 3)."""
        assert self._stills is not None
        row = self.still_rows[number]
        shape = (row["height"], row["width"], 3)
        return self._stills[row["offset"] : row["offset"] + int(np.prod(shape))].reshape(shape)

    def held_out(self, number: int) -> Image:
        """Return one clip kept for validation, (T, H, W, 3)."""
        assert self._held_out is not None
        row = self.held_out_rows[number]
        shape = (row["frames"], row["height"], row["width"], 3)
        return self._held_out[row["offset"] : row["offset"] + int(np.prod(shape))].reshape(shape)


def _map(path: Path, rows: list[dict[str, Any]]) -> npt.NDArray[np.uint8] | None:
    """Return a file mapped into memory; None if it is empty, since those cannot be mapped."""
    return np.memmap(path, np.uint8, "r") if rows else None


class Sampler:
    """Draws batches from a pack as a recipe says.

    Args:
        pack: the material.
        recipe: how clips are drawn and degraded.
        scale: of the network, 4 or 1.
        seed: of the run.

    Raises:
        InputError: the recipe needs clips, and the pack has only stills.
    """

    def __init__(self, pack: Pack, recipe: DataRecipe, *, scale: int = 4, seed: int) -> None:
        self.pack, self.recipe, self.scale, self.seed = pack, recipe, scale, seed
        self.degrade = Degrade(recipe.degradation, scale, recipe.mixture)
        if recipe.synthetic < 1 and not pack.clip_rows:
            raise InputError(
                "there are photographs only to train on: give videos, too, or data.synthetic = 1"
            )
        self._clip_share = probabilities(pack.clip_rows, recipe.detail_power)
        self._still_share = probabilities(pack.still_rows, recipe.detail_power)

    def batch(self, step: int, stage: Stage, *, first: int = 0, count: int | None = None) -> Batch:
        """Return batch number `step`, or clips `first` to `first + count` of it."""
        numbers = range(first, first + (stage.batch if count is None else count))
        drawn = [self._draw(np.random.default_rng([self.seed, step, i]), stage) for i in numbers]
        clips = torch.from_numpy(np.stack([clip for clip, _ in drawn]))
        # No clip has this number, so the stream differs from those of all clips.
        rng = np.random.default_rng([self.seed, step, first, 1 << 20])
        low, high = self.degrade(clips, margin=self._margin(stage), rng=rng)
        truth = [flow for _, flow in drawn]
        blank = np.zeros((stage.frames - 1, 2, stage.patch, stage.patch), np.float32)
        stacked = np.stack([blank if flow is None else flow for flow in truth])
        known = torch.tensor([float(flow is not None) for flow in truth])
        return Batch(low, high, torch.from_numpy(stacked), known)

    def _margin(self, stage: Stage) -> int:
        """Return the margin around a patch in pixels, 0 if packed clips are too small for one."""
        return MARGIN if self.scale * stage.patch + 2 * MARGIN <= self.pack.settings["size"] else 0

    def _draw(
        self, rng: np.random.Generator, stage: Stage
    ) -> tuple[Image, npt.NDArray[np.float32] | None]:
        """Return one clip with margins, (T, S, S, 3), and its flow; None if that is not known."""
        synthetic = stage.kind == "flow" or rng.random() < self.recipe.synthetic
        if synthetic and self.pack.still_rows:
            return self._synthetic(rng, stage)
        return self._filmed(rng, stage), None

    def _synthetic(
        self, rng: np.random.Generator, stage: Stage
    ) -> tuple[Image, npt.NDArray[np.float32]]:
        margin = self._margin(stage)
        size = self.scale * stage.patch + 2 * margin
        layers = [self._layer(rng, stage.frames, size)]
        if rng.random() < self.recipe.parallax:
            front = self._layer(rng, stage.frames, size)
            layers.append(replace(front, outline=outline(rng, front.maps, size)))
        exposure = 0.0
        if rng.random() < self.recipe.exposed:
            exposure = rng.uniform(*self.recipe.exposure)
        clip = render(layers, size, exposure)
        return clip, layered_flows(layers, stage.patch, self.scale, margin)

    def _layer(self, rng: np.random.Generator, frames: int, size: int) -> Layer:
        """Return a still and a camera's path over it, flipped and transposed at random."""
        still = self.pack.still(int(rng.choice(len(self._still_share), p=self._still_share)))
        low, high = self.recipe.speed
        transposed = rng.random() < 0.5
        sides = still.shape[:2]
        maps = camera(
            rng,
            frames=frames,
            size=size,
            still=(sides[1], sides[0]) if transposed else (sides[0], sides[1]),
            speed=(self.scale * low, self.scale * high),
        )
        # The map is flipped and transposed instead of the still, which saves a copy.
        maps = maps[:, ::-1].copy() if transposed else maps
        for axis, side in enumerate((sides[1], sides[0])):
            if rng.random() < 0.5:
                maps[:, axis] *= -1
                maps[:, axis, 2] += side - 1
        return Layer(still, maps)

    def _filmed(self, rng: np.random.Generator, stage: Stage) -> Image:
        clip = self.pack.clips[int(rng.choice(len(self._clip_share), p=self._clip_share))]
        frames = stage.frames // 2 if self.recipe.mirror else stage.frames
        most = (len(clip) - 1) // max(frames - 1, 1)
        skip = int(rng.integers(1, max(1, min(self.recipe.skip, most)) + 1))
        span = skip * (frames - 1) + 1
        start = int(rng.integers(0, len(clip) - span + 1))
        size = self.scale * stage.patch + 2 * self._margin(stage)
        y, x = (int(rng.integers(0, clip.shape[1] - size + 1)) for _ in range(2))
        out = clip[start : start + span : skip, y : y + size, x : x + size]
        if self.recipe.reverse and rng.random() < 0.5:
            out = out[::-1]
        if rng.random() < 0.5:
            out = out[:, ::-1]
        if rng.random() < 0.5:
            out = out[:, :, ::-1]
        if rng.random() < 0.5:
            out = out.transpose(0, 2, 1, 3)
        if self.recipe.mirror:
            out = np.concatenate((out, out[::-1]))
        return np.ascontiguousarray(out)


def probabilities(rows: list[dict[str, float]], power: float) -> npt.NDArray[np.float64]:
    """Return the probability of each row of a pack's index.

    It grows with the detail, and falls with the number of rows from the same source.
    """
    if not rows:
        return np.zeros(0)
    sources = [row["source"] for row in rows]
    counts = {source: sources.count(source) for source in set(sources)}
    weights = np.array([row["detail"] ** power / counts[row["source"]] ** 0.5 for row in rows])
    return np.asarray(weights / weights.sum())
