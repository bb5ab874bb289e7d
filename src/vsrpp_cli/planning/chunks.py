"""Cutting scenes into segments and chunks.

A chunk is the frames of one network call, `start:stop`, of which `keep_start:keep_stop` are kept.
Within a segment the forward branches' state is carried from chunk to chunk, so only the first chunk
of a segment needs overlap before its kept frames; every chunk needs overlap after them. Chunks
never span a cut.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise


@dataclass(frozen=True, slots=True)
class Chunk:
    """The frames of one network call; all four are indices into the frames of the whole run."""

    start: int
    stop: int
    keep_start: int
    keep_stop: int
    carries: bool = False
    """Whether it continues from the previous chunk's forward state (then `start == keep_start`)."""
    continued: bool = True
    """Whether the next chunk may continue from this one's state."""


@dataclass(frozen=True, slots=True)
class Segment:
    """Consecutive chunks that are encoded into one file: the unit of resume and distribution."""

    index: int
    chunks: tuple[Chunk, ...]

    @property
    def keep_start(self) -> int:
        """First frame of the segment's file."""
        return self.chunks[0].keep_start

    @property
    def keep_stop(self) -> int:
        """One past its last frame."""
        return self.chunks[-1].keep_stop

    @property
    def frames(self) -> int:
        """Number of frames in its file."""
        return self.keep_stop - self.keep_start

    @property
    def start(self) -> int:
        """First frame to be read."""
        return self.chunks[0].start

    @property
    def stop(self) -> int:
        """One past the last frame to be read."""
        return max(chunk.stop for chunk in self.chunks)


def split_evenly(start: int, stop: int, most: int) -> list[tuple[int, int]]:
    """Return `start:stop` as the fewest consecutive ranges of at most `most`, equal within one."""
    count = -(-(stop - start) // most)
    edges = [start + (stop - start) * i // count for i in range(count + 1)] if count else [start]
    return list(pairwise(edges))


def plan_segments(
    frames: int, cuts: Sequence[int], *, chunk: int, overlap: int, segment: int
) -> tuple[Segment, ...]:
    """Cut `frames` frames, with scenes that begin at `cuts`, into segments.

    Args:
        frames: number of frames of the run, at least 1.
        cuts: increasing indices at which scenes begin; 0 is implied.
        chunk: most frames of one network call, overlap included; above `2 * overlap`.
        overlap: frames of context on each side of kept frames.
        segment: most kept frames of a segment.

    A scene longer than a segment is divided into several of nearly equal length; short scenes share
    a segment.
    """
    scenes = list(pairwise([0, *cuts, frames]))
    pieces = [(part, scene) for scene in scenes for part in split_evenly(*scene, segment)]
    groups: list[list[tuple[tuple[int, int], tuple[int, int]]]] = []
    for piece in pieces:
        if groups and piece[0][1] - groups[-1][0][0][0] <= segment:
            groups[-1].append(piece)
        else:
            groups.append([piece])
    return tuple(
        Segment(index, tuple(_chunks(group, chunk, overlap))) for index, group in enumerate(groups)
    )


def _chunks(
    pieces: Iterable[tuple[tuple[int, int], tuple[int, int]]], chunk: int, overlap: int
) -> Iterable[Chunk]:
    for (start, stop), (scene_start, scene_stop) in pieces:
        seen = max(scene_start, start - overlap), min(scene_stop, stop + overlap)
        edges = _edges(start, stop, seen, chunk, overlap)
        for keep_start, keep_stop in pairwise(edges):
            carries = keep_start > start
            yield Chunk(
                start=keep_start if carries else seen[0],
                stop=min(keep_stop + overlap, scene_stop),
                keep_start=keep_start,
                keep_stop=keep_stop,
                carries=carries,
                continued=keep_stop < stop,
            )


def _edges(start: int, stop: int, seen: tuple[int, int], chunk: int, overlap: int) -> list[int]:
    """Return where the kept ranges of a piece begin, and `stop`; there are as few as possible.

    The numbers of frames that the chunks see are equal within one, since these determine memory;
    the numbers of kept frames are not. Each chunk reaches `overlap` frames into the next.
    """
    span = seen[1] - seen[0] - overlap
    count = max(1, -(-span // (chunk - overlap)))
    inner = [max(seen[0] + span * i // count, start + i) for i in range(1, count)]
    return [start, *inner, stop]


def computed_per_kept(segments: Sequence[Segment]) -> float:
    """Return the number of computed frames for each kept frame."""
    computed = sum(c.stop - c.start for s in segments for c in s.chunks)
    return computed / sum(s.frames for s in segments)


def shorten(chunk: Chunk, most: int, overlap: int) -> tuple[Chunk, ...]:
    """Divide `chunk` into chunks of at most `most` frames, each continuing the one before.

    Args:
        chunk: the one to divide.
        most: frames of one network call, above `2 * overlap`.
        overlap: frames of context after the kept frames of each part.
    """
    if chunk.stop - chunk.start <= most:
        return (chunk,)
    edges = _edges(chunk.keep_start, chunk.keep_stop, (chunk.start, chunk.stop), most, overlap)
    return tuple(
        Chunk(
            start=chunk.start if keep_start == chunk.keep_start else keep_start,
            stop=min(keep_stop + overlap, chunk.stop),
            keep_start=keep_start,
            keep_stop=keep_stop,
            carries=chunk.carries or keep_start > chunk.keep_start,
            continued=chunk.continued or keep_stop < chunk.keep_stop,
        )
        for keep_start, keep_stop in pairwise(edges)
    )


def open_chunks(
    reach: Callable[[int], int], *, chunk: int, overlap: int, first: int = 0
) -> Iterator[Chunk]:
    """Yield the chunks of a stream whose end is not known beforehand, as one scene.

    Args:
        reach: reads until the frames before the given index are available, and returns that index,
            or the number of frames if the stream ended before it.
        chunk: most frames of one network call; above `overlap`.
        overlap: frames of context after kept frames.
        first: index of the scene's first frame.
    """
    start = first
    while (stop := reach(start + chunk)) > start:
        whole = stop < start + chunk
        keep_stop = stop if whole else stop - overlap
        yield Chunk(start, stop, start, keep_stop, carries=start > first)
        start = keep_stop
