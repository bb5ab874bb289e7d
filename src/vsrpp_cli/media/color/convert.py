"""Converts decoded pictures to RGB and back, exactly as ITU-T H.273 defines it.

FFmpeg's scaler has errors of up to 4 code values at 10 bits and reads untagged video as BT.601.
Here it only unpacks packed layouts into planes, which changes no value. Names of matrices,
primaries and transfer functions are FFmpeg's.
"""

import re
import threading
from functools import cache
from typing import cast

import numpy as np
from av.video.format import VideoFormat
from av.video.frame import VideoFrame
from av.video.plane import VideoPlane
from av.video.reformatter import Colorspace, Interpolation, VideoReformatter
from numpy.typing import NDArray

from vsrpp_cli.errors import InputError, UsageError
from vsrpp_cli.media.color import codepoints, pixels
from vsrpp_cli.media.types import ColorSpec, Rgb, white

LUMA = {
    "bt709": (0.2126, 0.0722),
    "fcc": (0.30, 0.11),
    "bt470bg": (0.299, 0.114),
    "smpte170m": (0.299, 0.114),
    "smpte240m": (0.212, 0.087),
    "bt2020nc": (0.2627, 0.0593),
}
"""Kr and Kb of H.273 table 4, for the matrices that are defined by them."""

ORIGINS = {
    "unspecified": (0.5, 0.0),
    "left": (0.5, 0.0),
    "center": (0.5, 0.5),
    "topleft": (0.0, 0.0),
    "top": (0.0, 0.5),
    "bottomleft": (1.0, 0.0),
    "bottom": (1.0, 0.5),
}
"""Vertical and horizontal position of the first chroma sample of 4:2:0, in luma samples."""

UNPACKED = {
    "nv12": "yuv420p",
    "nv21": "yuv420p",
    "nv16": "yuv422p",
    "nv24": "yuv444p",
    "nv42": "yuv444p",
    "p010le": "yuv420p10le",
    "p012le": "yuv420p12le",
    "p016le": "yuv420p16le",
    "p210le": "yuv422p10le",
    "p212le": "yuv422p12le",
    "p216le": "yuv422p16le",
    "p410le": "yuv444p10le",
    "p412le": "yuv444p12le",
    "p416le": "yuv444p16le",
    "yuyv422": "yuv422p",
    "yvyu422": "yuv422p",
    "uyvy422": "yuv422p",
    "y210le": "yuv422p10le",
    "y212le": "yuv422p12le",
    "uyyvyy411": "yuv411p",
    "vuya": "yuva444p",
    "ayuv": "yuva444p",
    "vuyx": "yuv444p",
    "vyu444": "yuv444p",
    "xv30le": "yuv444p10le",
    "xv36le": "yuv444p12le",
    "ayuv64le": "yuva444p16le",
}
"""Packed and half-planar layouts, and the planar layout with the same code values."""

_PLANAR = re.compile(r"(yuva?|yuvj|gbra?|gray)(p|\d{3}p|)(9|10|12|14|16)?(le)?")
_BAYER = (
    (0, 32, 8, 40, 2, 34, 10, 42),
    (48, 16, 56, 24, 50, 18, 58, 26),
    (12, 44, 4, 36, 14, 46, 6, 38),
    (60, 28, 52, 20, 62, 30, 54, 22),
    (3, 35, 11, 43, 1, 33, 9, 41),
    (51, 19, 59, 27, 49, 17, 57, 25),
    (15, 47, 7, 39, 13, 45, 5, 37),
    (63, 31, 55, 23, 61, 29, 53, 21),
)
_NO_DITHER = np.zeros((1, 1), np.float32)
_DITHER = ((np.array(_BAYER) + 0.5) / 64 - 0.5).astype(np.float32)
_local = threading.local()


