"""How long chunks and how large tiles may be so that a run stays within its memory.

Among all geometries that are predicted to fit (`planning/memory_model.py`), the one with the least
repeated work is taken. Where none fits, or only ones that repeat much work, memory is saved in ways
that have other costs; the last of these may be visible and is taken only where nothing else fits.
The result depends on the arguments alone, not on how much memory happens to be free.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from math import ceil, prod
from typing import NamedTuple

from vsrpp_cli.errors import OutOfMemoryError, UsageError
from vsrpp_cli.options import Precision, tile_size
from vsrpp_cli.planning.memory_model import (
    PLAIN,
    Need,
    Thrift,
    Work,
    Writing,
    cut,
    frame_size,
    predict,
    requirement,
    scratch_bytes,
)
from vsrpp_cli.planning.tiles import axis_length, check

TILE_OVERLAP = 24
"""Pixels, at the resolution of features, by which a tile reaches beyond the middle of the border
to its neighbour."""

LEAST_TILE_OVERLAPS = 6
"""The smallest side of automatically chosen tiles, in overlaps: with smaller tiles the borders
become visible. Smaller overlaps become visible too (16 pixels: 46 to 48 dB beside borders), so they
are not used to save memory."""

MOST_TILES = 8
"""Most tiles computed together; more would not keep a GPU busier."""

GOOD_TILING = 1.2
"""Most computed pixels for each pixel of the frame; tilings above it are the last resort."""
GOOD_OVERHEAD = 1.15
"""Most computed frames for each kept frame of a segment amid a long scene; segments are made long
enough for it."""
GOOD_CONTEXT = 1.12
"""The same for chunks within a segment: more context than the least is used only up to this."""
LEAST_OVERLAP = 4
"""Frames of context; with fewer, borders of chunks become visible."""
SHORT_OVERLAP = 3
"""Frames of context where there is no memory for more; 2 give less than 48 dB on still pictures."""
THRIFT_PRICE = 0.1
"""A way to save memory is preferred only if it saves at least this share of the work, unless
nothing else fits."""
SEGMENT_FRAMES = 250
"""Most kept frames of a segment."""
SEGMENT_SECONDS = 60
"""Most work in a segment, seconds."""


@dataclass(frozen=True, kw_only=True)
class Geometry:
    """How a run's frames are cut in time and space, and where they are kept meanwhile."""

    chunk: int
    """Most frames of one network call, overlap included."""
    overlap: int
    """Frames of context on each side of kept frames."""
    tile_w: int | None
    tile_h: int | None
    """Size of a tile in input pixels, overlap included; None for whole frames."""
    tile_overlap: int
    """Input pixels by which a tile reaches beyond the middle of the border to its neighbour."""
    memory: int
    """Predicted peak of one worker in bytes, of machine and device together."""
    batch: int = 1
    """Tiles computed together."""
    scratch: int = 0
    """Bytes of files in the work folder in which one worker keeps finished frames and the states
    carried from chunk to chunk; 0 where these are in memory."""
    encoder: int = 0
    """Index of the encoder's settings, see `Writing.encoders`."""
    notes: tuple[str, ...] = ()
    """Sentences about what was done to save memory."""

    @property
    def tile(self) -> tuple[int, int] | None:
        """Width and height of a tile, or None for whole frames."""
        if self.tile_w is None or self.tile_h is None:
            return None
        return self.tile_w, self.tile_h

    @property
    def thrift(self) -> Thrift:
        """How memory is saved."""
        return Thrift(scratch=self.scratch > 0, encoder=self.encoder)


@dataclass(frozen=True, kw_only=True)
class Wishes:
    """What the user or the model asks of the geometry."""

    overlap: int
    """Frames of context on each side of kept frames."""
    cap: int
    """Most frames of a chunk that is chosen automatically: longer ones are not worth the memory."""
    overlap_given: bool = False
    """Whether the user asked for this overlap; otherwise short chunks have less."""
    chunk: int | None = None
    """Frames of a chunk, overlap included; None to choose."""
    tile: str = "auto"
    """`auto`, `off`, or a size as `options.tile_size` reads it."""
    tile_overlap: int | None = None
    """Input pixels; None for the usual overlap."""


