"""Reads the headers of image files without decoding them.

A folder of ten thousand frames is checked in this way in a second or two, before any work starts.
Sources: PNG (W3C, third edition), JPEG (ITU-T T.81), TIFF 6.0 and Exif 2.3, BMP (wingdi.h),
WebP (RFC 9649).
"""

import io
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import BinaryIO

from vsrpp_cli.errors import InputError
from vsrpp_cli.media.suffixes import ImageFormat

PRIMARIES = {1: "bt709", 9: "bt2020", 11: "smpte431", 12: "smpte432"}
TRANSFERS = {1: "bt709", 8: "linear", 13: "iec61966-2-1", 16: "smpte2084", 18: "arib-std-b67"}


@dataclass(frozen=True, kw_only=True)
class ImageHeader:
    """The properties of one image file."""

    format: ImageFormat
    """By content, not by name."""
    width: int
    height: int
    """Size in pixels as the picture is shown, after `orientation`."""
    bit_depth: int = 8
    """8 or 16; fewer bits count as 8."""
    gray: bool = False
    alpha: bool = False
    cmyk: bool = False
    """Whether its samples are CMYK; they are converted to RGB without a profile."""
    orientation: int = 1
    """Exif's number, 1 to 8; 5 and above swap width and height."""
    icc: bool = False
    """Whether an ICC profile is embedded."""
    animated: bool = False
    aspect: Fraction = Fraction(1)
    """Width over height of a pixel, from PNG's `pHYs`, interpreted as FFmpeg writes it."""
    primaries: str = "unknown"
    transfer: str = "unknown"
    """FFmpeg's names, if the file states them (PNG's `cICP`, `sRGB`)."""


def read_header(path: Path) -> ImageHeader:
    """Return the header of an image file.

    Raises:
        InputError: the file cannot be read, or is not an image in a supported format.
    """
    try:
        with path.open("rb") as file:
            head = file.read(32)
            for magic, parse in _PARSERS:
                if head.startswith(magic):
                    file.seek(0)
                    return _oriented(parse(file))
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from error
    except (struct.error, IndexError, KeyError, ValueError) as error:
        raise InputError(f"{path}: damaged or unsupported image: {error}") from error
    raise InputError(f"{path}: not a PNG, JPEG, TIFF, BMP or WebP image")


def _oriented(header: ImageHeader) -> ImageHeader:
    if header.width < 1 or header.height < 1:
        raise ValueError(f"its size is {header.width}x{header.height}")
    if header.orientation >= 5:
        return replace(header, width=header.height, height=header.width)
    return header


def _exactly(file: BinaryIO, count: int) -> bytes:
    data = file.read(count)
    if len(data) < count:
        raise ValueError("it ends too early")
    return data


def _png(file: BinaryIO) -> ImageHeader:
    file.seek(8)
    found: dict[bytes, bytes] = {}
    while True:
        length, kind = struct.unpack(">I4s", _exactly(file, 8))
        if kind in (b"IDAT", b"IEND"):
            break
        if kind in (b"IHDR", b"cICP", b"eXIf", b"pHYs"):
            found[kind] = _exactly(file, length)
            file.seek(4, 1)
        else:
            found[kind] = b""
            file.seek(length + 4, 1)
    width, height, depth, color = struct.unpack(">IIBB", found[b"IHDR"][:10])
    srgb = (1, 13) if b"sRGB" in found else (0, 0)
    primaries, transfer = [*found.get(b"cICP", b""), *srgb][:2]
    across, down = struct.unpack(">II", found.get(b"pHYs", b"")[:8] or bytes(8))
    return ImageHeader(
        format="png",
        aspect=Fraction(across, down) if across and down else Fraction(1),
        width=width,
        height=height,
        bit_depth=16 if depth == 16 else 8,
        gray=color in (0, 4),
        alpha=color in (4, 6) or b"tRNS" in found,
        orientation=_exif_orientation(found.get(b"eXIf", b"")),
        icc=b"iCCP" in found,
        animated=b"acTL" in found,
        primaries=PRIMARIES.get(primaries, "unknown"),
        transfer=TRANSFERS.get(transfer, "unknown"),
    )


def _jpeg(file: BinaryIO) -> ImageHeader:
    file.seek(2)
    orientation, icc = 1, False
    while True:
        marker, length = _jpeg_marker(file)
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            depth, height, width, components = struct.unpack(">BHHB", _exactly(file, 6))
            if depth != 8:
                raise ValueError(f"{depth}-bit JPEG")
            break
        body = _exactly(file, length)
        if marker == 0xE1 and body.startswith(b"Exif\0\0"):
            orientation = _exif_orientation(body[6:])
        icc = icc or (marker == 0xE2 and body.startswith(b"ICC_PROFILE\0"))
    return ImageHeader(
        format="jpeg",
        width=width,
        height=height,
        gray=components == 1,
        orientation=orientation,
        icc=icc,
    )


def _jpeg_marker(file: BinaryIO) -> tuple[int, int]:
    """Return the next marker with a body, and the length of the body in bytes."""
    while True:
        if _exactly(file, 1) != b"\xff":
            raise ValueError("no JPEG marker where one belongs")
        marker = 0xFF
        while marker == 0xFF:  # fill bytes
            marker = _exactly(file, 1)[0]
        if marker == 0xDA:
            raise ValueError("image data before the image's size")
        if marker != 0x01 and not 0xD0 <= marker <= 0xD8:
            return marker, int.from_bytes(_exactly(file, 2), "big") - 2