def frame_to_rgb(frame: VideoFrame, spec: ColorSpec) -> NDArray[np.float32]:
    """Return a decoded picture as RGB, shape (3, H, W), C-contiguous, in [0, 1].

    Args:
        frame: a picture in any software pixel format.
        spec: the meaning of its code values; the frame's own tags are ignored.

    Raises:
        InputError: the matrix or the pixel format cannot be converted.
    """
    flat = planar(frame)
    kind = flat.format
    bits = kind.components[0].bits
    out = np.empty((3, frame.height, frame.width), np.float32)
    if kind.is_rgb:
        for channel, index in enumerate((2, 0, 1)):  # planes are G, B, R
            _unit(_plane(flat.planes[index], bits), bits, spec, out[channel])
    elif kind.name.startswith("gray"):
        _unit(_plane(flat.planes[0], bits), bits, spec, out[0])
        out[1:] = out[0]
    else:
        to_rgb = np.linalg.inv(_matrix(spec.matrix)).astype(np.float32)
        scale = _decode_scale(bits, full=spec.full_range)
        steps, origin = _grid(kind, spec.siting)
        pixels.decode_planes(_planes(flat), to_rgb, scale, steps, origin, out)
    return out


def frame_to_alpha(frame: VideoFrame) -> NDArray[np.float32] | None:
    """Return the alpha of a decoded picture, shape (H, W) in [0, 1]; None where it has none."""
    if not has_alpha(frame.format):
        return None
    flat = planar(frame)
    bits = flat.format.components[-1].bits
    values = _plane(flat.planes[-1], bits)[:, : frame.width]
    return values.astype(np.float32) / np.float32((1 << bits) - 1)


def rgb_to_frame(
    rgb: Rgb,
    pix_fmt: str,
    spec: ColorSpec,
    alpha: NDArray[np.float32] | None = None,
    *,
    dither: bool = False,
) -> VideoFrame:
    """Return an RGB picture as a frame for an encoder, tagged with `spec`.

    Args:
        rgb: shape (3, H, W), floats in [0, 1] or integers.
        pix_fmt: a planar YUV, RGB or grey format, or a layout that unpacks to one, like `nv12`.
        spec: the matrix, range and siting to write it with.
        alpha: shape (H, W) in [0, 1]; None for opaque.
        dither: dither with an ordered 8x8 pattern, for reductions of depth.

    Raises:
        UsageError: the pixel format cannot be written.
        InputError: the matrix cannot be converted.
    """
    kind = np.uint16 if rgb.dtype == np.uint16 else np.float32
    rgb = cast("Rgb", np.ascontiguousarray(rgb, dtype=kind))
    height, width = rgb.shape[1:]
    name = _planar_name(VideoFormat(pix_fmt))
    if name is None:
        raise UsageError(f"pixel format {pix_fmt!r}: cannot be written, try yuv420p or yuv420p10le")
    frame = VideoFrame(width, height, name)
    pattern = _DITHER if dither else _NO_DITHER
    if frame.format.is_rgb:
        for channel, index in enumerate((2, 0, 1)):
            _store(rgb[channel], frame, index, spec, pattern)
    elif name.startswith("gray"):
        red, blue = LUMA.get(spec.matrix, LUMA["bt709"])
        weights = (np.array((red, 1 - red - blue, blue)) / white(rgb)).astype(np.float32)
        _store(np.tensordot(weights, rgb, 1).astype(np.float32), frame, 0, spec, pattern)
    else:
        _store_yuv(rgb, frame, spec, pattern)
    if has_alpha(frame.format):
        opaque = np.ones((height, width), np.float32)
        full = ColorSpec(matrix="gbr", full_range=True)
        _store(opaque if alpha is None else alpha, frame, len(frame.planes) - 1, full, _NO_DITHER)
    if name != pix_fmt:
        frame = _reformat(frame, pix_fmt)
    tag(frame, spec)
    return frame


def tag(frame: VideoFrame, spec: ColorSpec) -> None:
    """Write the four colour tags of `spec` on a frame."""
    frame.color_primaries, frame.color_trc, frame.colorspace, frame.color_range = code_points(spec)


def code_points(spec: ColorSpec) -> tuple[int, int, int, int]:
    """Return the H.273 codes of primaries, transfer and matrix, and FFmpeg's 1 (tv) or 2 (pc)."""
    return (
        codepoints.PRIMARIES[spec.primaries],
        codepoints.TRANSFERS[spec.transfer],
        codepoints.MATRICES[spec.matrix],
        codepoints.FULL if spec.full_range else codepoints.LIMITED,
    )