class _Rung(NamedTuple):
    """One way to use memory."""

    thrift: Thrift
    overlap: int
    """Least frames of context."""
    tile_overlap: int


class _Option(NamedTuple):
    """A geometry that fits."""

    rank: tuple[bool, bool, float, int]
    """Lower is better."""
    rung: _Rung
    chunk: int
    tile: tuple[int, int] | None


def choose_geometry(work: Work, wishes: Wishes, limit: int) -> Geometry:
    """Return the geometry with the least work that fits into memory.

    Long chunks get the wanted context, short ones at least `LEAST_OVERLAP` frames, or
    `SHORT_OVERLAP` where nothing else fits.

    Args:
        work: what is computed, and the memory of its device.
        wishes: what was asked for.
        limit: bytes that a worker may use of the machine's memory.

    Raises:
        OutOfMemoryError: not even the smallest chunks and tiles fit.
        UsageError: the chunk, tile or overlap asked for is impossible.
    """
    geometry = _chosen(work, wishes, limit)
    if geometry is None:
        raise _too_little(work, wishes, limit)
    return geometry


def _chosen(work: Work, wishes: Wishes, limit: int) -> Geometry | None:
    for rungs in _rungs(work, wishes):
        prices = (1 + THRIFT_PRICE * number for number in range(len(rungs)))
        options = [
            option
            for rung, price in zip(rungs, prices, strict=True)
            for option in _options(work, wishes, rung, limit, price)
        ]
        if options:
            return _geometry(work, wishes, min(options), limit)
    return None


def _rungs(work: Work, wishes: Wishes) -> Iterator[list[_Rung]]:
    """Yield lists of ways to use memory; the ways in one list compete, later lists come second."""
    overlap = wishes.overlap if wishes.overlap_given else min(LEAST_OVERLAP, wishes.overlap)
    tile_overlap = wishes.tile_overlap
    if tile_overlap is None:
        tile_overlap = TILE_OVERLAP * requirement(work.networks)[1]
    usual = _Rung(PLAIN, overlap, tile_overlap)
    if work.writing is None:
        yield [usual]
        return
    encoders = range(len(work.writing.encoders))
    thrifty = [usual._replace(thrift=Thrift(scratch=True, encoder=way)) for way in encoders]
    yield [usual, *thrifty]
    if not wishes.overlap_given and wishes.chunk is None and overlap > SHORT_OVERLAP:
        yield [thrifty[-1]._replace(overlap=SHORT_OVERLAP)]


def _options(
    work: Work, wishes: Wishes, rung: _Rung, limit: int, price: float
) -> Iterator[_Option]:
    """Yield the longest chunk that fits for each tile size."""
    for tile in _tiles(work, wishes, rung.tile_overlap):
        if chunk := _longest_chunk(work, wishes, rung, tile, limit):
            tiles = cut(work, tile, rung.tile_overlap)
            in_space = tiles.pixels * tiles.count / prod(frame_size(work))
            whole = work.longest is not None and work.longest <= chunk
            in_time = 1.0 if whole else chunk / (chunk - rung.overlap)
            cost = in_space * in_time * price
            rank = in_space > GOOD_TILING, in_time > GOOD_CONTEXT, cost, -chunk
            yield _Option(rank, rung, chunk, tile)


def _geometry(work: Work, wishes: Wishes, option: _Option, limit: int) -> Geometry:
    rung, chunk, tile = option.rung, option.chunk, option.tile
    batch = _batch(work, option, limit)
    need = predict(work, chunk, tile, rung.tile_overlap, batch, rung.thrift)
    scratch = 0
    if rung.thrift.scratch:
        scratch = scratch_bytes(work, chunk, tile, rung.tile_overlap)
    geometry = Geometry(
        chunk=chunk,
        overlap=_context(chunk, rung.overlap, wishes.overlap),
        tile_w=tile and tile[0],
        tile_h=tile and tile[1],
        tile_overlap=rung.tile_overlap,
        memory=need.host + need.device,
        batch=batch,
        scratch=scratch,
        encoder=rung.thrift.encoder,
    )
    return replace(geometry, notes=tuple(_notes(geometry, next(_rungs(work, wishes))[0])))


