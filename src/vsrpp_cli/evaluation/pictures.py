"""Frames as PNG files."""

from pathlib import Path

import numpy as np

from vsrpp_cli.media.images.pixels import ImageEncoder, rgb_to_image_frame
from vsrpp_cli.metrics import Picture


def write_png(path: Path, picture: Picture) -> None:
    """Write `picture` (3, H, W), RGB, 8 bits; folders above `path` are made.

    Raises:
        OSError: the file cannot be written.
    """
    height, width = picture.shape[-2:]
    encoder = ImageEncoder("png", "rgb24", (width, height), {})
    frame = rgb_to_image_frame(picture.astype(np.float32) / np.float32(255), None, "rgb24")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(encoder.encode(frame))
