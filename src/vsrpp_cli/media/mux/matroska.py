"""Writing the display size into a finished Matroska header.

PyAV cannot set a stream's sample aspect ratio, from which FFmpeg's Matroska muxer computes the
display size for codecs whose own headers do not store it (AV1, VP9, ProRes, FFV1). So
`DisplayWidth` and `DisplayHeight` are inserted afterwards. The `Void` element that the muxer
reserves after the seek head shrinks by as much, so that nothing after the header moves.
Element identifiers: RFC 9559, section 5.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

SEGMENT = bytes.fromhex("18538067")
SEEK_HEAD = bytes.fromhex("114D9B74")
SEEK_POSITION = bytes.fromhex("53AC")
VOID = b"\xec"
TRACKS = bytes.fromhex("1654AE6B")
TRACK_ENTRY = b"\xae"
VIDEO = b"\xe0"
DISPLAY_WIDTH = bytes.fromhex("54B0")
DISPLAY_UNIT = bytes.fromhex("54B2")
DISPLAY_HEIGHT = bytes.fromhex("54BA")

HEADER_BYTES = 1 << 22
"""How much of the file is read. The tracks end long before; attached fonts follow them."""


@dataclass(frozen=True)
class Element:
    """Byte positions of an EBML element: its start, and the start and end of its content."""

    kind: bytes
    start: int
    content: int
    end: int


def _vint_length(first: int) -> int:
    return 9 - first.bit_length()


def elements(data: bytes, start: int, end: int) -> Iterator[Element]:
    """Yield the consecutive elements between two byte positions."""
    position = start
    while position < end and position < len(data):
        begin = position
        size = _vint_length(data[position])
        kind = data[position : position + size]
        position += size
        size = _vint_length(data[position])
        length = int.from_bytes(data[position : position + size]) & ((1 << 7 * size) - 1)
        position += size
        yield Element(kind, begin, position, position + length)
        position += length


def _element(kind: bytes, content: bytes) -> bytes:
    """Return an element with its length in eight bytes."""
    return kind + (len(content) | 1 << 56).to_bytes(8) + content


def set_display_size(path: Path, width: int, height: int) -> None:
    """Write the display size in pixels of the first video track into a file.

    The file must have been written by FFmpeg with `write_crc32=0`.

    Raises:
        ValueError: the header is not as FFmpeg writes it, or its `Void` element is too small.
    """
    with path.open("r+b") as file:
        data = file.read(HEADER_BYTES)
        segment = next(e for e in elements(data, 0, len(data)) if e.kind == SEGMENT)
        found: dict[bytes, Element] = {}
        for element in elements(data, segment.content, len(data)):
            found.setdefault(element.kind, element)
            if element.kind == TRACKS:
                break
        head, void, tracks = (found.get(kind) for kind in (SEEK_HEAD, VOID, TRACKS))
        if head is None or void is None or tracks is None or void.start != head.end:
            raise ValueError(f"{path}: not a Matroska header as FFmpeg writes it")
        new_tracks = _with_display_size(data, tracks, width, height)
        grow = len(new_tracks) - (tracks.end - tracks.start)
        room = void.end - void.start - 9 - grow
        if room < 0:
            raise ValueError(f"{path}: no room for the display size")
        between = data[void.end : tracks.start]  # moves towards the front by `grow` bytes
        moved = range(void.end - segment.content, tracks.start + 1 - segment.content)
        new_head = _moved_positions(data, head, moved, grow)
        new = new_head + _element(VOID, bytes(room)) + between + new_tracks
        assert len(new) == tracks.end - head.start
        file.seek(head.start)
        file.write(new)


def _with_display_size(data: bytes, tracks: Element, width: int, height: int) -> bytes:
    """Return the `Tracks` element with the display size in the first video track."""
    content = b""
    done = False
    for entry in elements(data, tracks.content, tracks.end):
        parts = list(elements(data, entry.content, entry.end))
        if done or entry.kind != TRACK_ENTRY or all(part.kind != VIDEO for part in parts):
            content += data[entry.start : entry.end]
            continue
        done = True
        body = b""
        for part in parts:
            whole = data[part.start : part.end]
            body += _video(data, part, width, height) if part.kind == VIDEO else whole
        content += _element(TRACK_ENTRY, body)
    return _element(TRACKS, content)


def _video(data: bytes, video: Element, width: int, height: int) -> bytes:
    replaced = (DISPLAY_WIDTH, DISPLAY_HEIGHT, DISPLAY_UNIT)
    kept = [e for e in elements(data, video.content, video.end) if e.kind not in replaced]
    content = b"".join(data[e.start : e.end] for e in kept)
    for kind, size in ((DISPLAY_WIDTH, width), (DISPLAY_HEIGHT, height)):
        content += kind + b"\x84" + struct.pack(">I", size)
    return _element(VIDEO, content)


def _moved_positions(data: bytes, head: Element, moved: range, by: int) -> bytes:
    """Return the seek head with the positions in `moved` reduced by `by`.

    The last position in `moved` is that of the tracks, which start `by` bytes earlier, too.
    """
    new = bytearray(data[head.start : head.end])
    for seek in elements(data, head.content, head.end):
        for part in elements(data, seek.content, seek.end):
            if part.kind != SEEK_POSITION:
                continue
            place = int.from_bytes(data[part.content : part.end])
            if place in moved:
                size = part.end - part.content
                at = part.content - head.start
                new[at : at + size] = (place - by).to_bytes(size)
    return bytes(new)
