"""Which tracks have packets in the requested part of the source.

The file's header is not enough: it may list a track that has no packets at all, or only after the
requested part.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from typing import TYPE_CHECKING

import av
import av.error

from vsrpp_cli.media.mux.stream_clock import SourceClock, StreamClock
from vsrpp_cli.media.mux.timeline import Timeline, timeline
from vsrpp_cli.media.types import EncodeSettings, Scan, SourceInfo

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.stream import Stream

MILLISECOND = Fraction(1, 1000)

INTERLEAVED_SECONDS = 20
"""How far the times of neighbouring packets of different streams may differ."""

BEFORE_SECONDS = 60
"""How long before the requested part to start looking for subtitles that last into it."""

ENOUGH = 4000
"""Packets after which only sound and subtitles are looked for, no data streams."""

NEVER_SENT = "the file announces it and holds nothing of it"
OUTSIDE = "nothing of it is in the part that is kept"


@dataclass
class Presence:
    """Result of `presence`, by stream index."""

    first: dict[int, bytes] = field(default_factory=dict)
    """The first packet of each track in the requested part."""
    absent: dict[int, str] = field(default_factory=dict)
    """For tracks without one, a reason for the user."""


def presence(
    source: InputContainer, info: SourceInfo, settings: EncodeSettings, scan: Scan | None
) -> Presence:
    """Find the first packet of each track.

    Reads until all sound and subtitle tracks are found, and on for data up to `ENOUGH` packets.

    Args:
        source: a newly opened file.
        info: the source.
        settings: settings of the output.
        scan: the requested frames; None for all.
    """
    found = Presence()
    seen: set[int] = set()
    indices = {s.index for s in info.streams if s.kind in ("audio", "subtitle", "data")}
    needed = {s.index for s in info.streams if s.kind in ("audio", "subtitle")}
    placed = _placed(source, indices, info, settings, scan)
    for number, (index, packet, inside) in enumerate(placed):
        if packet.size and not packet.is_discard:
            seen.add(index)
            if inside:
                found.first.setdefault(index, bytes(packet))
        if needed <= found.first.keys() and (number > ENOUGH or indices <= found.first.keys()):
            return found
    for index in indices - found.first.keys():
        elsewhere = index in seen or scan is not None
        found.absent[index] = OUTSIDE if elsewhere else NEVER_SENT
    return found


def _placed(
    source: InputContainer,
    indices: set[int],
    info: SourceInfo,
    settings: EncodeSettings,
    scan: Scan | None,
) -> Iterator[tuple[int, av.Packet[Stream], bool]]:
    """Yield the tracks' stream index, packet and whether it is kept; stop after the last kept."""
    if not indices:
        return
    if scan is None:
        yield from ((p.stream_index, p, True) for p in _packets(source, sorted(indices)))
        return
    line = timeline(scan, settings, info.time_base)
    _go_near(source, line, scan)
    wanted = sorted({*indices, info.stream_index})
    clock = SourceClock(scan, info.time_base, whole=line.end is None)
    clocks = {
        i: StreamClock(
            clock,
            Fraction(source.streams[i].time_base or MILLISECOND),
            sound=source.streams[i].type == "audio",
        )
        for i in wanted
    }
    for packet in _packets(source, wanted):
        if not clocks[packet.stream_index].place(packet) or packet.pts is None:
            continue
        unit = Fraction(packet.time_base or MILLISECOND)
        begin, length = packet.pts * unit, (packet.duration or 0) * unit
        if packet.stream_index in indices:
            spans = source.streams[packet.stream_index].type != "audio" and length > 0
            yield packet.stream_index, packet, line.keeps(begin, begin + length if spans else None)
        elif line.end is not None and begin > line.end + INTERLEAVED_SECONDS:
            return


def _go_near(source: InputContainer, line: Timeline, scan: Scan) -> None:
    """Seek to shortly before the requested part, unless the source's timestamps jump."""
    if line.start is not None and line.start > BEFORE_SECONDS and not scan.jumps:
        with contextlib.suppress(av.error.FFmpegError, OSError):
            source.seek(int((line.start - BEFORE_SECONDS) * av.time_base))


def _packets(source: InputContainer, indices: list[int]) -> Iterator[av.Packet[Stream]]:
    try:
        yield from source.demux([source.streams[index] for index in indices])
    except (av.error.FFmpegError, ValueError):  # damaged: use the packets before
        return
