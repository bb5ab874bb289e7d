"""HDR10 static metadata as parameters of encoders and as boxes of MP4."""

import struct

from vsrpp_cli.media.types import HdrMetadata


def encoder_parameters(syntax: str | None, hdr: HdrMetadata | None) -> dict[str, str]:
    """Return the parameters with which an encoder writes the metadata into the bitstream.

    Args:
        syntax: `x265`, `x264` or `svt`; None for encoders that cannot write it.
        hdr: the metadata; None for none.
    """
    if syntax is None or hdr is None:
        return {}
    names = {
        "x265": ("master-display", "max-cll"),
        "x264": ("mastering-display", "cll"),
        "svt": ("mastering-display", "content-light"),
    }[syntax]
    found = {}
    if hdr.primaries and hdr.luminance is not None:
        found[names[0]] = _mastering(hdr, floating=syntax == "svt")
    if hdr.max_cll is not None or hdr.max_fall is not None:
        found[names[1]] = f"{hdr.max_cll or 0},{hdr.max_fall or 0}"
    return found


def _mastering(hdr: HdrMetadata, *, floating: bool) -> str:
    assert hdr.luminance is not None
    least, most = hdr.luminance
    red, green, blue, white = hdr.primaries
    parts = []
    for name, point in (("G", green), ("B", blue), ("R", red), ("WP", white)):
        x, y = (f"{c:.5f}" if floating else str(round(c * 50000)) for c in point)
        parts.append(f"{name}({x},{y})")
    high, low = (f"{v:.4f}" if floating else str(round(v * 10000)) for v in (most, least))
    return "".join(parts) + f"L({high},{low})"


def iso_boxes(hdr: HdrMetadata) -> bytes:
    """Return the `mdcv` and `clli` boxes (ISO/IEC 14496-12), as far as there are values."""
    boxes = b""
    if hdr.primaries and hdr.luminance is not None:
        red, green, blue, white = hdr.primaries
        points = [round(c * 50000) for point in (green, blue, red, white) for c in point]
        least, most = (round(v * 10000) for v in hdr.luminance)
        boxes += _box(b"mdcv", struct.pack(">8H2I", *points, most, least))
    if hdr.max_cll is not None or hdr.max_fall is not None:
        boxes += _box(b"clli", struct.pack(">2H", hdr.max_cll or 0, hdr.max_fall or 0))
    return boxes


def _box(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I4s", 8 + len(content), kind) + content
