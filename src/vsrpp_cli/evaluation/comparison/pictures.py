"""Encodes pictures as image files."""

from pathlib import Path

import numpy as np

from vsrpp_cli.errors import UsageError
from vsrpp_cli.media.images.format_table import image_row
from vsrpp_cli.media.images.pixels import (
    ImageEncoder,
    encoder_format,
    rgb_to_image_frame,
)
from vsrpp_cli.media.suffixes import IMAGE_SUFFIXES
from vsrpp_cli.metrics import Picture


def image_format(path: Path) -> str:
    """Return the image format that the suffix of `path` names; UsageError if it is none."""
    if path.suffix.lower() not in IMAGE_SUFFIXES:
        raise UsageError(f"{path}: the name must end in one of {', '.join(IMAGE_SUFFIXES)}")
    return IMAGE_SUFFIXES[path.suffix.lower()]


def encoded(picture: Picture, kind: str, options: dict[str, str] | None = None) -> bytes:
    """Return `picture` (3, H, W), RGB, 8 bits, as an image file.

    Args:
        picture: RGB, 0 ... 255.
        kind: `png`, `jpeg`, `tiff`, `bmp` or `webp`.
        options: of the encoder; None for those that keep as much as the format can.

    Raises:
        EncoderError: the encoder refuses the picture, e.g. its size.
    """
    height, width = picture.shape[-2:]
    pix_fmt = encoder_format(kind, bit_depth=8, gray=False, alpha=False)
    row = image_row(kind)
    options = dict(row.encoder_options) if options is None else options
    encoder = ImageEncoder(row.encoder, pix_fmt, (width, height), options)
    rgb = picture.astype(np.float32) / np.float32(255)
    return encoder.encode(rgb_to_image_frame(rgb, None, pix_fmt))


def write_picture(path: Path, picture: Picture) -> None:
    """Write `picture` (3, H, W), RGB, 8 bits, in the format of its suffix; create folders.

    Raises:
        UsageError: the suffix names no image format.
        EncoderError: the encoder refuses the picture.
        OSError: the file cannot be written.
    """
    data = encoded(picture, image_format(path))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
