"""Compares the encoders at the same --crf: PSNR of luma, size and speed of encoding.

    python benchmarks/encoders.py CLIP [--frames 24] [--size 640x360] [--crf 16 --crf 23]

Takes the top left corner of a clip's first frames, encodes it the way `vsrpp upscale` would, and
prints a Markdown table: PSNR of BT.709 luma against the given frames, bits per pixel, and
milliseconds per frame (on two threads, including opening the encoder).
"""

import argparse
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import av
import numpy as np

from vsrpp_cli.media.color.convert import frame_to_rgb
from vsrpp_cli.media.encode.selection import resolve
from vsrpp_cli.media.encode.writer import SegmentWriter
from vsrpp_cli.media.source import open_source
from vsrpp_cli.media.types import Frame
from vsrpp_cli.options import UpscaleOptions

CODECS = {
    "h264": ".mkv",
    "hevc": ".mkv",
    "av1": ".mkv",
    "vp9": ".mkv",
    "prores": ".mov",
    "ffv1": ".mkv",
}
LUMA = np.array([0.2126, 0.7152, 0.0722], np.float32)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("clip")
    parser.add_argument("--frames", type=int, default=24)
    parser.add_argument("--size", default="640x360")
    parser.add_argument("--crf", type=float, action="append")
    options = parser.parse_args()
    width, height = map(int, options.size.split("x"))
    source = open_source(options.clip)
    scan = source.scan(scenes=False, frames=options.frames)
    frames = [f.rgb[:, :height, :width].copy() for f in source.read(scan, 0, scan.frames)]
    info = replace(source.info, width=width, height=height)
    print("| codec | --crf | luma PSNR, dB | bits a pixel | ms a frame |\n|---|---|---|---|---|")
    for codec, suffix in CODECS.items():
        for crf in [None] if codec == "ffv1" else options.crf or [16, 23]:
            settings = resolve(
                info,
                UpscaleOptions(codec=codec, crf=crf),
                Path(f"output{suffix}"),
                scale=1,
                threads=2,
            )
            print(f"| {codec} | {crf or 'lossless'} | {measured(frames, settings)} |", flush=True)


def measured(frames: list[np.ndarray], settings: object) -> str:
    """Encode and decode the frames; return the cells of the figures."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "segment.mkv"
        started = time.perf_counter()
        with SegmentWriter(path, settings) as writer:
            for index, rgb in enumerate(frames):
                writer.write(Frame(index, rgb))
            stats = writer.close()
        seconds = time.perf_counter() - started
        psnr = np.mean(list(_psnr(path, frames, settings)))
    pixels = len(frames) * settings.width * settings.height
    return f"{psnr:.1f} | {8 * stats.bytes / pixels:.3f} | {1000 * seconds / len(frames):.0f}"


def _psnr(path: Path, frames: list[np.ndarray], settings: object) -> Iterator[float]:
    with av.open(str(path)) as file:
        for frame, given in zip(file.decode(video=0), frames, strict=True):
            error = np.tensordot(LUMA, frame_to_rgb(frame, settings.color) - given, 1)
            yield -10 * np.log10(np.mean(error**2))


if __name__ == "__main__":
    main()
