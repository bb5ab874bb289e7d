"""The methods that are measured: bicubic interpolation and networks, with one interface."""

import time
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from vsrpp_cli.checkpoints.registry import ModelRow
from vsrpp_cli.degrade import bicubic_upsample
from vsrpp_cli.inference.engine import Engine
from vsrpp_cli.inference.session import Session
from vsrpp_cli.media.decode.scenes import CutDetector, small_luma
from vsrpp_cli.metrics import Picture
from vsrpp_cli.planning.budget import SEGMENT_FRAMES, Geometry
from vsrpp_cli.planning.chunks import Chunk, Segment, plan_segments

Rgb = NDArray[np.float32]


class Method(Protocol):
    """A way to upscale frames."""

    name: str

    @property
    def scale(self) -> int:
        """Output size over input size."""

    @property
    def fps(self) -> float | None:
        """Frames per second of computing so far; None for methods that are not timed."""

    @property
    def events(self) -> tuple[str, ...]:
        """Sentences for the user about the computation."""

    def run(self, frames: Sequence[Picture]) -> Iterator[Rgb]:
        """Yield a frame (3, scale * H, scale * W) in [0, 1] for each of `frames` (3, H, W)."""


class Bicubic:
    """Bicubic interpolation; at scale 1 the input itself."""

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


class Network:
    """One network, or a chain of them, on one device.

    Args:
        name: for the table.
        session: the models on their device.
        ordinary: whether to cut sequences at scene cuts and into the chunks and tiles of `upscale`,
            instead of computing each as a whole as in the paper.

    Raises:
        CheckpointError: a file cannot be loaded.
    """

    def __init__(
        self,
        name: str,
        session: Session,
        *,
        ordinary: bool = False,
    ) -> None:
        self.name = name
        self._session = session
        self.scale = session.scale
        self._ordinary = ordinary
        self._seconds = 0.0
        self._frames = 0
        self._warm = False

    @property
    def row(self) -> ModelRow | None:
        """The registry's row, where this is a single model that has one."""
        models = self._session.models
        return models[0].row if len(models) == 1 else None

    @property
    def fps(self) -> float | None:
        """Frames per second of computing, without reading and measuring."""
        return self._frames / self._seconds if self._seconds else None

    @property
    def events(self) -> tuple[str, ...]:
        """The texts of the engines' events, without repetition."""
        return tuple(dict.fromkeys(event.text for event in self._session.events))

    def run(self, frames: Sequence[Picture]) -> Iterator[Rgb]:
        """Yield the upscaled frames, and measure the time."""
        geometry, segments = self._cut(frames)
        engine = self._session.engine(geometry)
        self._warm_up(engine)
        for segment in segments:
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
        """Compute a few frames, so that compiling and tuning of kernels is not timed."""
        if not self._warm:
            self._warm = True
            grey = [np.full((3, 64, 64), 0.5, np.float32)] * 3
            for _ in engine.upscale(grey, [Chunk(0, 3, 0, 3)]):
                pass

    def _cut(self, frames: Sequence[Picture]) -> tuple[Geometry | None, Sequence[Segment]]:
        """Return geometry and segments for a sequence; without `ordinary`, none and one chunk."""
        if not self._ordinary:
            return None, [Segment(0, (Chunk(0, len(frames), 0, len(frames)),))]
        cuts = find_cuts(frames)
        height, width = frames[0].shape[1:]
        longest = max(b - a for a, b in pairwise([0, *cuts, len(frames)]))
        geometry = self._session.geometry(width, height, longest)
        segments = plan_segments(
            len(frames),
            cuts,
            chunk=geometry.chunk,
            overlap=geometry.overlap,
            segment=SEGMENT_FRAMES,
        )
        return geometry, segments


def find_cuts(frames: Sequence[Picture]) -> list[int]:
    """Return the indices at which scenes begin, without the 0 of the first."""
    detector = CutDetector()
    cuts: list[int] = []
    for frame in frames:
        cuts += detector.push(small_luma(_rgb(frame)))
    return [*cuts, *detector.flush()]


def _rgb(frame: Picture) -> Rgb:
    return np.divide(frame, np.float32(255), dtype=np.float32)