def _bmp(file: BinaryIO) -> ImageHeader:
    head = file.read(70)
    header_size = int.from_bytes(head[14:18], "little")
    if header_size == 12:
        width, height, _, bits = struct.unpack("<HHHH", head[18:26])
    else:
        width, height, _, bits = struct.unpack("<iiHH", head[18:30])
    masks = header_size >= 56 and head[66:70] != b"\0\0\0\0"
    return ImageHeader(format="bmp", width=width, height=abs(height), alpha=bits == 32 and masks)


def _webp(file: BinaryIO) -> ImageHeader:
    head = _exactly(file, 30)
    kind = head[12:16]
    if head[8:12] != b"WEBP":
        raise ValueError("RIFF, but not WebP")
    if kind == b"VP8X":
        return _webp_extended(file, head)
    if kind == b"VP8L":
        bits = int.from_bytes(head[21:25], "little")
        width, height, alpha = (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1, bool(bits >> 28 & 1)
    elif kind == b"VP8 ":
        width, height = (value & 0x3FFF for value in struct.unpack("<HH", head[26:30]))
        alpha = False
    else:
        raise ValueError(f"unknown WebP chunk {kind!r}")
    return ImageHeader(format="webp", width=width, height=height, alpha=alpha)


def _webp_extended(file: BinaryIO, head: bytes) -> ImageHeader:
    flags = head[20]
    if flags & 0x02:
        raise ValueError("animated WebP, which FFmpeg cannot decode")
    exif = b""
    while flags & 0x08 and len(chunk := file.read(8)) == 8:
        size = int.from_bytes(chunk[4:], "little")
        if chunk[:4] == b"EXIF":
            exif = file.read(size)
            break
        file.seek(size + size % 2, 1)
    return ImageHeader(
        format="webp",
        width=int.from_bytes(head[24:27], "little") + 1,
        height=int.from_bytes(head[27:30], "little") + 1,
        alpha=bool(flags & 0x10),
        icc=bool(flags & 0x20),
        orientation=_exif_orientation(exif.removeprefix(b"Exif\0\0")),
    )


def _tiff(file: BinaryIO) -> ImageHeader:
    tags = dict(_tiff_tags(file.read(8), file))
    compression = tags.get(259, 1)
    if compression in (6, 7):
        raise ValueError("TIFF with JPEG compression")
    if tags.get(339, 1) == 3:
        raise ValueError("TIFF of floating-point numbers")
    samples, cmyk = tags.get(277, 1), tags.get(262) == 5
    if cmyk and (samples != 4 or tags.get(332, 1) != 1 or tags.get(284, 1) != 1):
        raise ValueError("TIFF of inks other than CMYK, with transparency or in separate planes")
    colors = {2: 3, 5: 4, 6: 3}.get(tags.get(262, 1), 1)
    return ImageHeader(
        format="tiff",
        width=tags[256],
        height=tags[257],
        bit_depth=16 if tags.get(258, 1) == 16 else 8,
        gray=tags.get(262) in (0, 1),
        alpha=samples > colors,
        cmyk=cmyk,
        orientation=tags.get(274, 1) if 1 <= tags.get(274, 1) <= 8 else 1,
        icc=34675 in tags,
    )


def _tiff_tags(start: bytes, file: BinaryIO) -> Iterator[tuple[int, int]]:
    """Yield tag and first value of the first directory of a TIFF file that began with `start`."""
    order = {b"II": "<", b"MM": ">"}[start[:2]]
    magic, offset = struct.unpack(order + "HI", start[2:8])
    if magic != 42:
        raise ValueError("BigTIFF")
    file.seek(offset)
    (count,) = struct.unpack(order + "H", _exactly(file, 2))
    entries = [_exactly(file, 12) for _ in range(count)]
    for entry in entries:
        tag, kind, values = struct.unpack(order + "HHI", entry[:8])
        size = {1: "B", 3: "H", 4: "I"}.get(kind)
        if size is None:
            yield tag, 0
        elif struct.calcsize(size) * values <= 4:
            yield tag, struct.unpack_from(order + size, entry, 8)[0]
        else:
            file.seek(struct.unpack(order + "I", entry[8:])[0])
            yield tag, struct.unpack(order + size, _exactly(file, struct.calcsize(size)))[0]


def _exif_orientation(exif: bytes) -> int:
    """Return Exif's orientation; 1 if it is missing or invalid."""
    try:
        found = dict(_tiff_tags(exif[:8], io.BytesIO(exif))).get(274, 1)
    except (struct.error, KeyError, ValueError):
        return 1
    return found if 1 <= found <= 8 else 1


_PARSERS: tuple[tuple[bytes, Callable[[BinaryIO], ImageHeader]], ...] = (
    (b"\x89PNG\r\n\x1a\n", _png),
    (b"\xff\xd8\xff", _jpeg),
    (b"II*\0", _tiff),
    (b"MM\0*", _tiff),
    (b"BM", _bmp),
    (b"RIFF", _webp),
)
