"""From the frames of a segment to its upscaled frames: chunk after chunk, tile after tile.

Each batch of tiles of a chunk (in each view of the ensemble) is one pass through the chain of
networks, with a state of its own that is carried to the next chunk. Where a chunk is one tile in
one view, frames leave as they are reconstructed; otherwise they are put together first.
"""

import gc
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

import torch
from torch import Tensor

from vsrpp_cli.backends.select import Kernels
from vsrpp_cli.errors import RunError
from vsrpp_cli.inference.chain import Chain
from vsrpp_cli.inference.events import Event, EventKind
from vsrpp_cli.inference.fallback import Ladder, is_out_of_memory
from vsrpp_cli.inference.guard import Guard
from vsrpp_cli.inference.guarded import Batch, Finish, Pass
from vsrpp_cli.inference.keeping.frame_store import FinalPicture, FrameStore, as_floats
from vsrpp_cli.inference.keeping.landing import Landing, Room
from vsrpp_cli.inference.machine.device import has_fast_bfloat16
from vsrpp_cli.inference.progress import Meter, OnFrames
from vsrpp_cli.inference.tiling import VIEWS, restore, shares, transform, weights
from vsrpp_cli.inference.transfer import Downloads, arrange, send, upload
from vsrpp_cli.inference.window import Picture, Window
from vsrpp_cli.kernels import pages
from vsrpp_cli.network.base import VideoNetwork
from vsrpp_cli.options import Precision
from vsrpp_cli.planning.budget import LEAST_TILE_OVERLAPS
from vsrpp_cli.planning.chunks import Chunk, shorten, split_evenly
from vsrpp_cli.planning.memory_model import requirement
from vsrpp_cli.planning.tiles import Tile, grid, padded
from vsrpp_cli.streaming.storage import OnDevice, OnHost, Storage

CONTEXT = 4
"""Frames of context after memory ran out, where the chunks so far do not tell how many."""


