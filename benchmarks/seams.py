"""Seams of chunks and tiles, and what half precision costs, on a real clip.

    python benchmarks/seams.py [CLIP] [--model compact] [--size 160x112] [--frames 24]
                               [--only seams|precision]

The clip is halved in size where it is large enough, so that compression vanishes, and cropped in
its middle. Compared are chunks and tiles with the whole sequence untiled at the same precision.
"Static" repeats one frame, "pan" moves the crop over one frame by a pixel of the file per frame.
Prints the tables of the sections "Seams" and "Precision" of docs/benchmarks.md.
"""

import argparse
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch

from vsrpp_cli.checkpoints.download import resolve_chain
from vsrpp_cli.checkpoints.load import load_network
from vsrpp_cli.inference.device import default_threads, has_fast_bfloat16
from vsrpp_cli.inference.engine import Engine
from vsrpp_cli.planning.chunks import plan_segments
from vsrpp_cli.planning.tiles import grid
from vsrpp_cli.video.source import open_source

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
    by = 2 if frames.shape[3] > 2 * size[0] + count else 1
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


def chunk_figures(made, whole, chunks):
    """Return the mean, the worst frame beside a border, and figures of the jump across borders.

    The jump is the mean change from frame to frame across a border over that of its two neighbours.
    After it stand that change, and the unbroken sequence's at the same place, in 8-bit code values.
    """
    each = [psnr(a, b) for a, b in zip(made, whole, strict=True)]
    borders = [chunk.keep_start for chunk in chunks[1:]]
    beside = [each[i] for border in borders for i in (border - 1, border)]
    change = [255 * float(np.abs(b - a).mean()) for a, b in pairwise(made)]
    unbroken = [255 * float(np.abs(b - a).mean()) for a, b in pairwise(whole)]
    jump, border = max(
        (change[i - 1] / max((change[i - 2] + change[i]) / 2, 1e-9), i) for i in borders
    )
    figures = f"{jump:.3f}", f"{change[border - 1]:.3f}", f"{unbroken[border - 1]:.3f}"
    return f"{psnr(made, whole):.1f} dB", f"{min(beside):.1f} dB", *figures


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


def seams(network, path, size, count, precision):
    """Print the table of seams."""
    chunk, tile = count // 2 + 4, tuple(max(64, side // 2 + 16) for side in size)
    print(
        f"{path.name}, {count} frames of {size[0]}x{size[1]}, {precision}; chunks of {chunk} "
        f"with overlap 4, tiles of {tile[0]}x{tile[1]} with overlap 16\n"
    )
    print("| clip | cut into | mean | beside a chunk border | jump | change | unbroken | band |")
    print("|---|---|---|---|---|---|---|---|")
    for name, clip in clips(path, size, count).items():
        whole, _ = upscaled(network, clip, precision)
        made, chunks = upscaled(network, clip, precision, chunk=chunk)
        figures = " | ".join(chunk_figures(made, whole, chunks))
        print(f"| {name} | {len(chunks)} chunks | {figures} | |", flush=True)
        made, _ = upscaled(network, clip, precision, tile=tile)
        mean, band = tile_figures(made, whole, size, tile, 16)
        print(f"| {name} | 2x2 tiles | {mean:.1f} dB | | | | | {band:.1f} dB |", flush=True)


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
    parser.add_argument("--only", choices=["seams", "precision"])
    given = parser.parse_args()
    (model,) = resolve_chain(given.model, offline=True)
    network = load_network(model.path)
    width, height = map(int, given.size.split("x"))
    if given.only != "precision":
        precision = "bf16" if has_fast_bfloat16() else "fp32"
        seams(network, given.clip, (width, height), given.frames, precision)
    if given.only != "seams":
        precision_table(network, given.clip, (width, height), min(given.frames, 4))


if __name__ == "__main__":
    main()
