"""Cutting frames into overlapping tiles, and where one tile fades into the next.

All tiles of a frame have the same size and are evenly spread. Along each axis two neighbours share
a band at least `2 * overlap` pixels wide; in the middle of the band the weight of one falls while
that of the other rises. The outermost pixels of a tile, where the network lacked context, are never
used.
"""

from dataclasses import dataclass
from functools import cache
from itertools import pairwise

from vsrpp_cli.errors import UsageError

MINIMUM = 64
"""Smallest side of a tile in input pixels: the flow network needs it."""


@dataclass(frozen=True, slots=True)
class Span:
    """What one tile covers along one axis, in pixels of the frame."""

    start: int
    stop: int
    fade_in: tuple[int, int] | None
    """Range of pixels over which its weight rises from 0 to 1; None at the border of the frame."""
    fade_out: tuple[int, int] | None
    """Range over which its weight falls from 1 to 0: the `fade_in` of the next one."""


@dataclass(frozen=True, slots=True)
class Tile:
    """One tile: what it covers along both axes."""

    x: Span
    y: Span


@cache
def spans(
    size: int, tile: int, overlap: int, multiple: int = 1, minimum: int = MINIMUM
) -> tuple[Span, ...]:
    """Cover `size` pixels with the fewest tiles of at most `tile` pixels.

    Args:
        size: pixels of the frame along the axis, a multiple of `multiple`.
        tile: most pixels of one tile, overlap included; at least `4 * overlap`.
        overlap: pixels by which a tile reaches beyond the middle of the border to its neighbour.
        multiple: starts and lengths are multiples of this.
        minimum: no tile is shorter than this, unless `size` or `tile` is.

    The tiles are as small as their number allows, so possibly smaller than `tile`.
    """
    if tile >= size:
        return (Span(0, size, None, None),)
    tile, shared = tile // multiple, 2 * -(-overlap // multiple)
    count = -(-(size // multiple - shared) // (tile - shared))
    least = min(tile, -(-minimum // multiple)) * multiple
    length = max(axis_length(size, count, overlap, multiple), least)
    spare = (size - length) // multiple
    starts = [spare * i // (count - 1) * multiple for i in range(count)]
    fades = [_fade(after, before + length, overlap) for before, after in pairwise(starts)]
    return tuple(
        Span(start, start + length, fade_in, fade_out)
        for start, fade_in, fade_out in zip(starts, [None, *fades], [*fades, None], strict=True)
    )


def axis_length(size: int, count: int, overlap: int, multiple: int = 1) -> int:
    """Return the length of each of `count` tiles that cover `size` pixels."""
    if count == 1:
        return size
    shared = 2 * -(-overlap // multiple)
    return min(size, -(-(size // multiple + (count - 1) * shared) // count) * multiple)


def grid(
    size: tuple[int, int],
    tile: tuple[int, int] | None,
    overlap: int,
    multiple: int = 1,
    minimum: int = MINIMUM,
) -> tuple[Tile, ...]:
    """Return the tiles of a frame of `size` (width, height), row by row; one if `tile` is None."""
    width, height = tile or size
    columns = spans(size[0], width, overlap, multiple, minimum)
    rows = spans(size[1], height, overlap, multiple, minimum)
    return tuple(Tile(column, row) for row in rows for column in columns)


def padded(length: int, minimum: int, multiple: int) -> int:
    """Return the side a frame of `length` pixels is padded to before a network sees it."""
    return max(minimum, -(-length // multiple) * multiple)


def check(tile: tuple[int, int], overlap: int, minimum: int) -> None:
    """Refuse tiles that are too small for the network or for their overlap.

    Raises:
        UsageError: a side is below `minimum` or below four times the overlap.
    """
    text = f"`tile='{tile[0]}x{tile[1]}'`"
    if min(tile) < minimum:
        raise UsageError(f"{text}: this model needs at least {minimum} pixels on each side")
    if min(tile) < 4 * overlap:
        raise UsageError(
            f"{text} is too small for `tile_overlap={overlap}`: "
            f"at least {4 * overlap} pixels on each side, or an overlap of at most {min(tile) // 4}"
        )


def _fade(start: int, stop: int, overlap: int) -> tuple[int, int]:
    """Return the middle `overlap` pixels of a band."""
    begin = (start + stop - overlap) // 2
    return begin, begin + overlap
