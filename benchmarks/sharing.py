"""Computes how many frames of a film could be batched with frames of other scenes.

    python benchmarks/sharing.py [VIDEO ...] [--most 4]

Plans made-up films of an hour and a half, whose shots have log-normal lengths, and the VIDEOs
joined to one film, and puts chunks side by side: those of several scenes of a segment, or of
several segments. Only chunks in the same phase share calls (all begin a piece of a scene, or all
continue one), for a step without a state is another computation. For each way two figures: the
share of frames computed while at least one other is, and the calls that are left of 100. "Equal"
lets only chunks of one length share calls; otherwise those that have ended drop out. Then the
device's memory that chunks of whole frames together would take, as predicted.
Nothing is computed.
"""

import argparse
import random
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from math import log
from pathlib import Path

from vsrpp_cli.media.source import open_source
from vsrpp_cli.network.config import NetworkConfig
from vsrpp_cli.planning.budget import Geometry, segment_frames
from vsrpp_cli.planning.chunks import Chunk, Segment, plan_segments
from vsrpp_cli.planning.memory_model import Work, predict_engine

FRAMES = 90 * 60 * 25
"""Of a made-up film."""
MEANS = (2, 4, 8)
"""Mean seconds of its shots, at 25 frames a second."""
SPREAD = 0.8
"""Standard deviation of the logarithm of their lengths."""
GEOMETRIES = ((100, 8), (60, 6))
"""Frames of a chunk and of its overlap, as planned for the published and the compact models."""
SIZES = ((320, 180), (480, 270), (640, 360), (1280, 720))
"""Of frames, where memory is predicted."""

Lane = Sequence[Chunk]
"""Chunks that are computed one after the other."""
Group = list[int]
"""Frames of each of the chunks that share calls."""


@dataclass(frozen=True)
class Film:
    """Frames and where scenes begin, 0 left out."""

    name: str
    frames: int
    cuts: tuple[int, ...]


def made_up(mean: float, seed: int = 1) -> Film:
    """Return a film whose shots last `mean` seconds on average."""
    chance, cuts, at = random.Random(seed), [], 0
    center = log(25 * mean) - SPREAD**2 / 2
    while (at := at + max(1, round(chance.lognormvariate(center, SPREAD)))) < FRAMES:
        cuts.append(at)
    return Film(f"shots of {mean:g} s", FRAMES, tuple(cuts))


def joined(videos: Iterable[Path]) -> Film:
    """Return videos as one film; each begins a scene."""
    frames, cuts = 0, list[int]()
    for video in videos:
        scan = open_source(video).scan(scenes=True)
        cuts += [frames + cut for cut in (0, *scan.cuts)]
        frames += scan.frames
    return Film(f"given, {len(cuts)} scenes", frames, tuple(cuts[1:]))


def planned(film: Film, chunk: int, overlap: int) -> tuple[Segment, ...]:
    """Return a film's segments, as for a device on which all fits."""
    geometry = Geometry(
        chunk=chunk, overlap=overlap, tile_w=None, tile_h=None, tile_overlap=0, memory=0
    )
    segment = segment_frames(geometry, seconds_per_frame=0)
    return plan_segments(film.frames, film.cuts, chunk=chunk, overlap=overlap, segment=segment)


def pieces(segment: Segment) -> list[Lane]:
    """Return the chunks of each scene of a segment."""
    found: list[list[Chunk]] = []
    for chunk in segment.chunks:
        if not chunk.carries:
            found.append([])
        found[-1].append(chunk)
    return [*found]


def side_by_side(lanes: Sequence[Lane], most: int) -> Iterator[Group]:
    """Yield what shares calls where `most` lanes after another go side by side."""
    for first in range(0, len(lanes), most):
        together = lanes[first : first + most]
        for turn in range(max(map(len, together))):
            chunks = [lane[turn] for lane in together if turn < len(lane)]
            for carries in (False, True):
                group = [c.stop - c.start for c in chunks if c.carries == carries]
                if group:
                    yield group


def equal(groups: Iterable[Group]) -> Iterator[Group]:
    """Yield the parts of groups in which all chunks are of one length."""
    for group in groups:
        yield from (list(same) for _, same in groupby(sorted(group)))


def figures(groups: Iterable[Group]) -> tuple[float, float]:
    """Return the share of frames computed beside others, and calls for each frame."""
    total = shared = calls = 0
    for group in groups:
        longest, *others = sorted(group, reverse=True)
        total += longest + sum(others)
        calls += longest
        shared += sum(others) + max(others, default=0)
    return shared / total, calls / total


def ways(segments: Sequence[Segment], most: int) -> dict[str, list[Group]]:
    """Return what shares calls in each way."""
    found: dict[str, list[Group]] = defaultdict(list)
    for segment in segments:
        found["scenes"] += side_by_side(pieces(segment), most)
    found["segments"] += side_by_side([segment.chunks for segment in segments], most)
    for name in ("scenes", "segments"):
        found[f"{name}, equal"] += equal(found[name])
    return found


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("videos", nargs="*", type=Path)
    parser.add_argument("--most", type=int, default=4, help="chunks that may share a call")
    given = parser.parse_args()
    show_shares(
        [*map(made_up, MEANS), *([joined(given.videos)] if given.videos else [])], given.most
    )
    print()
    show_memory(given.most)


def show_shares(films: Iterable[Film], most: int) -> None:
    """Print what could share calls in each way, for each film."""
    names = ("scenes, equal", "scenes", "segments, equal", "segments")
    show_row("film, frames of a chunk", names)
    show_row("---", ["---:"] * len(names))
    for film in films:
        for chunk, overlap in GEOMETRIES:
            found = ways(planned(film, chunk, overlap), most)
            shares = [figures(found[name]) for name in names]
            show_row(
                f"{film.name}, {chunk}",
                [f"{part:.0%}, {100 * calls:.0f}" for part, calls in shares],
            )


def show_memory(most: int) -> None:
    """Print what the network of the published models takes in float16, for one chunk and more."""
    counts, frames = range(1, most + 1), GEOMETRIES[0][0]
    show_row(f"GiB for chunks of {frames}", map(str, counts))
    show_row("---", ["---:"] * len(counts))
    for width, height in SIZES:
        work = Work(
            width=width,
            height=height,
            networks=(NetworkConfig(),),
            precision="fp16",
            weights=30_000_000,
            device_memory=0,
        )
        needs = [predict_engine(work, frames, None, 0, count).device for count in counts]
        show_row(f"{width}x{height}", [f"{need / 2**30:.1f}" for need in needs])


def show_row(label: str, cells: Iterable[str]) -> None:
    """Print a row of a table."""
    print(f"| {' | '.join([label, *cells])} |")


if __name__ == "__main__":
    main()