def has_alpha(kind: VideoFormat) -> bool:
    """Return whether pictures of this format have an alpha channel (a palette counts as one)."""
    return kind.has_palette or any(part.is_alpha for part in kind.components)


def supported(kind: VideoFormat) -> bool:
    """Return whether pictures of this format can be converted."""
    return _planar_name(kind) is not None


def is_planar_yuv(kind: VideoFormat) -> bool:
    """Return whether pictures of this format have planes of Y, Cb and Cr in this byte order."""
    return kind.name.startswith("yuv") and _PLANAR.fullmatch(kind.name) is not None


def luma(frame: VideoFrame) -> pixels.Plane:
    """Return the first plane of a planar picture, shape (H, >= W), without copying it."""
    return _plane(planar(frame).planes[0], frame.format.components[0].bits)


def supported_matrix(name: str) -> bool:
    """Return whether pictures of this matrix can be converted."""
    return name in LUMA or name in ("gbr", "ycgco")


@cache
def _matrix(name: str) -> NDArray[np.float64]:
    """Return the 3x3 matrix from R'G'B' in [0, 1] to Y' and chroma in [-0.5, 0.5]."""
    if name == "ycgco":
        return np.array([[0.25, 0.5, 0.25], [-0.25, 0.5, -0.25], [0.5, 0.0, -0.5]])
    if name not in LUMA:
        raise InputError(
            f"colour matrix {name!r} is not supported: convert the video to bt709 or bt2020nc first"
        )
    red, blue = LUMA[name]
    luma = np.array([red, 1 - red - blue, blue])
    return np.stack(
        [
            luma,
            (np.array([0, 0, 1]) - luma) / (2 * (1 - blue)),
            (np.array([1, 0, 0]) - luma) / (2 * (1 - red)),
        ]
    )


def _levels(bits: int, *, full: bool) -> tuple[float, float, float, float, float]:
    """Return black, white - black, zero and extent of chroma, and the peak (H.273 section 8.3)."""
    peak = (1 << bits) - 1
    if full:
        return 0.0, float(peak), float(1 << (bits - 1)), float(peak), float(peak)
    unit = 1 << (bits - 8)
    return 16.0 * unit, 219.0 * unit, 128.0 * unit, 224.0 * unit, float(peak)


def _decode_scale(bits: int, *, full: bool) -> NDArray[np.float32]:
    black, extent, zero, chroma, _ = _levels(bits, full=full)
    return np.array([black, 1 / extent, zero, 1 / chroma], np.float32)


def _grid(kind: VideoFormat, siting: str) -> tuple[tuple[int, int], tuple[float, float]]:
    """Return subsampling and the first chroma sample's position, vertical and horizontal."""
    whole = VideoFormat(kind.name, 64, 64)
    steps = 64 // whole.chroma_height(), 64 // whole.chroma_width()
    if steps[0] == 4:  # yuv410p
        return steps, (1.5, 1.5)
    vertical, horizontal = ORIGINS.get(siting, ORIGINS["unspecified"])
    return steps, (
        vertical if steps[0] == 2 else 0.0,
        # 4:1:1 exists with samples on the first luma sample only (DV, MPEG-2's way).
        horizontal if steps[1] == 2 else 0.0,
    )


def _area(step: int, origin: float) -> tuple[int, NDArray[np.float32]]:
    """Return first sample and weights of the mean over `step` samples centred on `origin`."""
    low, high = origin - step / 2, origin + step / 2
    first, last = int(np.floor(low + 0.5)), int(np.ceil(high - 0.5))
    index = np.arange(first, last + 1)
    covered = np.minimum(index + 0.5, high) - np.maximum(index - 0.5, low)
    return first, (covered / step).astype(np.float32)


def _planar_name(kind: VideoFormat) -> str | None:
    """Return the planar little-endian format of the same values; None if there is none."""
    name = kind.name
    little = name.removesuffix("be") + "le" if name.endswith("be") else name
    if little in UNPACKED:
        return UNPACKED[little]
    if _PLANAR.fullmatch(little):
        return little
    if "f16" in name or "f32" in name or "32" in name or kind.is_bayer or name.startswith("xyz"):
        return None
    if name in ("monow", "monob"):
        return "gray"
    deep = max((part.bits for part in kind.components), default=8)
    if name.startswith("ya"):
        return "gbrap" if deep == 8 else "gbrap16le"
    if not kind.is_rgb and not kind.has_palette:
        return None
    suffix = "" if deep <= 8 else f"{deep}le"
    return f"gbra{'p'}{suffix}" if has_alpha(kind) else f"gbrp{suffix}"


