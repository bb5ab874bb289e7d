"""Make docs/images/before-after.png from the example clip and the embedded model.

    python docs/make_pictures.py

Each row is one crop of the same frame, enlarged twice for the page: bicubic on the left, the
result of `vsrpp upscale` on the right.
"""

import tempfile
from pathlib import Path

import numpy as np

from vsrpp_cli import UpscaleOptions, upscale
from vsrpp_cli.evaluation.comparison.inputs import Crop, Inputs
from vsrpp_cli.evaluation.comparison.panes import GAP, side_by_side
from vsrpp_cli.evaluation.comparison.pictures import write_picture

ROOT = Path(__file__).parents[1]
CLIP = ROOT / "examples/chickens.mp4"
TARGET = ROOT / "docs/images/before-after.png"

FRAMES = 9
FRAME = 4
"""In the middle of those that are upscaled, with context on both sides."""
CROPS = (Crop(62, 38, 80, 30), Crop(62, 38, 138, 77))
LABELS = ("bicubic", "vsrpp, embedded model")


def main() -> None:
    """Upscale a few frames and lay the crops out."""
    with tempfile.TemporaryDirectory() as folder:
        large = Path(folder) / "large"
        upscale(CLIP, large, UpscaleOptions(model="compact", frames=FRAMES))
        inputs = Inputs([CLIP, large], frames=FRAMES)
        rows = [side_by_side(inputs, FRAME, crop, LABELS) for crop in CROPS]
    white = np.full((3, GAP, rows[0].shape[2]), 255, np.uint8)
    write_picture(TARGET, np.concatenate([rows[0], white, rows[1]], axis=1))


if __name__ == "__main__":
    main()
