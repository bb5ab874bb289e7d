"""A table of video coding formats, independent of encoders: one row each."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class CodingRow:
    """One format."""

    coding: str
    """FFmpeg's name."""
    title: str
    """Its usual name, for messages."""
    tells_quantiser: bool = False
    """Whether FFmpeg's decoder exports the quantiser of each block."""
    scale_of_quantiser: str = " on H.264's scale"
    """Added to quantisers in messages; these are on H.264's scale."""
    shape_in_stream: bool = False
    """Whether the stream itself states the shape of pixels exactly; in others only headers do."""
    alpha_beside: bool = False
    """Whether transparency is coded separately, marked by a tag; FFmpeg's decoder ignores it."""
    iso_muxer: str = "mp4"
    """The muxer of MP4's family that can hold it."""
    has_levels: bool = False
    """Whether hardware decoders are limited to a level, see `h264_levels`."""
    hardware_pix_fmts: tuple[str, ...] = ()
    """The only pixel formats that hardware decodes; empty for no such limit."""
    why_for_depth: str = ""
    """The reason for its choice for more than 8 bits, for messages."""


ROWS = (
    CodingRow(
        coding="h264",
        title="H.264",
        tells_quantiser=True,
        scale_of_quantiser="",
        shape_in_stream=True,
        has_levels=True,
        hardware_pix_fmts=("yuv420p", "nv12"),
    ),
    CodingRow(
        coding="hevc",
        title="HEVC",
        shape_in_stream=True,
        why_for_depth="HEVC Main 10, which players decode in hardware, unlike 10-bit H.264",
    ),
    CodingRow(coding="av1", title="AV1"),
    CodingRow(coding="vp9", title="VP9", tells_quantiser=True, alpha_beside=True),
    CodingRow(coding="prores", title="ProRes", iso_muxer="mov"),
    CodingRow(coding="ffv1", title="FFV1"),
    CodingRow(coding="mpeg1video", title="MPEG-1", tells_quantiser=True),
    CodingRow(coding="mpeg2video", title="MPEG-2", tells_quantiser=True),
    CodingRow(coding="mpeg4", title="MPEG-4 Part 2", tells_quantiser=True),
    CodingRow(coding="msmpeg4v3", title="MSMPEG4V3", tells_quantiser=True),
    CodingRow(coding="h263", title="H263", tells_quantiser=True),
    CodingRow(coding="flv1", title="FLV1", tells_quantiser=True),
)

_BY_NAME = {row.coding: row for row in ROWS}


def coding_row(coding: str) -> CodingRow:
    """Return the row of a format; a row of defaults if it has none."""
    return _BY_NAME.get(coding) or CodingRow(coding=coding, title=coding.upper())
