"""Seams of chunks and tiles, and what half precision costs, on a real clip.

    python benchmarks/seams.py [CLIP] [--model compact] [--size 160x112] [--frames 24]
                               [--only seams|precision] [--overlap 4] [--tile-overlap 16]
                               [--tile 80x80]

The clip is cropped in its middle, and before halved in size if it is large enough, which removes
traces of compression. Chunks and tiles are compared with the whole sequence, untiled, at the same
precision.
"Static" repeats one frame, "pan" moves the crop over one frame by a pixel of the file per frame.
Prints the tables of the sections "Seams" and "Precision" of docs/benchmarks.md.
"""

import argparse
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from vsrpp_cli.checkpoints.download import resolve_chain
from vsrpp_cli.checkpoints.load import load_network
from vsrpp_cli.inference.engine import Engine
from vsrpp_cli.inference.machine.device import default_threads, has_fast_bfloat16
from vsrpp_cli.media.source import open_source
from vsrpp_cli.planning.budget import TILE_OVERLAP
from vsrpp_cli.planning.chunks import plan_segments
from vsrpp_cli.planning.tiles import grid

EXAMPLE = Path(__file__).parents[1] / "examples" / "chickens.mp4"
BAND = 8
"""Width of what is looked at around a tile's border, in input pixels."""


def decode(path, count):
    """Return the first frames of a video, (T, 3, H, W)."""
    source = open_source(path)
    scan = source.scan(on_progress=None, scenes=False, start=None, end=None, frames=count)
    return np.stack([frame.rgb for frame in source.read(scan, 0, scan.frames)])


def shrunk(clip, by):
    """Return the clip at half its size if `by` is 2."""
    height, width = clip.shape[2] // by, clip.shape[3] // by
    clip = clip[:, :, : height * by, : width * by]
    return clip.reshape(*clip.shape[:2], height, by, width, by).mean((3, 5))


def clips(path, size, count):
    """Return the three clips by name, (T, 3, H, W) each, in [0, 1]."""
    frames = decode(path, count)
    large = frames.shape[3] > 2 * size[0] + count and frames.shape[2] >= 2 * size[1]
    by = 2 if large else 1
    width, height = size[0] * by, size[1] * by
    top, left = (frames.shape[2] - height) // 2, (frames.shape[3] - width - count) // 2
    crop = frames[:, :, top : top + height]
    real = shrunk(crop[..., left : left + width], by)
    pan = [shrunk(crop[:1, ..., left + i : left + i + width], by) for i in range(count)]
    made = {"real": real, "static": np.repeat(real[:1], count, 0), "pan": np.concatenate(pan)}
    return {name: np.ascontiguousarray(clip, np.float32) for name, clip in made.items()}


def upscaled(network, clip, precision, *, chunk=None, overlap=4, tile=None, tile_overlap=16):
    """Return the clip as the engine upscales it."""
    engine = Engine(
        [network], device=torch.device("cpu"), precision=precision, threads=default_threads(),
        tile=tile, tile_overlap=tile_overlap,
    )  # fmt: skip
    count = len(clip)
    (segment,) = plan_segments(
        count, (), chunk=chunk or count + 1, overlap=overlap if chunk else 0, segment=count
    )
    return np.stack(list(engine.upscale(iter(clip), segment.chunks))), segment.chunks


def psnr(one, other):
    """Return the PSNR of two arrays of values in [0, 1], in dB; 150 for equal ones."""
    error = float(np.mean((one.astype(np.float64) - other) ** 2))
    return 150.0 if error < 1e-15 else -10 * np.log10(error)


class ChunkFigures(NamedTuple):
    """How far chunks are from the whole sequence; PSNR in dB, changes in 8-bit code values."""

    mean: float
    beside: float
    """The worst kept frame beside a chunk border."""
    jump: float
    """The mean change from frame to frame across a border over that of its two neighbours."""
    unbroken_jump: float
    """The same of the whole sequence at the same place."""
    change: float
    """The mean change across that border."""
    unbroken_change: float

    def __str__(self) -> str:
        """Return the figures as columns of the table."""
        changes = (self.jump, self.unbroken_jump, self.change, self.unbroken_change)
        return " | ".join(
            [f"{self.mean:.1f} dB", f"{self.beside:.1f} dB", *(f"{c:.3f}" for c in changes)]
        )


