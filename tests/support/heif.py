"""Small HEIC and AVIF files: coded pictures put together into items (ISO/IEC 23008-12)."""

import io
import struct
from dataclasses import dataclass
from fractions import Fraction

import av
import numpy as np

from vsrpp_cli.media.encode.codec import _ordinary_priority

X265 = "keyint=1:log-level=none"


@dataclass
class Item:
    """A coded picture or something derived from pictures, with its properties."""

    kind: bytes
    data: bytes
    properties: tuple[bytes, ...] = ()


def box(kind, *content):
    data = b"".join(content)
    return struct.pack(">I4s", 8 + len(data), kind) + data


def full_box(kind, version, flags, *content):
    return box(kind, struct.pack(">I", version << 24 | flags), *content)


def turned(quarters):
    """Return the property that turns a picture so many quarters counter-clockwise."""
    return box(b"irot", bytes([quarters]))


def mirrored(axis):
    """Return the property that flips a picture: 0 upside down, 1 left to right."""
    return box(b"imir", bytes([axis]))


def auxiliary(urn="urn:mpeg:mpegB:cicp:systems:auxiliary:alpha"):
    """Return the property by which an item is alpha, or something else, of another."""
    return full_box(b"auxC", 0, 0, urn.encode() + b"\0")


def _as_mp4(matroska):
    """Return the same packets as MP4, whose muxer takes x265's headers from here reliably."""
    memory = io.BytesIO()
    matroska.seek(0)
    with av.open(matroska) as source, av.open(memory, "w", format="mp4") as target:
        stream = target.add_stream_from_template(source.streams.video[0], opaque=True)
        for packet in source.demux(video=0):
            if packet.size:
                packet.stream = stream
                target.mux(packet)
    return memory


def coded(rgb, codec="libx265", pix_fmt="yuv444p"):
    """Return an item that holds a picture (H, W, 3), uint8."""
    file = io.BytesIO()
    height, width = rgb.shape[:2]
    options = {"x265-params": X265} if codec == "libx265" else {"preset": "8"}
    # SVT-AV1 makes the thread that opens it a real-time one.
    with _ordinary_priority(), av.open(file, "w", format="matroska") as container:
        stream = container.add_stream(codec, rate=1, options=options | {"crf": "4"})
        stream.width, stream.height, stream.pix_fmt = width, height, pix_fmt
        stream.time_base = Fraction(1)
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(rgb), format="rgb24")
        container.mux(stream.encode(frame))
        container.mux(stream.encode())
    file = _as_mp4(file)
    kind, setup = {"libx265": (b"hvc1", b"hvcC"), "libsvtav1": (b"av01", b"av1C")}[codec]
    whole = file.getvalue()
    at = whole.index(setup) - 4
    (length,) = struct.unpack_from(">I", whole, at)
    with av.open(io.BytesIO(whole)) as container:
        data = bytes(next(container.demux(video=0)))
    size = full_box(b"ispe", 0, 0, struct.pack(">II", width, height))
    return Item(kind, data, (whole[at : at + length], size))


def exif():
    """Return an item with an Exif directory that says: turned by a quarter."""
    entry = struct.pack(">HHIHH", 274, 3, 1, 6, 0)
    return Item(b"Exif", bytes(4) + b"MM\0*" + struct.pack(">IH", 8, 1) + entry + bytes(4))


def grid(columns, rows, width, height):
    """Return an item that puts pictures together, row by row."""
    data = struct.pack(">BBBBHH", 0, 0, rows - 1, columns - 1, width, height)
    return Item(b"grid", data, (full_box(b"ispe", 0, 0, struct.pack(">II", width, height)),))


def write_heif(path, items, *, primary=1, references=(), brand=b"heic"):
    """Write a file of items, numbered from 1.

    Args:
        path: of the file.
        items: in their order.
        primary: the item that is the picture.
        references: kind (`dimg`, `auxl`, `thmb`), item it is from, and items it is to.
        brand: the major one.
    """
    head = box(b"ftyp", brand, bytes(4), b"mif1", brand)
    content = box(b"mdat", *(item.data for item in items))
    meta = _meta(items, primary, references, 0)
    meta = _meta(items, primary, references, len(head) + len(meta) + 8)
    path.write_bytes(head + meta + content)
    return path


def _meta(items, primary, references, start):
    shared, uses = [], []
    for number, item in enumerate(items, 1):
        places = []
        for one in item.properties:
            if one not in shared:
                shared.append(one)
            places.append(shared.index(one) + 1)
        uses.append(struct.pack(">HB", number, len(places)) + bytes(places))
    locations, infos = [], []
    for number, item in enumerate(items, 1):
        locations.append(struct.pack(">HHHII", number, 0, 1, start, len(item.data)))
        infos.append(full_box(b"infe", 2, 0, struct.pack(">HH", number, 0), item.kind, b"\0"))
        start += len(item.data)
    count = struct.pack(">H", len(items))
    links = [
        box(kind, struct.pack(f">HH{len(to)}H", origin, len(to), *to))
        for kind, origin, to in references
    ]
    return full_box(
        b"meta",
        0,
        0,
        full_box(b"hdlr", 0, 0, bytes(4), b"pict", bytes(13)),
        full_box(b"pitm", 0, 0, struct.pack(">H", primary)),
        full_box(b"iloc", 0, 0, b"\x44\x00", count, *locations),
        full_box(b"iinf", 0, 0, count, *infos),
        *([full_box(b"iref", 0, 0, *links)] if links else []),
        box(
            b"iprp",
            box(b"ipco", *shared),
            full_box(b"ipma", 0, 0, struct.pack(">I", len(items)), *uses),
        ),
    )
