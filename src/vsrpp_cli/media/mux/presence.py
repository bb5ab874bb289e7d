"""Which tracks have something in the part of the source that is kept.

Streams are judged by their packets, not by their announcement: a track may be announced and never
sent, or begin only behind the part that was asked for.
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
"""By how much packets of one time may lie apart in a file."""

BEFORE_SECONDS = 60
"""How long before the part that is kept subtitles are looked for that reach into it."""

ENOUGH = 4000
"""Packets after which it is not worth reading on for data alone."""

NEVER_SENT = "the file announces it and holds nothing of it"
OUTSIDE = "nothing of it is in the part that is kept"


@dataclass
class Presence:
    """What was found of some tracks."""

    first: dict[int, bytes] = field(default_factory=dict)
    """The first packet of each track that is kept."""
    absent: dict[int, str] = field(default_factory=dict)
    """Why there is none of the others."""


def presence(
    source: InputContainer, info: SourceInfo, settings: EncodeSettings, scan: Scan | None
) -> Presence:
    """Look for the first packet of each track, as far into the file as sound and subtitles take.

    Args:
        source: newly opened.
        info: the source.
        settings: of the output.
        scan: the frames that are kept; None for all.
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
    """Yield packets of the tracks, and whether they are kept, until all that are have come."""
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
    """Go to a place shortly before the part that is kept, where the clock tells the place."""
    if line.start is not None and line.start > BEFORE_SECONDS and not scan.jumps:
        with contextlib.suppress(av.error.FFmpegError, OSError):
            source.seek(int((line.start - BEFORE_SECONDS) * av.time_base))


def _packets(source: InputContainer, indices: list[int]) -> Iterator[av.Packet[Stream]]:
    try:
        yield from source.demux([source.streams[index] for index in indices])
    except (av.error.FFmpegError, ValueError):  # damaged; what came before must do
        return
