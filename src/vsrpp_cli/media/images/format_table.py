"""A table of image formats: codecs, pixel formats and properties."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from vsrpp_cli.media.suffixes import ImageFormat

Layouts = tuple[str, str, str, str]
"""Pixel formats for colour, colour with transparency, grey, and grey with transparency."""


@dataclass(frozen=True, kw_only=True)
class ImageRow:
    """One image format. Codecs and pixel formats have FFmpeg's names."""

    format: ImageFormat
    suffix: str
    """Suffix of written files."""
    decoder: str
    decoder_options: Mapping[str, str] = field(default_factory=dict)
    encoder: str
    encoder_options: Mapping[str, str] = field(default_factory=dict)
    """Options for the best quality; the user's options are added to them."""
    layouts: Layouts
    """For 8 bits a component."""
    deep_layouts: Layouts | None = None
    """For 16 bits, if the format has them; such formats also have grey."""
    alpha: bool = True
    """Whether it holds transparency."""
    full_range: bool = True
    """Whether pictures in YCbCr use the full range."""
    lossless: bool = False
    """Whether all files of this format are lossless."""
    bits_per_pixel: float = 0.15
    """Of upscaled natural pictures, an upper estimate."""


ROWS = (
    ImageRow(
        format="png",
        suffix=".png",
        decoder="png",
        encoder="png",
        encoder_options={"compression_level": "4", "pred": "mixed"},
        layouts=("rgb24", "rgba", "gray", "ya8"),
        deep_layouts=("rgb48be", "rgba64be", "gray16be", "ya16be"),
        lossless=True,
        bits_per_pixel=14.0,
    ),
    ImageRow(
        format="jpeg",
        suffix=".jpg",
        decoder="mjpeg",
        # Without this option a truncated JPEG is accepted; the other decoders refuse it.
        decoder_options={"err_detect": "explode"},
        encoder="mjpeg",
        # Best quality: quantiser 1, no chroma subsampling.
        encoder_options={"qmin": "1", "qmax": "1", "flags": "+qscale", "global_quality": "118"},
        layouts=("yuvj444p",) * 4,
        alpha=False,
    ),
    ImageRow(
        format="tiff",
        suffix=".tif",
        decoder="tiff",
        encoder="tiff",
        encoder_options={"compression_algo": "deflate"},
        layouts=("rgb24", "rgba", "gray", "ya8"),
        deep_layouts=("rgb48le", "rgba64le", "gray16le", "rgba64le"),
        lossless=True,
    ),
    ImageRow(
        format="bmp",
        suffix=".bmp",
        decoder="bmp",
        encoder="bmp",
        layouts=("bgr24", "bgra", "bgr24", "bgra"),
        lossless=True,
    ),
    ImageRow(
        format="webp",
        suffix=".webp",
        decoder="webp",
        encoder="libwebp",
        encoder_options={"lossless": "1", "quality": "60"},
        layouts=("bgra",) * 4,
        full_range=False,
    ),
)

_BY_FORMAT: dict[str, ImageRow] = {row.format: row for row in ROWS}


def image_row(name: str) -> ImageRow:
    """Return the row of an image format; `name` is one of `IMAGE_SUFFIXES`' values."""
    return _BY_FORMAT[name]