def planar(frame: VideoFrame) -> VideoFrame:
    """Return the picture in a planar format; the frame itself if its format is planar.

    Raises:
        InputError: its pixel format cannot be converted.
    """
    kind = frame.format
    name = _planar_name(kind)
    if name is None:
        raise InputError(f"pixel format {kind.name!r} is not supported")
    if name == kind.name and all(plane.line_size > 0 for plane in frame.planes):
        return frame
    if frame.format.has_palette:
        frame = _reformat(frame, "rgba")
    elif kind.is_rgb and kind.components[0].bits < 8:
        frame = _reformat(frame, "rgb24")  # converted to planes directly, white would become 248
    return _reformat(frame, name)


def _reformat(frame: VideoFrame, name: str) -> VideoFrame:
    """Rearrange a picture without changing values: same range, no colour matrix."""
    if not hasattr(_local, "reformatter"):
        _local.reformatter = VideoReformatter()
    flags = Interpolation.POINT | Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INT
    result: VideoFrame = _local.reformatter.reformat(
        frame,
        format=name,
        interpolation=flags | Interpolation.FULL_CHR_H_INP,
        src_colorspace=Colorspace.ITU709,
        dst_colorspace=Colorspace.ITU709,
        src_color_range=2,
        dst_color_range=2,
        threads=1,
    )
    return result


def _plane(plane: VideoPlane, bits: int) -> pixels.Plane:
    """Return a plane as an array of shape (rows, row length with padding), without copying."""
    kind = np.dtype(np.uint8 if bits <= 8 else np.uint16)
    shape = plane.height, plane.line_size // kind.itemsize
    return np.ndarray(shape, kind, memoryview(plane))


def _planes(frame: VideoFrame) -> pixels.Planes:
    bits = frame.format.components[0].bits
    y, u, v = (_plane(plane, bits) for plane in frame.planes[:3])
    return y, u, v


def _unit(values: pixels.Plane, bits: int, spec: ColorSpec, out: NDArray[np.float32]) -> None:
    """Write a plane of R, G, B or grey values to `out`, shape (H, W), clipped to [0, 1]."""
    black, extent, *_ = _levels(bits, full=spec.full_range)
    np.subtract(values[:, : out.shape[1]], np.float32(black), out=out, dtype=np.float32)
    out *= np.float32(1 / extent)
    np.clip(out, 0, 1, out=out)


def _store(
    values: Rgb,
    frame: VideoFrame,
    index: int,
    spec: ColorSpec,
    dither: NDArray[np.float32],
) -> None:
    """Write values, shape (H, W), to a plane of R, G, B, grey or alpha."""
    bits = frame.format.components[0].bits
    black, extent, _, _, peak = _levels(bits, full=spec.full_range)
    height, width = values.shape
    codes: NDArray[np.float32] = values * np.float32(extent / white(values))
    codes += np.float32(black + 0.5)
    codes += np.tile(dither, (-(-height // dither.shape[0]), -(-width // dither.shape[1])))[
        :height, :width
    ]
    np.clip(np.nan_to_num(codes, copy=False), 0, peak, out=codes)
    _plane(frame.planes[index], bits)[:, :width] = codes.astype(np.uint16)


def _store_yuv(rgb: Rgb, frame: VideoFrame, spec: ColorSpec, dither: NDArray[np.float32]) -> None:
    """Fill the Y, U and V planes of a frame."""
    kind = frame.format
    bits = kind.components[0].bits
    steps, origin = _grid(kind, spec.siting)
    down = _area(steps[0], origin[0]), _area(steps[1], origin[1])
    scale = np.array(_levels(bits, full=spec.full_range), np.float32)
    matrix = (_matrix(spec.matrix) / white(rgb)).astype(np.float32)
    pixels.encode_planes(rgb, matrix, scale, steps, down, dither, _planes(frame))
