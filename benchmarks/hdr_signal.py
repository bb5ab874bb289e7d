"""Measures the loss of quality from giving the network PQ or HLG signals as if they were SDR.

    python benchmarks/hdr_signal.py CLIP [--frames 8] [--model compact]

Light is made from a clip (BT.1886, white at 203 cd/m2) and coded again by PQ and HLG. The clip's
small version is upscaled in each of the codings, and every result is brought back to the first
one, where its PSNR against the clip is taken; bicubic likewise. Prints a Markdown table.
"""

import argparse
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from vsrpp_cli import Upscaler
from vsrpp_cli.degrade import bicubic_downsample, bicubic_upsample
from vsrpp_cli.media.source import open_source

Picture = NDArray[np.floating[Any]]
Curve = Callable[[Picture], Picture]

WHITE = 203.0
"""cd/m2 of diffuse white in BT.2408."""

M1, M2 = 2610 / 16384, 2523 / 32
C1, C2, C3 = 3424 / 4096, 2413 / 128, 2392 / 128
A, B, C = 0.17883277, 0.28466892, 0.55991073


def pq(signal: Picture) -> Picture:
    """Return the PQ code of an SDR signal shown with white at 203 cd/m2 (SMPTE ST 2084)."""
    y = (signal.astype(np.float64) ** 2.4 * WHITE / 10000) ** M1
    return np.asarray(((C1 + C2 * y) / (1 + C3 * y)) ** M2)


def from_pq(code: Picture) -> Picture:
    """Invert `pq`."""
    e = np.clip(code.astype(np.float64), pq(np.zeros(1)), 1) ** (1 / M2)
    light = (np.maximum(e - C1, 0) / (C2 - C3 * e)) ** (1 / M1) * 10000
    return np.asarray((light / WHITE) ** (1 / 2.4))


SCENE_WHITE = (np.exp((0.75 - C) / A) + B) / 12
"""Scene light that HLG codes as 75 percent, which is diffuse white in BT.2408."""


def hlg(signal: Picture) -> Picture:
    """Return the HLG code of an SDR signal with white at 75 percent (ARIB STD-B67), gamma 1.2."""
    e = signal.astype(np.float64) ** (2.4 / 1.2) * SCENE_WHITE
    bright = A * np.log(np.maximum(12 * e - B, 1e-9)) + C
    return np.asarray(np.where(e <= 1 / 12, np.sqrt(3 * e), bright))


def from_hlg(code: Picture) -> Picture:
    """Invert `hlg`."""
    code = np.maximum(code.astype(np.float64), 0)
    e = np.where(code <= 0.5, code**2 / 3, (np.exp((code - C) / A) + B) / 12)
    return np.asarray((e / SCENE_WHITE) ** (1.2 / 2.4))


def identity(signal: Picture) -> Picture:
    """Return the signal."""
    return signal


CODINGS: dict[str, tuple[Curve, Curve]] = {
    "BT.1886 (SDR)": (identity, identity),
    "HLG": (hlg, from_hlg),
    "PQ": (pq, from_pq),
}


def resized(resize: Callable[[torch.Tensor], torch.Tensor], picture: Picture) -> Picture:
    """Return a picture, shape (3, H, W), made larger or smaller."""
    return resize(torch.from_numpy(picture)).numpy()


def psnr(results: list[Picture], truth: list[Picture]) -> float:
    """Return the mean PSNR in dB of RGB, clipped to [0, 1]."""
    errors = [np.mean((np.clip(r, 0, 1) - t) ** 2) for r, t in zip(results, truth, strict=True)]
    return float(np.mean([-10 * np.log10(error) for error in errors]))


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("clip")
    parser.add_argument("--frames", type=int, default=8)
    parser.add_argument("--model", default="compact")
    options = parser.parse_args()
    source = open_source(options.clip)
    scan = source.scan(scenes=False, frames=options.frames)
    height, width = source.info.height // 4 * 4, source.info.width // 4 * 4
    truth: list[Picture] = [f.rgb[:, :height, :width] for f in source.read(scan, 0, scan.frames)]
    small = [np.clip(resized(bicubic_downsample, t), 0, 1) for t in truth]
    upscaler = Upscaler(options.model, device="cpu", precision="fp32", threads=1)
    print("| coding | bicubic, dB | network, dB |\n|---|---|---|")
    for name, (code, decode) in CODINGS.items():
        coded = [np.clip(code(s), 0, 1).astype(np.float32) for s in small]
        plain = [resized(bicubic_upsample, c) for c in coded]
        network: list[Picture] = list(upscaler.upscale_frames(coded))
        rows = [psnr([decode(f) for f in frames], truth) for frames in (plain, network)]
        print(f"| {name} | {rows[0]:.2f} | {rows[1]:.2f} |")


if __name__ == "__main__":
    main()
