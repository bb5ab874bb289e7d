"""Measures the error of half precision on real frames, with the embedded compact model.

Usage: python benchmarks/precision.py FOLDER [FOLDER ...] [--frames 6]

Each FOLDER holds frames that Pillow reads, by name in order. PSNR over all frames, output clipped
to [0, 1], against float32 by torch's operators.
"""

import argparse
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from vsrpp_cli.backends.select import Kernels, prepare
from vsrpp_cli.checkpoints.load import load_network
from vsrpp_cli.streaming.chunk_run import ChunkRun

WEIGHTS = Path(__file__).parents[1] / "weights" / "compact-x4.safetensors"
WAYS: list[tuple[torch.dtype, Kernels]] = [
    (torch.float32, "winograd"),
    (torch.float16, "library"),
    (torch.bfloat16, "library"),
    (torch.bfloat16, "fused"),
    (torch.bfloat16, "winograd"),
]


def read(folder: Path, frames: int) -> Tensor:
    """Return the first frames, (T, 3, H, W), [0, 1]."""
    paths = sorted(folder.iterdir())[:frames]
    images = [np.asarray(Image.open(path).convert("RGB")) for path in paths]
    return torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).float() / 255


def run(clip: Tensor, dtype: torch.dtype, kernels: Kernels) -> Tensor:
    """Return the clip enlarged."""
    stages = prepare(load_network(WEIGHTS), dtype=dtype, kernels=kernels)
    return torch.stack(list(ChunkRun(stages, clip))).clamp(0, 1)


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folders", nargs="+", type=Path, metavar="FOLDER")
    parser.add_argument("--frames", type=int, default=6)
    arguments = parser.parse_args()
    print("| | " + " | ".join(folder.name for folder in arguments.folders) + " |")
    print("|---" * (len(arguments.folders) + 1) + "|")
    clips = [read(folder, arguments.frames) for folder in arguments.folders]
    expected = [run(clip, torch.float32, "library") for clip in clips]
    for dtype, kernels in WAYS:
        results = [run(clip, dtype, kernels) for clip in clips]
        pairs = zip(results, expected, strict=True)
        errors = [float((a - b).square().mean()) for a, b in pairs]
        row = " | ".join(f"{-10 * np.log10(error):.1f} dB" for error in errors)
        print(f"| {str(dtype)[6:]}, {kernels} | {row} |")


if __name__ == "__main__":
    main()
