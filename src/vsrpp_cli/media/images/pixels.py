"""Converts image files to RGB and back, by FFmpeg's codecs.

Code values of 8 and 16 bits are exact. JPEG and lossy WebP are converted by BT.601 with chroma
located in the centre, as JFIF and WebP define it.
"""

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import av.error
import numpy as np

from vsrpp_cli.errors import EncoderError, InputError
from vsrpp_cli.media.color.convert import frame_to_alpha, frame_to_rgb, rgb_to_frame
from vsrpp_cli.media.images.format_table import image_row
from vsrpp_cli.media.images.headers import ImageHeader
from vsrpp_cli.media.types import ASSUMED_RATE, ColorSpec, Rgb, white
from vsrpp_cli.resample import FloatArray

WRITTEN_SPEC = ColorSpec(matrix="gbr", full_range=True)
YCBCR_SPEC = ColorSpec(matrix="smpte170m", full_range=True, siting="center")
"""The colours of JPEG by JFIF; WebP has the limited range instead."""

TAGGED_TRANSFERS = ("iec61966-2-1", "smpte2084", "arib-std-b67", "linear")
"""Transfer functions that are written into image files. Others, such as BT.709, are left out: image
viewers would convert them, which video players do not, so frames would look paler than the video.
"""

LUMA = np.array([0.2126, 0.7152, 0.0722], np.float32)
"""Weights of R, G, B in BT.709 luma, for writing grey."""


def read_image(path: Path, header: ImageHeader) -> tuple[FloatArray, FloatArray | None]:
    """Return the picture as (3, H, W) in [0, 1], and its alpha as (H, W) in [0, 1] or None.

    Raises:
        InputError: the file cannot be decoded, or its size differs from its header.
    """
    row = image_row(header.format)
    codec = av.CodecContext.create(row.decoder, "r")
    codec.options = dict(row.decoder_options)
    try:
        frames = codec.decode(av.Packet(path.read_bytes()))  # type: ignore[attr-defined]
        frames += codec.decode(None)  # type: ignore[attr-defined]
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from error
    except av.error.FFmpegError as error:
        raise InputError(f"{path}: damaged or unsupported image") from error
    if not frames:
        raise InputError(f"{path}: damaged or unsupported image")
    rgb = frame_to_rgb(frames[0], _spec(header, frames[0]))
    key = frame_to_alpha(frames[0]) if header.cmyk else None
    if key is not None:
        # FFmpeg converts CMYK TIFF with 8 bits; with 16 it returns the inks as RGB and alpha.
        rgb = (1 - rgb) * (1 - key)
    rgb = _turn(rgb, header.orientation)
    if rgb.shape[1:] != (header.height, header.width):
        raise InputError(
            f"{path}: decodes to {rgb.shape[2]}x{rgb.shape[1]}, "
            f"its header says {header.width}x{header.height}"
        )
    alpha = frame_to_alpha(frames[0]) if header.alpha else None
    if alpha is not None:
        alpha = np.ascontiguousarray(_turn(alpha, header.orientation))
    return np.ascontiguousarray(rgb), alpha


def _spec(header: ImageHeader, frame: av.VideoFrame) -> ColorSpec:
    if not frame.format.name.startswith("yuv"):
        return WRITTEN_SPEC
    return replace(YCBCR_SPEC, full_range=image_row(header.format).full_range)


def _turn(picture: FloatArray, orientation: int) -> FloatArray:
    """Return `picture` (..., H, W) turned and flipped by Exif's orientation."""
    if orientation >= 5:
        picture = picture.swapaxes(-1, -2)
    flip_x = orientation in (2, 3, 6, 7)
    flip_y = orientation in (3, 4, 7, 8)
    return picture[..., :: -1 if flip_y else 1, :: -1 if flip_x else 1]


def encoder_format(image_format: str, *, bit_depth: int, gray: bool, alpha: bool) -> str:
    """Return the best pixel format of `image_format` for such pictures."""
    row = image_row(image_format)
    layouts = row.deep_layouts if bit_depth > 8 and row.deep_layouts else row.layouts
    return layouts[2 * gray + alpha]


def rgb_to_image_frame(
    rgb: Rgb, alpha: FloatArray | None, pix_fmt: str, spec: ColorSpec = WRITTEN_SPEC
) -> av.VideoFrame:
    """Return RGB (3, H, W), and alpha (H, W) in [0, 1], as a frame for an image encoder.

    Args:
        rgb: is rounded to the nearest code value, and converted to BT.709 luma for grey formats.
        alpha: None for opaque.
        pix_fmt: one that `encoder_format` returns.
        spec: primaries and transfer for the tags of RGB.
    """
    if pix_fmt.startswith("yuv"):
        return rgb_to_frame(rgb, pix_fmt, YCBCR_SPEC)
    if pix_fmt == "ya16be":  # FFmpeg's scaler loses the low bits of grey with alpha
        return _gray_alpha_16(rgb, alpha)
    if spec.transfer not in TAGGED_TRANSFERS:
        spec = replace(spec, primaries="unknown", transfer="unknown")
    return rgb_to_frame(rgb, pix_fmt, spec, alpha)


def _gray_alpha_16(rgb: Rgb, alpha: FloatArray | None) -> av.VideoFrame:
    luma = np.tensordot(LUMA / np.float32(white(rgb)), rgb, 1)
    samples = np.stack([luma, np.ones_like(luma) if alpha is None else alpha], -1)
    codes = (np.clip(samples, 0, 1) * 65535 + 0.5).astype(">u2")
    frame = av.VideoFrame(rgb.shape[2], rgb.shape[1], "ya16be")
    rows = np.zeros((rgb.shape[1], frame.planes[0].line_size), np.uint8)
    rows[:, : 4 * rgb.shape[2]] = codes.reshape(rgb.shape[1], -1).view(np.uint8)
    frame.planes[0].update(rows.tobytes())
    return frame


class ImageEncoder:
    """Encodes pictures of one size and format as image files; for use in one thread.

    Raises:
        EncoderError: the encoder refuses its settings or a picture.
    """

    def __init__(
        self,
        codec: str,
        pix_fmt: str,
        size: tuple[int, int],
        options: dict[str, str],
        *,
        aspect: Fraction = Fraction(1),
    ) -> None:
        context = av.CodecContext.create(codec, "w")
        assert isinstance(context, av.VideoCodecContext)
        self._codec = context
        self._codec.width, self._codec.height = size
        self._codec.pix_fmt = pix_fmt
        self._codec.time_base = 1 / ASSUMED_RATE
        self._codec.thread_count = 1
        self._codec.sample_aspect_ratio = aspect
        self._codec.options = options
        try:
            self._codec.open()
        except (av.error.FFmpegError, ValueError) as error:
            raise EncoderError(
                f"{codec} refuses {pix_fmt} at {size[0]}x{size[1]}: {error}"
            ) from error
        if unknown := sorted(self._codec.options):
            raise EncoderError(f"{codec} has no option {', '.join(unknown)}")

    def encode(self, frame: av.VideoFrame) -> bytes:
        """Return the complete file that holds `frame`."""
        frame.pts = None
        try:
            data = b"".join(bytes(packet) for packet in self._codec.encode(frame))
        except (av.error.FFmpegError, ValueError) as error:
            raise EncoderError(f"{self._codec.name} failed: {error}") from error
        if not data:
            raise EncoderError(f"{self._codec.name} gave no picture")
        return data
