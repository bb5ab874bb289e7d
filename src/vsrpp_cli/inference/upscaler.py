"""The Python API for frames in memory: a model that is loaded once and used often."""

from collections.abc import Iterable, Iterator
from itertools import chain, count
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from vsrpp_cli.checkpoints.download import resolve_chain
from vsrpp_cli.errors import InputError
from vsrpp_cli.inference.events import Event
from vsrpp_cli.inference.session import Session, compute_spec
from vsrpp_cli.inference.window import LookAhead, Picture
from vsrpp_cli.options import PrecisionWish, UpscaleOptions
from vsrpp_cli.planning.chunks import open_chunks


class Upscaler:
    """A model ready to upscale frames.

        upscaler = Upscaler("compact")
        for frame in upscaler.upscale_frames(frames):
            ...

    The frames of one call are taken as one scene: call once for each shot where there are cuts.
    """

    def __init__(
        self,
        model: str = "auto",
        *,
        device: str = "auto",
        precision: PrecisionWish = "auto",
        offline: bool = False,
        **options: Any,
    ) -> None:
        """Find the model's file, fetching it where that is needed and allowed, and load it.

        Args:
            model: as `--model` has it: a name, a path, `hf:OWNER/REPO/FILE`, several with commas.
            device: `auto`, `cpu`, `cuda`, `cuda:N` or `mps`.
            precision: `auto`, `fp32`, `fp16` or `bf16`.
            offline: never fetch anything.
            options: any of `threads`, `chunk`, `overlap`, `tile`, `tile_overlap`, `memory_limit`,
                `ensemble`, `guard` and `compile`, as in `UpscaleOptions`.

        Raises:
            UsageError: a value is out of its range, or the device is not there.
            ModelError: the model cannot be had or loaded.
        """
        self._options = UpscaleOptions(
            model=model, device=device, precision=precision, offline=offline, **options
        )
        compute = compute_spec(self._options)
        self.device = torch.device(compute.device)
        self.precision = compute.precision
        models = resolve_chain(model, device_kind=self.device.type, offline=offline)
        self._session = Session(models, self._options, compute)
        self.scale = self._session.scale
        """Output size over input size."""

    @property
    def events(self) -> list[Event]:
        """What happened so far that is worth knowing: recomputed chunks, retreats and the like."""
        return self._session.events

    def upscale_frames(self, frames: Iterable[NDArray[Any]]) -> Iterator[NDArray[Any]]:
        """Yield the upscaled frames of one scene, in order.

        Args:
            frames: RGB, all of one size and kind: uint8 of shape (H, W, 3), or floats in [0, 1] of
                shape (3, H, W). Read as needed; only as many as a chunk has are held.

        Yields:
            frames of the same kind: uint8 (scale * H, scale * W, 3) or float32 (3, scale * H,
            scale * W) in [0, 1].

        Raises:
            InputError: a frame is of another size or kind than the first, or of none of the two.
        """
        source = iter(frames)
        first = next(source, None)
        if first is None:
            return
        as_bytes = _is_bytes(first)
        pictures = LookAhead(_pictures(chain([first], source), first))
        height, width = first.shape[:2] if as_bytes else first.shape[1:]
        geometry = self._session.geometry(width, height)
        chunks = open_chunks(pictures.reach, chunk=geometry.chunk, overlap=geometry.overlap)
        for frame in self._session.engine(geometry).upscale(pictures, chunks):
            yield _bytes(frame) if as_bytes else frame


def _is_bytes(frame: NDArray[Any]) -> bool:
    """Tell the two kinds of frames apart; refuse all others."""
    as_bytes = frame.dtype == np.uint8
    channels = frame.shape[-1] if as_bytes else frame.shape[0]
    if frame.ndim != 3 or channels != 3 or not (as_bytes or frame.dtype.kind == "f"):
        raise InputError(
            f"frames of shape {frame.shape} and type {frame.dtype}: "
            "must be uint8 (H, W, 3) or floats (3, H, W)"
        )
    return as_bytes


def _pictures(frames: Iterable[NDArray[Any]], first: NDArray[Any]) -> Iterator[Picture]:
    """Yield frames as the engine takes them: (3, H, W), float32, in [0, 1]."""
    as_bytes = _is_bytes(first)
    for index, frame in zip(count(), frames, strict=False):
        if frame.shape != first.shape or frame.dtype != first.dtype:
            raise InputError(
                f"frame {index} has shape {frame.shape} and type {frame.dtype}, "
                f"the first one {first.shape} and {first.dtype}"
            )
        if as_bytes:
            yield np.ascontiguousarray(frame.transpose(2, 0, 1), dtype=np.float32) / np.float32(255)
        else:
            yield np.ascontiguousarray(frame, dtype=np.float32)


def _bytes(frame: Picture) -> NDArray[np.uint8]:
    return np.ascontiguousarray(np.rint(frame * 255).astype(np.uint8).transpose(1, 2, 0))
