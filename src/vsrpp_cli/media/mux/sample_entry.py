"""Boxes of an MP4 track's sample entry that PyAV cannot write: HDR, 3D and 360-degree metadata.

PyAV cannot set the side data of a stream, but copies it from a template stream. So the boxes are
inserted into a small file in memory, whose stream then is the template. Boxes: ISO/IEC 14496-12 for
`mdcv` and `clli`, Google's "Spherical Video V2" for `st3d` and `sv3d`.
"""

import struct
from pathlib import Path

from vsrpp_cli.media.color.hdr import iso_boxes
from vsrpp_cli.media.types import EncodeSettings, Spherical

STEREO_CODES = {"top_bottom": 1, "left_right": 2}
"""Stereo modes of `st3d` by FFmpeg's names; others cannot be written."""

SAMPLE_ENTRY = (b"moov", b"trak", b"mdia", b"minf", b"stbl", b"stsd")
VISUAL_ENTRY = 86
"""Size in bytes of a visual sample entry before its boxes."""


def picture_boxes(settings: EncodeSettings) -> bytes:
    """Return the boxes of HDR metadata, 3D and 360-degree layout; empty if there are none."""
    boxes = iso_boxes(settings.hdr) if settings.hdr is not None else b""
    if settings.stereo in STEREO_CODES:
        boxes += _box(b"st3d", bytes(4), bytes([STEREO_CODES[settings.stereo]]))
    if settings.spherical is not None:
        boxes += _spherical(settings.spherical)
    return boxes


def _spherical(mapping: Spherical) -> bytes:
    if mapping.projection == "cubemap":
        projection = _box(b"cbmp", bytes(4), struct.pack(">II", 0, mapping.padding))
    else:
        left, right, top, bottom = (mapping.bounds[i] for i in (0, 2, 1, 3))
        projection = _box(b"equi", bytes(4), struct.pack(">4I", top, bottom, left, right))
    pose = _box(b"prhd", bytes(4), struct.pack(">3i", *mapping.rotation))
    return _box(b"sv3d", _box(b"svhd", bytes(4), b"vsrpp\0"), _box(b"proj", pose, projection))


def _box(kind: bytes, *content: bytes) -> bytes:
    body = b"".join(content)
    return struct.pack(">I4s", 8 + len(body), kind) + body


def insert_into_sample_entry(file: bytes, boxes: bytes) -> bytes:
    """Return a small MP4 or MOV file, `moov` last, with `boxes` added to its first sample entry."""
    data = bytearray(file)
    chain, position = _first_sample_entry(data)
    (length,) = struct.unpack_from(">I", data, position)
    data[position + length : position + length] = boxes
    for start in (*chain, position):
        (size,) = struct.unpack_from(">I", data, start)
        struct.pack_into(">I", data, start, size + len(boxes))
    return bytes(data)


def hide_multiview(path: Path) -> None:
    """Rename the box `vexu` in the first track of a finished MP4 to `free`, so that it is ignored.

    The file's `moov` must come first. FFmpeg writes `vexu` in addition to `st3d` and declares two
    views that are coded separately. Players that read both prefer it and would look for a second
    view that does not exist.
    """
    with path.open("r+b") as file:
        start = 0
        while len(head := file.read(8)) == 8 and head[4:] != b"moov":
            start += int.from_bytes(head[:4])
            file.seek(start)
        data = bytearray(head + file.read(int.from_bytes(head[:4]) - 8))
        _, entry = _first_sample_entry(data)
        (length,) = struct.unpack_from(">I", data, entry)
        position = entry + VISUAL_ENTRY
        while position < entry + length:
            size, kind = struct.unpack_from(">I4s", data, position)
            if kind == b"vexu":
                file.seek(start + position + 4)
                file.write(b"free")
            position += size


def _first_sample_entry(data: bytearray) -> tuple[list[int], int]:
    """Return the positions of the boxes around the first sample entry, and its own."""
    position, chain = 0, []
    for name in SAMPLE_ENTRY:
        position, header = _find(data, position, name)
        chain.append(position)
        position += header
    return chain, position + 8  # version, flags and the number of entries


def _find(data: bytearray, position: int, name: bytes) -> tuple[int, int]:
    """Return the position of the next box of this name and the size of its header."""
    while True:
        size, kind = struct.unpack_from(">I4s", data, position)
        header = 8
        if size == 1:
            (size,) = struct.unpack_from(">Q", data, position + 8)
            header = 16
        if kind == name:
            return position, header
        position += size