def _notes(geometry: Geometry, usual: _Rung) -> Iterator[str]:
    """Name the settings of a geometry that were chosen because memory is short."""
    if geometry.scratch:
        size = f"{geometry.scratch / 1e6:,.0f} MB"
        yield f"memory is short: frames wait for the encoder in files of the work folder ({size})"
    if geometry.overlap < usual.overlap:
        yield (
            f"memory is short: chunks have {geometry.overlap} frames of context instead of "
            f"{usual.overlap}, and their borders may show"
        )


def _batch(work: Work, option: _Option, limit: int) -> int:
    """Return how many tiles to compute together: 1 on devices without memory of their own."""
    if work.device_memory is None:
        return 1
    rung, chunk, tile = option.rung, option.chunk, option.tile
    count = cut(work, tile, rung.tile_overlap).count
    most = 1
    for batch in range(2, min(count, MOST_TILES) + 1):
        need = predict(work, chunk, tile, rung.tile_overlap, batch, rung.thrift)
        if need.fits(limit, work.device_memory):
            most = batch
    # Batches of nearly equal size: the smallest size that needs no more batches.
    return ceil(count / ceil(count / most))


def _context(chunk: int, least: int, wanted: int) -> int:
    """Return the context for chunks of `chunk` frames: `wanted` frames where that costs little."""
    bearable = int(chunk * (1 - 1 / GOOD_CONTEXT))
    return max(least, min(wanted, bearable))