def chunk_figures(made, whole, chunks):
    """Return the figures of a sequence made in chunks; of the border with the largest jump."""
    each = [psnr(a, b) for a, b in zip(made, whole, strict=True)]
    borders = [chunk.keep_start for chunk in chunks[1:]]
    beside = [each[i] for border in borders for i in (border - 1, border)]
    changes, unbroken = (
        [255 * float(np.abs(b - a).mean()) for a, b in pairwise(clip)] for clip in (made, whole)
    )

    def jump(of, i):
        return of[i - 1] / max((of[i - 2] + of[i]) / 2, 1e-9)

    worst = max(borders, key=lambda i: jump(changes, i))
    return ChunkFigures(
        psnr(made, whole), min(beside), jump(changes, worst), jump(unbroken, worst),
        changes[worst - 1], unbroken[worst - 1],
    )  # fmt: skip


def tile_figures(made, whole, size, tile, overlap):
    """Return the mean, and the worst frame's band beside the borders of tiles."""
    mask = np.zeros((size[1] * 4, size[0] * 4), bool)
    for found in grid(size, tile, overlap):
        for span, axis in ((found.x, 1), (found.y, 0)):
            if span.fade_in is not None:
                middle = sum(span.fade_in) // 2
                line = np.s_[4 * (middle - BAND // 2) : 4 * (middle + BAND // 2)]
                mask[(slice(None), line) if axis else line] = True
    band = min(psnr(a[:, mask], b[:, mask]) for a, b in zip(made, whole, strict=True))
    return psnr(made, whole), band


def seams(network, path, size, count, precision, *, overlap, tile, tile_overlap):
    """Print the table of seams."""
    chunk = count // 2 + overlap
    tile = tile or tuple(max(64, side // 2 + tile_overlap) for side in size)
    print(
        f"{path.name}, {count} frames of {size[0]}x{size[1]}, {precision}; chunks of {chunk} with "
        f"overlap {overlap}, tiles of {tile[0]}x{tile[1]} with overlap {tile_overlap}\n"
    )
    print("| clip | cut into | mean | beside | jump | unbroken | change | unbroken | band |")
    print("|---|---|---|---|---|---|---|---|---|")
    for name, clip in clips(path, size, count).items():
        whole, _ = upscaled(network, clip, precision)
        made, chunks = upscaled(network, clip, precision, chunk=chunk, overlap=overlap)
        figures = chunk_figures(made, whole, chunks)
        print(f"| {name} | {len(chunks)} chunks | {figures} | |", flush=True)
        made, _ = upscaled(network, clip, precision, tile=tile, tile_overlap=tile_overlap)
        mean, band = tile_figures(made, whole, size, tile, tile_overlap)
        print(f"| {name} | tiles | {mean:.1f} dB | | | | | | {band:.1f} dB |", flush=True)


def precision_table(network, path, size, count):
    """Print the table of precisions."""
    clip = clips(path, size, count)["real"]
    exact, _ = upscaled(network, clip, "fp32")
    print(f"\n{path.name}, {count} frames of {size[0]}x{size[1]}, CPU\n")
    print("| precision | against float32 | worst frame |\n|---|---|---|")
    for precision in ("bf16", "fp16"):
        made, _ = upscaled(network, clip, precision)
        worst = min(psnr(a, b) for a, b in zip(made, exact, strict=True))
        print(f"| {precision} | {psnr(made, exact):.1f} dB | {worst:.1f} dB |", flush=True)


def main():
    """Print the tables asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("clip", nargs="?", type=Path, default=EXAMPLE)
    parser.add_argument("--model", default="compact")
    parser.add_argument("--size", default="160x112")
    parser.add_argument("--frames", type=int, default=24)
    parser.add_argument("--overlap", type=int)
    parser.add_argument("--tile")
    parser.add_argument("--tile-overlap", type=int, default=TILE_OVERLAP)
    parser.add_argument("--only", choices=["seams", "precision"])
    given = parser.parse_args()
    (model,) = resolve_chain(given.model, offline=True)
    network = load_network(model.path)
    width, height = map(int, given.size.split("x"))
    if given.only != "precision":
        precision = "bf16" if has_fast_bfloat16() else "fp32"
        overlap = (
            (model.row.overlap if model.row else 8) if given.overlap is None else given.overlap
        )
        tile = tuple(map(int, given.tile.split("x"))) if given.tile else None
        seams(
            network, given.clip, (width, height), given.frames, precision,
            overlap=overlap, tile=tile, tile_overlap=given.tile_overlap,
        )  # fmt: skip
    if given.only != "seams":
        precision_table(network, given.clip, (width, height), min(given.frames, 4))


if __name__ == "__main__":
    main()
