"""A model that is loaded once and used often: for frames in memory, and for videos."""

import gc
from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import chain, count
from os import PathLike
from typing import Any, Self, overload

import torch
from numpy.typing import NDArray
from torch import Tensor

from vsrpp_cli.api.frames import Frame, Kind, kind_of
from vsrpp_cli.api.run import upscale
from vsrpp_cli.checkpoints.download import resolve_chain
from vsrpp_cli.errors import InputError, UsageError
from vsrpp_cli.inference.events import Event
from vsrpp_cli.inference.session import Session, compute_spec
from vsrpp_cli.inference.window import LookAhead, Picture
from vsrpp_cli.kernels import pages
from vsrpp_cli.options import PrecisionWish, UpscaleOptions
from vsrpp_cli.planning.chunks import open_chunks
from vsrpp_cli.runs.progress import OnProgress
from vsrpp_cli.runs.report import Report
from vsrpp_cli.runs.stop import StopToken

OWN = (
    "model", "device", "precision", "offline", "threads", "chunk", "overlap", "tile",
    "tile_overlap", "memory_limit", "ensemble", "guard", "compile", "graphs",
)  # fmt: skip
"""The options that an `Upscaler` is made with."""


class Upscaler:
    """A model ready to upscale frames and videos.

        with Upscaler("compact") as upscaler:
            for frame in upscaler.upscale_frames(frames):
                ...

    The frames of one call are taken as one scene: call once for each shot where there are cuts.
    At the end of the `with`, or after `close()`, the memory is free again.
    """

    def __init__(  # noqa: PLR0913  options, each with a name
        self,
        model: str | PathLike[str] = "auto",
        *,
        device: str = "auto",
        precision: PrecisionWish = "auto",
        offline: bool = False,
        threads: int | None = None,
        chunk: int | None = None,
        overlap: int | None = None,
        tile: str | int = "auto",
        tile_overlap: int | None = None,
        memory_limit: int | str | None = None,
        ensemble: bool = False,
        guard: bool = True,
        compile: bool = False,  # noqa: A002  as the option is called
        graphs: bool = False,
    ) -> None:
        """Find the model's file, fetching it where that is needed and allowed, and load it.

        Args:
            model: a name (see `available_models`), a path, `hf:OWNER/REPO/FILE[@REVISION]`, or
                several with commas.
            device: `auto`, `cpu`, `cuda`, `cuda:N` or `mps`.
            precision: `auto`, `fp32`, `fp16` or `bf16`.
            offline: never fetch anything.
            threads: of the CPU; None for all cores.
            chunk: frames one network call sees, overlap included; None for what memory allows.
            overlap: frames of context on each side of a chunk; None for the model's own.
            tile: `auto`, `off`, a number or `WxH`, in input pixels.
            tile_overlap: input pixels by which tiles reach beyond their own area on each side.
            memory_limit: bytes, or text such as `8G`; None for a share of the machine's.
            ensemble: average eight flipped and turned passes, which takes eight times as long.
            guard: compute black and broken frames again, in float32.
            compile: use torch's compiler, which takes minutes at first use.
            graphs: use CUDA graphs, which helps where frames are small.

        Raises:
            UsageError: a value is out of its range, or the device is not there.
            ModelError: the model cannot be had or loaded.
        """
        self._options = UpscaleOptions(
            model=model, device=device, precision=precision, offline=offline, threads=threads,
            chunk=chunk, overlap=overlap, tile=tile, tile_overlap=tile_overlap,
            memory_limit=memory_limit, ensemble=ensemble, guard=guard, compile=compile,
            graphs=graphs,
        )  # fmt: skip
        compute = compute_spec(self._options)
        self.device = torch.device(compute.device)
        self.precision = compute.precision
        models = resolve_chain(self._options.model, device_kind=self.device.type, offline=offline)
        self._open: Session | None = Session(models, self._options, compute)
        self.scale = self._session.scale
        """Output size over input size."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Free the memory of networks and engines; later calls raise UsageError."""
        self._open = None
        gc.collect()
        pages.release()
        if self.device.type == "cuda":
            torch.cuda.empty_cache()

    @property
    def _session(self) -> Session:
        if self._open is None:
            raise UsageError("this Upscaler is closed: make another")
        return self._open

    @property
    def events(self) -> list[Event]:
        """Notable events so far: recomputed chunks, memory fallbacks and the like."""
        return self._session.events

    @overload
    def upscale_frames(self, frames: NDArray[Any]) -> Iterator[NDArray[Any]]: ...
    @overload
    def upscale_frames(self, frames: Tensor) -> Iterator[Tensor]: ...
    @overload
    def upscale_frames(self, frames: Iterable[Frame]) -> Iterator[Frame]: ...

    def upscale_frames(self, frames: Any) -> Iterator[Any]:
        """Yield the upscaled frames of one scene, in order, as they become ready.

        Args:
            frames: RGB, all of one size and kind: NumPy arrays or tensors of shape (H, W, 3) or
                (3, H, W), uint8 in 0..255 or floats in 0..1, or Pillow's images of mode RGB. An
                array or tensor with one more axis in front holds several. Read as needed; only as
                many as a chunk has are held.

        Yields:
            frames of the same kind, `scale` times as wide and high: the same class, type of
            numbers, order of axes, device.

        Raises:
            InputError: a frame is of another size or kind than the first, of no kind that is known,
                or has floats outside 0..1.
        """
        source = iter(frames)
        first = next(source, None)
        if first is None:
            return
        kind = kind_of(first)
        pictures = LookAhead(_pictures(chain([first], source), kind))
        height, width = kind.size
        geometry = self._session.geometry(width, height)
        chunks = open_chunks(pictures.reach, chunk=geometry.chunk, overlap=geometry.overlap)
        for frame in self._session.engine(geometry).upscale(pictures, chunks):
            yield kind.write(frame)

    def upscale_video(
        self,
        input: str | PathLike[str],
        output: str | PathLike[str],
        options: UpscaleOptions | None = None,
        *,
        progress: bool = False,
        on_progress: OnProgress | None = None,
        stop: StopToken | None = None,
    ) -> Report:
        """Upscale a file or a folder of frames, with this model on this device; see `upscale`.

        Args:
            input: as of `upscale`, like the rest.
            output: likewise.
            options: those of size, output, part of the input and run; what the `Upscaler` was made
                with cannot be given again.
            progress: likewise.
            on_progress: likewise.
            stop: likewise.

        Raises:
            UsageError: an option belongs to the `Upscaler`.
            VsrppError: see `upscale`.
        """
        return upscale(
            input, output, self._for_a_run(options or UpscaleOptions()),
            progress=progress, on_progress=on_progress, stop=stop, models=self._session.models,
        )  # fmt: skip

    def _for_a_run(self, options: UpscaleOptions) -> UpscaleOptions:
        own = {name: getattr(self._options, name) for name in OWN}
        defaults = UpscaleOptions()
        twice = [f"`{name}`" for name in OWN if getattr(options, name) != getattr(defaults, name)]
        if twice:
            raise UsageError(f"{', '.join(twice)}: belongs to Upscaler(...), give it there")
        return replace(options, **own)


def _pictures(frames: Iterable[Any], kind: Kind) -> Iterator[Picture]:
    """Yield frames as the engine takes them: (3, H, W), float32, in [0, 1]."""
    for index, frame in zip(count(), frames, strict=False):
        if (other := kind_of(frame)) != kind:
            raise InputError(f"frame {index} is an {other.name}, the first one an {kind.name}")
        yield kind.read(frame)