def segment_frames(geometry: Geometry, seconds_per_frame: float) -> int:
    """Return how many frames a segment should keep at most: a whole number of chunks.

    About 250 frames or a minute of work, whichever is less, but enough frames that the overlaps of
    a segment amid a long scene add at most 15 percent of work, or, where chunks are too short for
    that, three percent to what the overlaps of the chunks cost anyway.

    Args:
        geometry: of the run.
        seconds_per_frame: estimated time to compute one frame.
    """
    wanted = min(SEGMENT_FRAMES, max(1, int(SEGMENT_SECONDS / max(seconds_per_frame, 1e-6))))
    step = geometry.chunk - geometry.overlap
    bearable = max(GOOD_OVERHEAD, 1.03 * geometry.chunk / step)
    # n whole chunks see n * chunk frames and keep n * step minus the context before the first.
    least = max(1, ceil(bearable * geometry.overlap / (bearable * step - geometry.chunk)))
    count = max(min(least, SEGMENT_FRAMES // step), (wanted + geometry.overlap) // step, 1)
    return count * step - geometry.overlap


def workers_that_fit(geometry: Geometry, limit: int) -> int:
    """Return how many workers fit into `limit` bytes of memory, at least one."""
    return max(1, limit // max(1, geometry.memory))


def _tiles(work: Work, wishes: Wishes, overlap: int) -> Sequence[tuple[int, int] | None]:
    """Return the tile sizes to choose from, None for whole frames."""
    minimum, multiple = requirement(work.networks)
    if wishes.tile == "off":
        return (None,)
    size = frame_size(work)
    if (given := tile_size(wishes.tile)) is not None:
        check(given, overlap, minimum)
        return (None if given[0] >= size[0] and given[1] >= size[1] else given,)
    least = max(minimum, LEAST_TILE_OVERLAPS * overlap)
    widths, heights = (_lengths(side, overlap, multiple, least) for side in size)
    return [None, *((w, h) for w in widths for h in heights if (w, h) != size)]


def _lengths(size: int, overlap: int, multiple: int, least: int) -> list[int]:
    found, count = [size], 2
    while (length := axis_length(size, count, overlap, multiple)) >= least and length < found[-1]:
        found.append(length)
        count += 1
    return found


def _longest_chunk(
    work: Work, wishes: Wishes, rung: _Rung, tile: tuple[int, int] | None, limit: int
) -> int | None:
    """Return the frames of the longest chunk that fits, or None if none does."""
    low, high = _chunk_range(work, wishes, rung.overlap)

    def fits(chunk: int) -> bool:
        need = predict(work, chunk, tile, rung.tile_overlap, thrift=rung.thrift)
        return need.fits(limit, work.device_memory)

    if fits(high):  # a chunk that is a whole scene may need less than a shorter one
        return high
    if not fits(low):
        return None
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if fits(middle) else (low, middle - 1)
    return low


def _chunk_range(work: Work, wishes: Wishes, overlap: int) -> tuple[int, int]:
    least = 2 * overlap + 1
    if wishes.chunk is not None:
        if wishes.chunk < least:
            raise UsageError(
                f"`chunk={wishes.chunk}` leaves no frame between overlaps of {overlap}: "
                f"give at least {least}"
            )
        return wishes.chunk, wishes.chunk
    return least, max(least, min(wishes.cap, work.longest or wishes.cap))


class _Least(NamedTuple):
    """The geometry that needs least."""

    need: Need
    chunk: int
    tile: tuple[int, int] | None


def _least(work: Work, wishes: Wishes) -> _Least:
    """Return the geometry that needs least of all, on the device first."""
    *_, rungs = _rungs(work, wishes)
    rung = rungs[-1]
    chunk = _chunk_range(work, wishes, rung.overlap)[0]
    every = [
        _Least(predict(work, chunk, tile, rung.tile_overlap, thrift=rung.thrift), chunk, tile)
        for tile in _tiles(work, wishes, rung.tile_overlap)
    ]
    return min(every, key=lambda option: (option.need.device, option.need.host))


def _too_little(work: Work, wishes: Wishes, limit: int) -> OutOfMemoryError:
    need, chunk, tile = _least(work, wishes)
    tiles = f"tiles of {tile[0]}x{tile[1]}" if tile else "whole frames"
    available = f"{limit / 2**30:.1f} GiB are allowed"
    if work.device_memory is not None:
        available += f", the device has {work.device_memory / 2**30:.1f} GiB"
    ways = [*_remedies(work, wishes, limit)]
    if need.device <= (work.device_memory or 0):
        ways.append(f"`memory_limit='{ceil(10 * need.host / 2**30) / 10:.1f}G'`")
    return OutOfMemoryError(
        f"frames of {work.width}x{work.height} do not fit into memory: even chunks of {chunk} "
        f"frames in {tiles} need {(need.host + need.device) / 2**30:.1f} GiB, but {available}; "
        f"what would fit: {' or '.join(ways) or 'smaller frames'}"
    )


HEIGHTS = (4320, 2160, 1440, 1080, 720, 480)
"""Output heights that are proposed where a larger output does not fit."""


def _remedies(work: Work, wishes: Wishes, limit: int) -> Iterator[str]:
    """Yield changes of the options of which each is enough to fit into memory."""
    given = {
        "chunk": replace(wishes, chunk=None),
        "overlap": replace(wishes, overlap_given=False),
        "tile": replace(wishes, tile="auto"),
        "tile_overlap": replace(wishes, tile_overlap=None),
    }
    free = replace(wishes, chunk=None, overlap_given=False, tile="auto", tile_overlap=None)
    named = [name for name, other in given.items() if other != wishes]
    alone = [name for name in named if _chosen(work, given[name], limit)]
    if alone:
        yield " or ".join(f"no `{name}`" for name in alone)
    elif named and _chosen(work, free, limit):
        yield " and ".join(f"no `{name}`" for name in named)
    if work.ensemble and _chosen(replace(work, ensemble=False), wishes, limit):
        yield "no `ensemble`"
    half: Precision = "bf16" if work.device_memory is None else "fp16"
    if work.precision == "fp32" and _chosen(replace(work, precision=half), wishes, limit):
        yield f"`precision={half!r}`"
    for height in HEIGHTS:
        smaller = _of_height(work, height)
        if smaller is not None and _chosen(smaller, wishes, limit):
            yield f"`height={height}`"
            return


def _of_height(work: Work, height: int) -> Work | None:
    """Return the same work with a smaller output height; None if it is not smaller."""
    now = work.writing
    if now is None or now.height <= height:
        return None
    width = round(now.width * height / now.height)
    shrink = width * height / (now.width * now.height)
    encoders = tuple(int(size * shrink) for size in now.encoders)
    return replace(work, writing=Writing(width=width, height=height, encoders=encoders))
