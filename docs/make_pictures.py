"""Make docs/images/before-after.png from the example clip and the embedded model.

    python docs/make_pictures.py

Each row is one crop of the same frame, enlarged twice for the page: bicubic on the left, the
result of `vsrpp upscale` on the right.
"""

import tempfile
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from vsrpp_cli import UpscaleOptions, upscale
from vsrpp_cli.evaluation.compare import GAP, Crop, Inputs, side_by_side

ROOT = Path(__file__).parents[1]
CLIP = ROOT / "examples/chickens.mp4"
TARGET = ROOT / "docs/images/before-after.png"

FRAMES = 9
FRAME = 4
"""In the middle of those that are upscaled, with context on both sides."""
CROPS = (Crop(248, 150, 320, 120), Crop(248, 150, 555, 310))
LABELS = ("bicubic", "vsrpp, embedded model")
HEAD = 30


def main() -> None:
    """Upscale a few frames and lay the crops out."""
    with tempfile.TemporaryDirectory() as folder:
        large = Path(folder) / "large"
        upscale(CLIP, large, UpscaleOptions(model="compact", frames=FRAMES))
        inputs = Inputs([CLIP, large])
        rows = [side_by_side(inputs, FRAME, crop) for crop in CROPS]
    white = np.full((3, GAP, rows[0].shape[2]), 255, np.uint8)
    picture = np.concatenate([rows[0], white, rows[1]], axis=1).transpose(1, 2, 0)
    page = Image.new("RGB", (picture.shape[1], picture.shape[0] + HEAD), "white")
    page.paste(Image.fromarray(picture), (0, HEAD))
    draw = ImageDraw.Draw(page)
    font = ImageFont.load_default(size=20)
    for panel, label in enumerate(LABELS):
        draw.text((panel * (page.width + GAP) // 2 + 2, 2), label, "black", font)
    TARGET.parent.mkdir(exist_ok=True)
    page.save(TARGET, optimize=True)


if __name__ == "__main__":
    main()
