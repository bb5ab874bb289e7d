"""Side data of decoded pictures: rotation, HDR metadata, 3D and 360-degree layouts."""

import struct
from collections.abc import Sequence
from typing import Any

from av.sidedata import sidedata
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from vsrpp_cli.media.types import HdrMetadata, Spherical

IDENTITY = (1 << 16, 0, 0, 0, 1 << 16, 0, 0, 0, 1 << 30)

STEREO_KINDS = {
    1: ("left_right", "right_left"),
    2: ("top_bottom", "bottom_top"),
    3: ("block_lr", "block_rl"),
    4: ("checkerboard_lr", "checkerboard_rl"),
    5: ("quincunx", "quincunx"),
    6: ("row_interleaved_lr", "row_interleaved_rl"),
    7: ("col_interleaved_lr", "col_interleaved_rl"),
}
"""Names by FFmpeg's AVStereo3DType, with the left and with the right eye first: those of Matroska,
spelled as FFmpeg does, and for quincunx, which Matroska lacks, our own."""

MULTIVIEW = "multiview"
"""A stream in which a second view is coded separately (MV-HEVC); only the first is decoded."""

PROJECTIONS = ("equirectangular", "cubemap", "tile", "half", "rectilinear", "fisheye", "immersive")
"""Names, in the order of FFmpeg's AVSphericalProjection."""


def _unnamed(cls: Any, value: object) -> Any:
    """Return an enum member for a kind that PyAV does not know."""
    member = object.__new__(cls)
    member._name_, member._value_ = f"UNKNOWN_{value}", value
    return cls._value2member_map_.setdefault(value, member)


if "_missing_" not in vars(sidedata.Type):
    # PyAV 18 raises ValueError for all side data of a frame if it does not know one kind that its
    # FFmpeg has (EXIF in pictures from phones). PyAV 19 does what is done here.
    setattr(sidedata.Type, "_missing_", classmethod(_unnamed))  # noqa: B010 - mypy refuses it


def side_data(frame: VideoFrame, kind: str) -> bytes:
    """Return a frame's side data of one kind, by FFmpeg's name; empty where it has none."""
    found: Any = frame.side_data
    try:
        return bytes(found[kind])
    except KeyError:
        return b""


def display_matrix(frame: VideoFrame) -> tuple[int, ...] | None:
    """Return the nine numbers of the frame's display matrix; None for none or the identity."""
    data = side_data(frame, "DISPLAYMATRIX")
    if len(data) < 36:
        return None
    matrix = struct.unpack("<9i", data[:36])
    return matrix if matrix != IDENTITY else None


def quarter_turned(matrix: Sequence[int] | None) -> bool:
    """Return whether a display matrix exchanges width and height."""
    return matrix is not None and abs(matrix[1]) > abs(matrix[0])


def hdr_metadata(frame: VideoFrame) -> HdrMetadata | None:
    """Return mastering display and content light level; None where the frame has neither."""
    primaries: tuple[tuple[float, float], ...] = ()
    luminance = cll = fall = None
    if len(mastering := side_data(frame, "MASTERING_DISPLAY_METADATA")) >= 88:
        values = struct.unpack("<22i", mastering[:88])
        numbers = [n / d if d else 0.0 for n, d in zip(values[:20:2], values[1:20:2], strict=True)]
        if values[20]:
            primaries = tuple(zip(numbers[0:8:2], numbers[1:8:2], strict=True))
        if values[21]:
            luminance = numbers[8], numbers[9]
    if len(light := side_data(frame, "CONTENT_LIGHT_LEVEL")) >= 8:
        cll, fall = struct.unpack("<2I", light[:8])
    if not primaries and luminance is None and cll is None:
        return None
    return HdrMetadata(primaries=primaries, luminance=luminance, max_cll=cll, max_fall=fall)


def track_tag(stream: VideoStream, name: str) -> str:
    """Return a tag of a track, by its name in lower case; empty where it has none.

    FFmpeg shows some fields of Matroska's header as tags, and files that it writes repeat these as
    tags in upper case, which then hide the fields.
    """
    return next((v for k, v in stream.metadata.items() if k.lower() == name), "")


def stereo_layout(frame: VideoFrame, stream: VideoStream) -> str:
    """Return the layout of two views in each picture, see `SourceInfo.stereo`; empty for one."""
    told = track_tag(stream, "stereo_mode")  # Matroska also knows anaglyphs
    if told not in ("", "mono"):
        return told
    data = side_data(frame, "STEREO3D")
    if len(data) < 12:
        return ""
    kind, flags, view = struct.unpack("<3i", data[:12])
    if kind in STEREO_KINDS:
        return STEREO_KINDS[kind][flags & 1]
    return MULTIVIEW if kind or view else ""


def spherical_mapping(frame: VideoFrame) -> Spherical | None:
    """Return the mapping of pictures to a sphere around the viewer; None for flat ones."""
    data = side_data(frame, "SPHERICAL")
    if len(data) < 36:
        return None
    projection, yaw, pitch, roll, *bounds, padding = struct.unpack("<4i5I", data[:36])
    known = projection < len(PROJECTIONS)
    return Spherical(
        projection=PROJECTIONS[projection] if known else "unknown",
        rotation=(yaw, pitch, roll),
        bounds=tuple(bounds),
        padding=padding,
    )
