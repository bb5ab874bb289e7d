"""How long chunks and how large tiles may be so that a run stays within its memory.

Among all geometries that are predicted to fit (`planning/memory_model.py`) the one that computes
least besides what is kept is taken. Where none fits, or only ones that compute much twice, memory
is saved in ways that cost other things; the last of them may show, and only come when there is no
other way. The outcome depends on nothing but the arguments: not on what is free just now, nor on
how many workers there are.
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
"""Pixels, at the resolution features have, by which tiles reach beyond the middle of a border."""

LEAST_TILE_OVERLAPS = 6
"""Tiles nobody asked for have sides of at least so many overlaps: smaller ones begin to show. So do
smaller overlaps, which are therefore no way to save memory: 46 to 48 dB beside borders with 16."""

MOST_TILES = 8
"""Tiles computed together at most; more of them would not keep a GPU busier."""

GOOD_TILING = 1.2
"""Computed pixels for each one of the frame; tilings that cost more are the last resort."""
GOOD_OVERHEAD = 1.15
"""Computed frames for each kept one that segments are made long enough to keep to."""
GOOD_CONTEXT = 1.12
"""The same for chunks within a segment: context beyond the least must not make it more."""
LEAST_OVERLAP = 4
"""Frames of context below which borders of chunks begin to show."""
SHORT_OVERLAP = 3
"""Frames of context where there is no memory for more; with 2 a still picture is below 48 dB."""
THRIFT_PRICE = 0.1
"""By how much less must be computed for a way to save memory to be taken unless it has to."""
SEGMENT_FRAMES = 250
SEGMENT_SECONDS = 60


@dataclass(frozen=True, kw_only=True)
class Geometry:
    """How a run's frames are cut in time and space, and where they are kept meanwhile."""

    chunk: int
    """Frames one network call sees at most, overlap included."""
    overlap: int
    """Frames of context beside kept ones."""
    tile_w: int | None
    tile_h: int | None
    """Size of a tile in input pixels, overlap included; None for whole frames."""
    tile_overlap: int
    """Input pixels by which tiles reach beyond the middle of the border to the next one."""
    memory: int
    """Bytes one worker is predicted to need at most, on the machine and on the device together."""
    batch: int = 1
    """Tiles computed together."""
    scratch: int = 0
    """Bytes of files in the work folder in which one worker keeps finished frames and what is
    carried from chunk to chunk; 0 where these are in memory."""
    encoder: int = 0
    """Which of the ways to set the encoder is taken, see `Writing`."""
    notes: tuple[str, ...] = ()
    """What was done to save memory."""

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
    """What of the geometry is given."""

    overlap: int
    """Frames of context beside kept ones."""
    cap: int
    """Chunks that see more frames are not worth their memory."""
    overlap_given: bool = False
    """Whether the user wants so much context and no less; otherwise short chunks have less."""
    chunk: int | None = None
    tile: str = "auto"
    """As `--tile` has it."""
    tile_overlap: int | None = None


class _Rung(NamedTuple):
    """One way to spend memory."""

    thrift: Thrift
    overlap: int
    """The least frames of context."""
    tile_overlap: int


class _Option(NamedTuple):
    """A geometry that fits."""

    rank: tuple[bool, bool, float, int]
    """The lower, the better."""
    rung: _Rung
    chunk: int
    tile: tuple[int, int] | None


def choose_geometry(work: Work, wishes: Wishes, limit: int) -> Geometry:
    """Return the geometry that computes least within `limit` bytes of the machine's memory.

    Chunks that come out long get the context that is wanted, short ones at least `LEAST_OVERLAP`,
    or `SHORT_OVERLAP` where nothing else fits.

    Raises:
        OutOfMemoryError: not even the smallest chunks and tiles fit.
        UsageError: a tile or overlap that was asked for cannot be.
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
    """Yield ways to spend memory; those of a list are weighed against each other."""
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
    """Yield for each size of tiles the longest chunk that fits."""
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
    """Return how many tiles to compute together: 1 where the device has no memory of its own."""
    if work.device_memory is None:
        return 1
    rung, chunk, tile = option.rung, option.chunk, option.tile
    count = cut(work, tile, rung.tile_overlap).count
    most = 1
    for batch in range(2, min(count, MOST_TILES) + 1):
        need = predict(work, chunk, tile, rung.tile_overlap, batch, rung.thrift)
        if need.fits(limit, work.device_memory):
            most = batch
    # No more than are needed to go through all tiles in as few batches.
    return ceil(count / ceil(count / most))


def _context(chunk: int, least: int, wanted: int) -> int:
    """Return the context for chunks of `chunk` frames: `wanted` frames where that costs little."""
    bearable = int(chunk * (1 - 1 / GOOD_CONTEXT))
    return max(least, min(wanted, bearable))


def segment_frames(geometry: Geometry, seconds_per_frame: float) -> int:
    """Return how many frames a segment should keep at most.

    About 250 frames or a minute of work, whatever is less, but at least so many that the overlaps
    of a segment amid a long scene do not cost more than they must: 15 percent, or, where chunks are
    too short for that, three percent on top of what chunks cost anyway. Always whole chunks.
    """
    wanted = min(SEGMENT_FRAMES, max(1, int(SEGMENT_SECONDS / max(seconds_per_frame, 1e-6))))
    step = geometry.chunk - geometry.overlap
    bearable = max(GOOD_OVERHEAD, 1.03 * geometry.chunk / step)
    # n whole chunks see n * chunk frames and keep n * step less what the first spends on context.
    least = max(1, ceil(bearable * geometry.overlap / (bearable * step - geometry.chunk)))
    count = max(min(least, SEGMENT_FRAMES // step), (wanted + geometry.overlap) // step, 1)
    return count * step - geometry.overlap


def workers_that_fit(geometry: Geometry, limit: int) -> int:
    """Return how many workers of this geometry the machine's memory holds; at least one."""
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
"""Heights of outputs that are proposed where a larger one does not fit."""


def _remedies(work: Work, wishes: Wishes, limit: int) -> Iterator[str]:
    """Yield what of the command could be changed so that it fits, each alone sufficient."""
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
    """Return the same work with an output of another height; None if it is not smaller."""
    now = work.writing
    if now is None or now.height <= height:
        return None
    width = round(now.width * height / now.height)
    shrink = width * height / (now.width * now.height)
    encoders = tuple(int(size * shrink) for size in now.encoders)
    return replace(work, writing=Writing(width=width, height=height, encoders=encoders))