class Engine:
    """A chain of networks on one device, in one geometry."""

    def __init__(  # noqa: PLR0913  settings, each with a name
        self,
        networks: Sequence[VideoNetwork],
        *,
        device: torch.device,
        precision: Precision,
        threads: int | None = None,
        tile: tuple[int, int] | None = None,
        tile_overlap: int = 16,
        batch: int = 1,
        ensemble: bool = False,
        guard: bool = True,
        kernels: Kernels | None = None,
    ) -> None:
        """Keep the networks, unchanged, and prepare them.

        Args:
            networks: in float32, in order; the output of one is the input of the next.
            device: to compute on.
            precision: `fp32`, `fp16` or `bf16`.
            threads: of the CPU, set for the whole process; None leaves them as they are.
            tile: width and height of tiles in input pixels, overlap included; None for none.
            tile_overlap: input pixels by which tiles reach beyond the middle of their borders.
            batch: tiles that share each call of the network, where its kernels take several.
            ensemble: average over the eight flips and transpositions.
            guard: look for frames that are black or not numbers, and recompute them in float32.
            kernels: how the networks are computed in this precision (see `backends.select`); the
                fastest way that needs no time to be got ready unless given.
        """
        self._chain = Chain(networks, device, (precision, kernels) if kernels else None)
        self._device = device
        self._precision = precision
        self._threads = threads
        self._views = VIEWS if ensemble else 1
        self._guarded = guard
        self._overlap = tile_overlap
        self._minimum, self._multiple = requirement(n.config for n in networks)
        least = max(self._minimum, LEAST_TILE_OVERLAPS * tile_overlap)
        self._ladder = Ladder(
            tile=tile,
            least_tile=least,
            batch=batch if self._chain.batches(precision) else 1,
            apart=device.type == "cuda",
        )
        self._on_host: Storage = OnHost(device)
        self._ahead: int | None = None
        self._landing: Landing | None = None
        self._room = Room()
        self._meter = Meter(None)
        self.events: list[Event] = []
        """What happened so far that a user should know."""
        self._note_slow_ways()
        self._chain.stages(precision)

    @property
    def scale(self) -> int:
        """Output size over input size."""
        return self._chain.scale

    @property
    def kernels(self) -> str:
        """Which implementation of the network's parts is in use, for the report."""
        return f"{'+'.join(self._chain.kernels(self._precision))} kernels"

    def upscale(
        self,
        frames: Iterable[Picture],
        chunks: Iterable[Chunk],
        on_frames: OnFrames | None = None,
    ) -> Iterator[Picture]:
        """Yield the kept frames of a segment.

        Args:
            frames: shape (3, H, W), float32, RGB in [0, 1]: from the first chunk's `start` on, in
                order, each once. No more are read than the chunk at hand sees.
            chunks: in order; may be found out as frames are read (see `Upscaler`).
            on_frames: told how many frames' worth of work have been done since the last call.

        Yields:
            frames of shape (3, scale * H, scale * W), float32, in [0, 1].

        Raises:
            RunError: there are fewer frames than the chunks want.
            GuardError: a frame is black or not a number in float32, too.
            OutOfMemoryError: there was not enough memory at the smallest geometry either.
        """
        for frame in self.land(frames, chunks, None, on_frames):
            yield as_floats(frame)

    def land(
        self,
        frames: Iterable[Picture],
        chunks: Iterable[Chunk],
        landing: Landing | None,
        on_frames: OnFrames | None = None,
    ) -> Iterator[Picture | FinalPicture]:
        """Yield the kept frames of a segment, if they come in tiles at the size wanted.

        Args:
            frames: as for `upscale`, and so are `chunks` and `on_frames`.
            chunks: see there.
            landing: the size of frames that are put together from tiles or views, and where they
                are kept meanwhile; None for the network's size and memory.
            on_frames: see there.

        Yields:
            frames as `upscale` does where they are computed whole, else uint16 at the landing's
            size, 65535 standing for 1.

        Raises:
            DiskFullError: there is no room in the landing's folder.
            VsrppError: what `upscale` raises.
        """
        window: Window | None = None
        context = 0
        with self._segment(landing, on_frames):
            for chunk in chunks:
                window = window or Window(frames, chunk.start)
                if (there := window.reach(chunk.stop)) < chunk.stop:
                    raise RunError(
                        f"the input ended after {there} frames, {chunk.stop} were expected"
                    )
                context = max(context, chunk.stop - chunk.keep_stop, chunk.keep_start - chunk.start)
                self._meter.begin(chunk.keep_stop - chunk.keep_start)
                yield from self._held(window, chunk, context or CONTEXT)
                self._meter.end()
                window.drop(chunk.keep_stop - (context or CONTEXT))

    @contextmanager
    def _segment(self, landing: Landing | None, on_frames: OnFrames | None) -> Iterator[None]:
        """Have what the chunks of a segment share, until it is done or given up."""
        self._set_threads()
        self._landing = landing
        self._room = Room(landing.folder if landing else None)
        self._meter = Meter(on_frames)
        try:
            yield
        finally:
            self._room.close()
            self._room = Room()

    def _held(self, window: Window, chunk: Chunk, context: int) -> Iterator[Picture | FinalPicture]:
        """Yield a chunk's frames, going down the ladder as often as memory runs out."""
        done = chunk.keep_start
        while done < chunk.keep_stop:
            part = chunk
            if self._ladder.most is not None:
                part = shorten(chunk, max(self._ladder.most, 2 * context + 1), context)[0]
            try:
                for frame in self._compute(window, part):
                    yield frame
                    done += 1
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
                problem = str(error).partition("\n")[0]
            else:
                chunk = replace(chunk, start=done, keep_start=done, carries=True)
                continue
            self._retreat(window, part, context, problem)
            # Another grid has other states: begin anew, with context before what is still wanted.
            start = max(window.first, done - context)
            chunk = replace(chunk, start=start, keep_start=done, carries=False)

    def _retreat(self, window: Window, part: Chunk, context: int, problem: str) -> None:
        self._room.carried.clear()
        self._chain.forget_graphs()
        gc.collect()
        pages.release()
        if self._device.type == "cuda":
            torch.cuda.empty_cache()
        height, width = window.size
        size = self._padded(width, height)
        rung = self._ladder.step_down(size, part.stop - part.start, context)
        self._note("memory", f"memory ran out: going on with {rung}", part, problem=problem)

    def _compute(self, window: Window, chunk: Chunk) -> Iterator[Picture | FinalPicture]:
        if not chunk.carries:
            self._room.carried.clear()
        guard = Guard() if self._guarded else None
        height, width = window.size
        size = self._padded(width, height)
        frames = window.tensors(chunk.start, chunk.stop)
        tiles = grid(size, self._ladder.tile, self._overlap, self._multiple, self._minimum)
        height, width = height * self.scale, width * self.scale
        if len(tiles) * self._views == 1:
            finish = _cropping(height, width)
            for made in self._pass(frames, chunk, guard, (tiles, 0), finish, 1):
                yield made[0].numpy()
        else:
            final = self._landing or Landing(width, height)
            store = self._store(chunk, tiles, (width, height), (final.width, final.height))
            self._assemble(store, frames, chunk, guard, tiles)
            del frames
            yield from store.frames()
        self._warn_of_drift(guard, chunk)

    def _store(
        self, chunk: Chunk, tiles: Sequence[Tile], crop: tuple[int, int], final: tuple[int, int]
    ) -> FrameStore:
        """Return an empty store for the kept frames of a chunk."""
        last = tiles[-1]
        return FrameStore(
            chunk.keep_stop - chunk.keep_start,
            size=(last.x.stop * self.scale, last.y.stop * self.scale),
            crop=crop,
            tile=(last.y.stop - last.y.start) * self.scale,
            final=final,
            shelf=self._room.shelf(*final),
        )

    @torch.inference_mode()
    def _assemble(
        self,
        store: FrameStore,
        given: Sequence[Tensor],
        chunk: Chunk,
        guard: Guard | None,
        tiles: Sequence[Tile],
    ) -> None:
        """Fill a store with the frames of a chunk made of several passes, from top to bottom."""
        scale = self.scale
        for start, stop in split_evenly(0, len(tiles), self._ladder.batch):
            batch = tiles[start:stop]
            for view in range(self._views):
                finish = self._sharing(batch, view)
                share = len(batch) / (len(tiles) * self._views)
                made = self._pass(given, chunk, guard, (batch, view), finish, share)
                for index, parts in enumerate(made):
                    for tile, share in zip(batch, parts, strict=True):
                        store.add(index, share, tile.y.start * scale, tile.x.start * scale)
            complete = tiles[stop].y.start if stop < len(tiles) else tiles[-1].y.stop
            store.finish(complete * scale)

    def _sharing(self, tiles: Sequence[Tile], view: int) -> Finish:
        """Return what makes a view of some tiles' frames contributions to a store."""
        scale = self.scale
        weight = torch.stack(
            [torch.outer(weights(t.y, scale), weights(t.x, scale)) / self._views for t in tiles]
        )
        weight = send(weight, self._device)

        def shared(frames: Tensor, which: slice) -> Tensor:
            return shares(restore(frames.clamp_(0, 1), view), weight[which])

        return shared

    @torch.inference_mode()
    def _pass(
        self,
        given: Sequence[Tensor],
        chunk: Chunk,
        guard: Guard | None,
        key: tuple[Sequence[Tile], int],
        finish: Finish,
        share: float,
    ) -> Iterator[Tensor]:
        """Yield what `finish` makes of kept frames of some tiles in a view; carry states on.

        `share` says how much of the chunk's work that is.
        """
        tiles, view = key
        height, width = given[0].shape[-2:]
        size = self._padded(width, height)
        storage: Storage = OnDevice()
        if self._ladder.on_host:
            storage = self._on_host
            tiled = storage.put(transform(arrange(given, size, tiles), view))
        else:
            tiled = transform(upload(given, size, tiles, self._device), view)
        batch = Batch(
            clip=tiled,
            keep=range(chunk.keep_start - chunk.start, chunk.keep_stop - chunk.start),
            first=chunk.start,
            states=self._room.carried.get(key) or self._chain.start(),
            work=share * (chunk.keep_stop - chunk.keep_start),
        )
        run = Pass(
            self._chain,
            batch,
            self._precision,
            storage,
            downloads=Downloads(self._device, self._ahead),
            guard=guard,
            on_fault=lambda text: self._note("guard", text, chunk),
            on_work=self._meter.add,
        )
        yield from run.frames(finish)
        if chunk.continued:
            self._room.carried.put(key, run.states)

    def _padded(self, width: int, height: int) -> tuple[int, int]:
        return (
            padded(width, self._minimum, self._multiple),
            padded(height, self._minimum, self._multiple),
        )

    def _set_threads(self) -> None:
        if self._threads is not None:
            torch.set_num_threads(self._threads)

    def _note(self, kind: EventKind, text: str, chunk: Chunk | None = None, **details: str) -> None:
        kept = None if chunk is None else (chunk.keep_start, chunk.keep_stop)
        self.events.append(Event(kind=kind, text=text, chunk=kept, details=details))

    def _note_slow_ways(self) -> None:
        if self._device.type != "cpu":
            return
        if self._precision == "fp16":
            self._note("slow", "float16 is slow on a CPU")
        elif self._precision == "bf16" and not has_fast_bfloat16():
            self._note("slow", "bfloat16 is slow on this CPU, which has no instructions for it")
        elif "compiled" in self._chain.kernels(self._precision):
            self._note("slow", "`compile` is for GPUs: kernels made for CPUs are faster")
        elif "graphed" in self._chain.kernels(self._precision):
            self._note("slow", "`graphs` is for GPUs: kernels made for CPUs are faster")
        elif "library" in self._chain.kernels(self._precision):
            self._note("slow", "general kernels: fast ones need widths that are multiples of 16")

    def _warn_of_drift(self, guard: Guard | None, chunk: Chunk) -> None:
        if guard is None or (moved := guard.drift()) is None:
            return
        colors = zip(("red", "green", "blue"), moved, strict=True)
        text = ", ".join(f"{name} {100 * by:+.1f} %" for name, by in colors)
        self._note("drift", f"brightness or colour moved against the input: {text}", chunk)


def _cropping(height: int, width: int) -> Finish:
    """Return what makes pictures of this size of a pass's frames."""

    def cropped(frames: Tensor, _: slice) -> Tensor:
        return frames.clamp_(0, 1)[..., :height, :width].contiguous()

    return cropped
