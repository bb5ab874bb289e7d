"""What is measured: bicubic enlargement and networks, behind one interface."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from vsrpp_cli.checkpoints.download import ResolvedModel
from vsrpp_cli.checkpoints.load import load_network
from vsrpp_cli.checkpoints.registry import ModelRow
from vsrpp_cli.degrade import bicubic_upsample
from vsrpp_cli.inference.device import device_memory
from vsrpp_cli.inference.engine import Engine
from vsrpp_cli.inference.geometry_request import wishes_of
from vsrpp_cli.inference.memory import default_limit
from vsrpp_cli.media.decode.scenes import CutDetector, small_luma
from vsrpp_cli.metrics import Picture
from vsrpp_cli.options import UpscaleOptions
from vsrpp_cli.planning.budget import SEGMENT_FRAMES, Work, choose_geometry
from vsrpp_cli.planning.chunks import Chunk, Segment, plan_segments
from vsrpp_cli.runs.plan import ComputeSpec

Rgb = NDArray[np.float32]


class Method(Protocol):
    """Something that makes large frames of small ones."""

    name: str

    @property
    def scale(self) -> int:
        """Output size over input size."""

    @property
    def fps(self) -> float | None:
        """Frames a second of computing so far; None for what is not worth timing."""

    @property
    def events(self) -> tuple[str, ...]:
        """What happened that a user should know."""

    def run(self, frames: Sequence[Picture]) -> Iterator[Rgb]:
        """Yield a frame (3, scale * H, scale * W) in [0, 1] for each of `frames` (3, H, W)."""


class Bicubic:
    """Bicubic enlargement as the tables' first line has it; at scale 1 the input itself."""

    fps = None
    events: tuple[str, ...] = ()

    def __init__(self, scale: int) -> None:
        self.name = "bicubic" if scale > 1 else "input"
        self.scale = scale

    def run(self, frames: Sequence[Picture]) -> Iterator[Rgb]:
        """Yield the frames enlarged, clipped to [0, 1]."""
        for frame in frames:
            large = bicubic_upsample(torch.from_numpy(frame.astype(np.float64)), self.scale)
            result: Rgb = np.clip(large.numpy() / 255, 0, 1).astype(np.float32)
            yield result


@dataclass(frozen=True)
class _Cut:
    """How a sequence is computed."""

    segments: Sequence[Segment]
    tile: tuple[int, int] | None = None
    tile_overlap: int = 0
    batch: int = 1


class Network:
    """One network, or a chain of them, on one device.

    Args:
        name: for the table.
        models: the chain, their files here.
        compute: device, precision and so on, resolved.
        ordinary: whether to cut sequences into the chunks and tiles that `upscale` would use, at
            scene cuts too, instead of computing each as a whole as the paper does.

    Raises:
        CheckpointError: a file cannot be loaded.
    """

    def __init__(
        self,
        name: str,
        models: Sequence[ResolvedModel],
        compute: ComputeSpec,
        *,
        ordinary: bool = False,
    ) -> None:
        self.name = name
        self._models = models
        self._networks = [load_network(Path(model.path)) for model in models]
        self._compute = compute
        self._ordinary = ordinary
        self._engines: dict[tuple[tuple[int, int] | None, int, int], Engine] = {}
        self._seconds = 0.0
        self._frames = 0
        self._warm = False

    @property
    def row(self) -> ModelRow | None:
        """The registry's row, where this is a single model that has one."""
        return self._models[0].row if len(self._models) == 1 else None

    @property
    def scale(self) -> int:
        """Output size over input size."""
        scale = 1
        for network in self._networks:
            scale *= network.config.scale
        return scale

    @property
    def fps(self) -> float | None:
        """Frames a second, reading and measuring left out."""
        return self._frames / self._seconds if self._seconds else None

    @property
    def events(self) -> tuple[str, ...]:
        """The engines' sentences, each once."""
        texts = [event.text for engine in self._engines.values() for event in engine.events]
        return tuple(dict.fromkeys(texts))

    def run(self, frames: Sequence[Picture]) -> Iterator[Rgb]:
        """Yield the frames upscaled; the time it takes is counted."""
        cut = self._cut(frames)
        engine = self._engine(cut)
        self._warm_up(engine)
        for segment in cut.segments:
            inputs = (_rgb(frame) for frame in frames[segment.start : segment.stop])
            yield from self._timed(engine.upscale(inputs, segment.chunks))

    def _timed(self, results: Iterator[Rgb]) -> Iterator[Rgb]:
        while True:
            began = time.perf_counter()
            frame = next(results, None)
            self._seconds += time.perf_counter() - began
            if frame is None:
                return
            self._frames += 1
            yield frame

    def _warm_up(self, engine: Engine) -> None:
        """Let kernels be compiled and libraries choose theirs before time is counted."""
        if not self._warm:
            self._warm = True
            grey = [np.full((3, 64, 64), 0.5, np.float32)] * 3
            for _ in engine.upscale(grey, [Chunk(0, 3, 0, 3)]):
                pass

    def _engine(self, cut: "_Cut") -> Engine:
        key = cut.tile, cut.tile_overlap, cut.batch
        if key not in self._engines:
            self._engines[key] = Engine(
                self._networks,
                device=torch.device(self._compute.device),
                precision=self._compute.precision,
                threads=self._compute.threads,
                tile=cut.tile,
                tile_overlap=cut.tile_overlap,
                batch=cut.batch,
                ensemble=self._compute.ensemble,
                guard=self._compute.guard,
            )
        return self._engines[key]

    def _cut(self, frames: Sequence[Picture]) -> "_Cut":
        if not self._ordinary:
            return _Cut([Segment(0, (Chunk(0, len(frames), 0, len(frames)),))])
        cuts = find_cuts(frames)
        wishes = wishes_of(self._models, UpscaleOptions())
        geometry = choose_geometry(self._work(frames, cuts), wishes, default_limit())
        segments = plan_segments(
            len(frames),
            cuts,
            chunk=geometry.chunk,
            overlap=geometry.overlap,
            segment=SEGMENT_FRAMES,
        )
        return _Cut(segments, geometry.tile, geometry.tile_overlap, geometry.batch)

    def _work(self, frames: Sequence[Picture], cuts: Sequence[int]) -> Work:
        return Work(
            width=frames[0].shape[2],
            height=frames[0].shape[1],
            networks=tuple(network.config for network in self._networks),
            precision=self._compute.precision,
            weights=sum(Path(model.path).stat().st_size for model in self._models),
            ensemble=self._compute.ensemble,
            longest=max(b - a for a, b in pairwise([0, *cuts, len(frames)])),
            device_memory=device_memory(torch.device(self._compute.device)),
        )


def find_cuts(frames: Sequence[Picture]) -> list[int]:
    """Return the indices at which scenes begin, the first one's left out."""
    detector = CutDetector()
    cuts: list[int] = []
    for frame in frames:
        cuts += detector.push(small_luma(_rgb(frame)))
    return [*cuts, *detector.flush()]


def _rgb(frame: Picture) -> Rgb:
    return np.divide(frame, np.float32(255), dtype=np.float32)
