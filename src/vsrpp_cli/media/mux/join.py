"""Joins segments and the source's other streams into one file, at the end of a run.

Segments are joined packet by packet without re-encoding. Their timestamps only count frames; they
are replaced by the exact ones of the plan, by rank.
"""

from __future__ import annotations

import heapq
import io
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias, cast

import av
import av.error
from av.container import Flags, InputContainer, OutputContainer
from av.stream import Disposition, Stream

from vsrpp_cli.errors import EncoderError
from vsrpp_cli.media.coding_table import coding_row
from vsrpp_cli.media.container_table import container_row
from vsrpp_cli.media.decode.decoding import open_container
from vsrpp_cli.media.encode.encoder_table import encoder_row
from vsrpp_cli.media.encode.output_errors import output_errors
from vsrpp_cli.media.mux.joined import UNTAKEN, Joined, Portion, Reading, refusing
from vsrpp_cli.media.mux.matroska import set_display_size
from vsrpp_cli.media.mux.sample_entry import (
    hide_multiview,
    insert_into_sample_entry,
    picture_boxes,
)
from vsrpp_cli.media.mux.stream_clock import SourceClock, StreamClock
from vsrpp_cli.media.mux.stream_copy import (
    MILLISECOND,
    AudioConverter,
    Carrier,
    Copier,
    SubtitleConverter,
    copy_facts,
)
from vsrpp_cli.media.mux.stream_selection import NOT_GLOBAL, odd_tags
from vsrpp_cli.media.mux.stream_table import IMAGE_TYPES
from vsrpp_cli.media.mux.time_code import time_code_of, time_code_rate
from vsrpp_cli.media.mux.timeline import Timeline, timeline
from vsrpp_cli.media.opening import fraction, open_input, open_output
from vsrpp_cli.media.types import EncodeSettings, OutputPlan, Part, Scan, SourceInfo, StreamChoice

if TYPE_CHECKING:
    from av.container.core import Chapter

AnyPacket: TypeAlias = "av.Packet[Stream]"

MOST_INTERRUPTIONS = 100
"""How often reading the source is continued after an error."""

FINEST_MOVIE_TIMESCALE = 1_000_000_000

LEAD_SECONDS = 2
"""How long before the requested part a portion of the other streams is read, for subtitles that
are still shown."""


def join(
    segments: Sequence[Path],
    scan: Scan,
    source: SourceInfo,
    output: OutputPlan,
    temporary: Path,
    *,
    portion: Portion | None = None,
) -> Joined:
    """Join finished segments and everything the plan keeps of the source.

    Args:
        segments: in their order; together they hold exactly the scan's frames.
        scan: the run's frames.
        source: the input.
        output: from the plan.
        temporary: the file to write, replaced where it exists.
        portion: how much of the source's other streams to copy; None for all.

    Returns:
        What happened to the source's other streams.

    Raises:
        StreamRefusedError: one of the source's streams cannot be copied or converted.
        EncoderError: a segment does not match the plan, or the muxer refuses something.
        DiskFullError: there is no room for the output.
    """
    with output_errors(temporary, "writing"), _odd_refusals(temporary):
        joined = _Joiner(segments, scan, source, output, temporary, portion).run()
        _finish_header(temporary, output.encode)
    return joined


@contextmanager
def _odd_refusals(path: Path) -> Iterator[None]:
    """Convert other exceptions than FFmpeg's, which PyAV raises for what it cannot write."""
    try:
        yield
    except UNTAKEN as error:
        if isinstance(error, av.error.FFmpegError):
            raise
        reason = str(error) or type(error).__name__
        raise EncoderError(f"{path}: writing failed: {reason}") from error


@dataclass(frozen=True)
class _Order:
    """The order in which the frames of a segment are stored."""

    ranks: tuple[int, ...]
    """For each packet, the rank of its frame in presentation order."""
    extradata: bytes | None

    @property
    def delay(self) -> int:
        """The largest number of packets by which a frame is stored too early."""
        return max(i - rank for i, rank in enumerate(self.ranks))


def _order(path: Path) -> _Order:
    with open_input(path) as segment:
        extradata = segment.streams.video[0].codec_context.extradata
        pts = [cast("int", packet.pts) for packet in _packets(segment)]
    rank = {value: i for i, value in enumerate(sorted(pts))}
    if not pts or len(rank) != len(pts):
        raise EncoderError(f"{path}: not a usable segment ({len(pts)} frames)")
    return _Order(tuple(rank[value] for value in pts), extradata)


def _packets(segment: InputContainer) -> Iterator[av.Packet[av.VideoStream]]:
    for packet in segment.demux(video=0):
        if packet.size or packet.pts is not None:  # else it only marks the end
            yield packet


class _Joiner:
    """One join."""

    def __init__(
        self,
        segments: Sequence[Path],
        scan: Scan,
        source: SourceInfo,
        output: OutputPlan,
        temporary: Path,
        portion: Portion | None,
    ) -> None:
        self._segments = segments
        self._scan = scan
        self._source = source
        self._settings = output.encode
        self._streams = output.streams
        self._temporary = temporary
        self._timeline = timeline(scan, output.encode, source.time_base)
        self._orders = [_order(path) for path in segments]
        self._notes: list[str] = []
        self._portion = portion
        self._origins: dict[int, int] = {}
        """By index of a stream of the output, the index of its stream in the source."""
        self._check()

    def _check(self) -> None:
        total = sum(len(order.ranks) for order in self._orders)
        if total != self._scan.frames:
            raise EncoderError(f"the segments hold {total} frames of {self._scan.frames}")
        for path, order in zip(self._segments, self._orders, strict=True):
            if order.extradata != self._orders[0].extradata:
                raise EncoderError(f"{path}: encoded with other parameters than the first segment")

    def run(self) -> Joined:
        """Write the file."""
        with ExitStack() as stack:
            source = self._open_source(stack)
            output = stack.enter_context(
                open_output(
                    self._temporary,
                    self._settings.container,
                    muxer_options(self._settings, any_tags=self._any_tags(source)),
                )
            )
            output.flags |= cast("int", Flags.bitexact.value)  # no dates and random identifiers
            video = self._add_video(output, source, stack)
            carriers = self._add_others(output, source)
            if source is not None:
                self._add_facts(output, source)
            covers = self._add_covers(output, source)
            output.start_encoding()
            for packet in covers:
                self._mux(output, packet)
            reading = Reading(sorted(carriers), self._timeline, self._portion)
            others = self._others(source, carriers, reading)
            for packet in heapq.merge(self._video(video), others, key=_decoded_at):
                self._mux(output, packet)
            # Closing writes the index; here its errors are not masked.
            output.close()
        self._notes += [
            f"{carrier.dropped} damaged packets of track {index} were left out"
            for index, carrier in carriers.items()
            if carrier.dropped
        ]
        return reading.joined(self._notes)

    def _mux(self, output: OutputContainer, packet: AnyPacket) -> None:
        origin = self._origins.get(packet.stream_index)
        with refusing(origin) if origin is not None else nullcontext():
            output.mux(packet)

    def _open_source(self, stack: ExitStack) -> InputContainer | None:
        if self._source.kind != "video" or all(c.action == "drop" for c in self._streams):
            return None
        return stack.enter_context(open_container(self._source.path))

    def _add_video(
        self, output: OutputContainer, source: InputContainer | None, stack: ExitStack
    ) -> av.VideoStream:
        settings = self._settings
        first = stack.enter_context(open_input(self._segments[0]))
        if boxes := picture_boxes(settings):
            template = stack.enter_context(_with_boxes(self._segments[0], boxes)).streams.video[0]
        else:
            template = first.streams.video[0]
        stream = output.add_stream_from_template(template, opaque=True)
        codec = stream.codec_context
        row = container_row(settings.container)
        stream.time_base = settings.time_base
        codec.sample_aspect_ratio = settings.sample_aspect_ratio
        if settings.frame_rate:
            codec.framerate = settings.frame_rate
        if tag := row.codec_tags.get(codec.name):
            codec.codec_tag = tag
        if settings.keep_alpha and coding_row(codec.name).alpha_beside:
            stream.metadata["alpha_mode"] = "1"
        if source is not None:
            original = source.streams[self._source.stream_index]
            copy_facts(original, stream, all_tags=self._keeps("metadata"))
            self._set_time_code(stream, source)
        if settings.stereo and row.stereo_tag:
            stream.metadata["stereo_mode"] = settings.stereo
        if settings.display_matrix is not None:
            stream.set_display_matrix(settings.display_matrix)
        return stream

    def _set_time_code(self, stream: av.VideoStream, source: InputContainer) -> None:
        for name in [name for name in stream.metadata if name.lower() == "timecode"]:
            del stream.metadata[name]
        text = time_code_of(source, self._source)
        if self._timeline.start is not None or text is None or not self._keeps("metadata"):
            return  # with a cut it would name another frame
        stream.metadata["timecode"] = text
        if container_row(self._settings.container).time_code_tracks:
            rate = time_code_rate(source, self._source, self._settings)
            if rate is not None:
                stream.codec_context.framerate = rate

    def _keeps(self, kind: Part) -> bool:
        return any(c.kind == kind and c.action != "drop" for c in self._streams)

    def _add_others(
        self, output: OutputContainer, source: InputContainer | None
    ) -> dict[int, Carrier]:
        carriers: dict[int, Carrier] = {}
        for choice in self._streams:
            if source is None or choice.source_index is None or choice.action == "drop":
                continue
            if choice.kind in ("audio", "subtitle", "data"):
                stream = source.streams[choice.source_index]
                with refusing(choice.source_index):
                    carriers[choice.source_index] = self._carrier(stream, output, choice)
                self._origins[len(output.streams) - 1] = choice.source_index
        return carriers

    def _carrier(self, stream: Stream, output: OutputContainer, choice: StreamChoice) -> Carrier:
        tags = self._keeps("metadata")
        if choice.action == "copy":
            return Copier(stream, output, self._timeline, all_tags=tags)
        assert choice.codec is not None
        kind = AudioConverter if choice.kind == "audio" else SubtitleConverter
        return kind(stream, output, self._timeline, choice.codec, all_tags=tags)

    def _add_facts(self, output: OutputContainer, source: InputContainer) -> None:
        """Add attachments, global metadata and chapters, which are part of the header."""
        for choice in self._streams:
            if choice.kind == "attachment" and choice.action == "copy":
                stream = cast(
                    "av.stream.AttachmentStream", source.streams[choice.source_index or 0]
                )
                mimetype = stream.mimetype or "application/octet-stream"
                output.add_attachment(stream.name or "attachment", mimetype, stream.data)
        if self._keeps("metadata"):
            output.metadata.update(
                {k: v for k, v in source.metadata.items() if k.lower() not in NOT_GLOBAL}
            )
        if self._keeps("chapters"):
            output.set_chapters(moved_chapters(source, self._timeline))

    def _any_tags(self, source: InputContainer | None) -> bool:
        """Return whether the output needs tags with unusual names, and can have them."""
        if source is None or not self._keeps("metadata") or self._keeps("cover"):
            return False
        return bool(odd_tags(source.metadata, self._settings.container))

    def _add_covers(
        self, output: OutputContainer, source: InputContainer | None
    ) -> list[AnyPacket]:
        """Add cover art: an attached file in Matroska, a track of one picture in MP4."""
        packets: list[AnyPacket] = []
        for choice in self._streams:
            if source is None or choice.kind != "cover" or choice.action == "drop":
                continue
            index = choice.source_index or 0
            with refusing(index):
                packets += self._add_cover(output, source.streams[index])
        return packets

    def _add_cover(self, output: OutputContainer, stream: Stream) -> list[AnyPacket]:
        picture = _cover(self._source.path, stream.index)
        codec = stream.codec_context.name
        if container_row(self._settings.container).attached_covers:
            suffix, mimetype = IMAGE_TYPES.get(codec, ("jpg", "image/jpeg"))
            name = stream.metadata.get("filename", f"cover.{suffix}")
            output.add_attachment(name, stream.metadata.get("mimetype", mimetype), picture)
            return []
        size = cast("av.VideoStream", stream)
        target = output.add_mux_stream(codec, width=size.width, height=size.height)
        target.disposition = Disposition.attached_pic
        self._origins[target.index] = stream.index
        packet: AnyPacket = av.Packet(picture)
        packet.stream = target
        packet.time_base = Fraction(1, 1000)
        packet.pts = packet.dts = 0
        return [packet]

    def _others(
        self, source: InputContainer | None, carriers: dict[int, Carrier], reading: Reading
    ) -> Iterator[AnyPacket]:
        """Yield the packets of the other streams, roughly in the order of the source."""
        if source is None or not carriers:
            return
        for packet in self._wanted_packets(source, sorted(carriers), reading):
            index = packet.stream_index
            yield from self._carried(carriers[index].feed(packet), index, reading)
        for index, carrier in carriers.items():
            yield from self._carried(carrier.flush(), index, reading)

    def _wanted_packets(
        self, source: InputContainer, indices: list[int], reading: Reading
    ) -> Iterator[AnyPacket]:
        """Yield the packets of some streams; only those of the portion if there is one."""
        whole = not self._settings.cut_end
        clock = SourceClock(self._scan, self._source.time_base, whole=whole)
        if self._portion is not None:
            self._go_near_the_start(source)
        for packet in _placed_packets(source, indices, clock, self._notes):
            begin = packet.pts if packet.pts is not None else packet.dts
            unit = packet.time_base or MILLISECOND
            if reading.wants(packet.stream_index, None if begin is None else begin * unit):
                yield packet
            if reading.is_enough:
                return
        reading.whole = True

    def _go_near_the_start(self, source: InputContainer) -> None:
        """Seek to shortly before the requested part, if the source allows it."""
        if self._timeline.start is not None and not self._scan.jumps:
            seconds = max(Fraction(0), self._timeline.start - LEAD_SECONDS)
            with suppress(av.error.FFmpegError, OSError):
                source.seek(int(seconds * av.time_base))

    @staticmethod
    def _carried(packets: Iterator[AnyPacket], index: int, reading: Reading) -> Iterator[AnyPacket]:
        """Yield and count the packets of a carrier."""
        while True:
            with refusing(index):
                packet = next(packets, None)
            if packet is None:
                return
            reading.given[index] += 1
            yield packet

    def _video(self, stream: av.VideoStream) -> Iterator[AnyPacket]:
        """Yield the packets of the segments with the timestamps of the plan."""
        pts = [value - self._timeline.shift for value in self._scan.pts]
        pts.append(pts[-1] + self._scan.last_duration)
        final = self._scan.frames - len(self._orders[-1].ranks) + self._orders[-1].ranks[-1]
        delay = max(order.delay for order in self._orders)
        decoded = decoding_times(pts, delay, pts[final + 1] - pts[final])
        done = 0
        for path, order in zip(self._segments, self._orders, strict=True):
            with open_input(path) as segment:
                for number, packet in enumerate(_packets(segment), done):
                    index = done + order.ranks[number - done]
                    packet.pts = pts[index]
                    packet.dts = decoded[number]
                    packet.duration = pts[index + 1] - pts[index]
                    packet.time_base = self._settings.time_base
                    packet.stream = stream
                    yield cast("AnyPacket", packet)
            done += len(order.ranks)


def decoding_times(pts: Sequence[int], delay: int, final_duration: int) -> list[int]:
    """Return strictly increasing decoding times of the packets in stored order.

    They are the presentation times, delayed as much as reordering needs. The first decoding time is
    chosen so that the duration by decoding times equals that by presentation times, since MP4 has
    both.

    Args:
        pts: presentation times, and the end of the last frame.
        delay: the largest number of packets by which a frame is stored too early.
        final_duration: duration of the packet stored last.
    """
    frames = len(pts) - 1
    delay = min(delay, frames - 1)
    lead = max(delay, pts[-1] - pts[frames - 1 - delay] - final_duration)
    before = [pts[0] - -(-lead * (delay - n) // delay) for n in range(delay)]
    return [*before, *pts[: frames - delay]]


def _decoded_at(packet: AnyPacket) -> float:
    return float((packet.dts or 0) * packet.time_base)


def _cover(path: str, index: int) -> bytes:
    """Return the picture file that a cover art stream consists of."""
    with open_container(path) as file:
        return next((bytes(p) for p in file.demux(file.streams[index]) if p.size), b"")


def _placed_packets(
    source: InputContainer, indices: list[int], clock: SourceClock, notes: list[str]
) -> Iterator[AnyPacket]:
    """Yield packets of some streams, moved to the pictures' clock, as far as they can be read."""
    streams = [source.streams[index] for index in indices]
    clocks = {
        s.index: StreamClock(clock, Fraction(s.time_base or MILLISECOND), sound=s.type == "audio")
        for s in streams
    }
    for packet in _readable_packets(source, streams, notes):
        if clocks[packet.stream_index].place(packet):
            yield packet
    for index, one in clocks.items():
        notes += one.notes(index)


def _readable_packets(
    source: InputContainer, streams: list[Stream], notes: list[str]
) -> Iterator[AnyPacket]:
    for _ in range(MOST_INTERRUPTIONS):
        try:
            for packet in source.demux(*streams):
                if packet.size:
                    yield packet
        except av.error.FFmpegError as error:
            reason = error.strerror
        else:
            return
    notes.append(f"sound and subtitles end where the source is too damaged ({reason})")


def _with_boxes(segment: Path, boxes: bytes) -> InputContainer:
    """Return an open file in memory whose video stream has these boxes, for use as a template."""
    memory = io.BytesIO()
    with open_input(segment) as source:
        codec = source.streams.video[0].codec_context.name
        with open_output(memory, coding_row(codec).iso_muxer) as one:
            stream = one.add_stream_from_template(source.streams.video[0], opaque=True)
            packet = next(_packets(source))
            packet.dts = packet.pts
            packet.stream = stream
            one.mux(packet)
    return open_input(io.BytesIO(insert_into_sample_entry(memory.getvalue(), boxes)))


def moved_chapters(source: InputContainer, line: Timeline) -> list[Chapter]:
    """Return the chapters of the source, moved and cut like everything else."""
    kept: list[Chapter] = []
    for chapter in source.chapters():
        unit = fraction(chapter["time_base"]) or Fraction(1, 1000)
        if not line.keeps(chapter["start"] * unit, chapter["end"] * unit):
            continue
        shift = line.shift_in(unit)
        start, end = chapter["start"] - shift, chapter["end"] - shift
        if line.end is not None:
            end = min(end, round((line.end - line.shift_seconds) / unit))
        kept.append(
            {
                "id": chapter["id"],
                "start": max(0, start),
                "end": end,
                "time_base": unit,
                "metadata": chapter["metadata"],
            }
        )
    return kept


def track_timescale(time_base: Fraction) -> int:
    """Return the time scale of a track in FFmpeg's MP4 muxer: doubled until at least 10000."""
    scale = time_base.denominator
    while scale < 10000:
        scale *= 2
    return scale


def muxer_options(settings: EncodeSettings, *, any_tags: bool = False) -> dict[str, str]:
    """Return the options of the muxer; `any_tags` allows tags of any name in MP4 and MOV."""
    row = container_row(settings.container)
    options = dict(row.muxer_options)
    if row.edit_lists:
        # Empty edits, which express a late start, are in units of the movie's time scale.
        scale = min(track_timescale(settings.time_base), FINEST_MOVIE_TIMESCALE)
        options["movie_timescale"] = str(scale)
        if any_tags:
            options["movflags"] += "+use_metadata_tags"
        if settings.stereo or settings.spherical is not None:
            options["strict"] = "unofficial"  # needed for boxes that the standard does not define
    return options


def _finish_header(path: Path, settings: EncodeSettings) -> None:
    """Correct what the muxer leaves out of the header or writes wrongly."""
    aspect = settings.sample_aspect_ratio
    row = container_row(settings.container)
    if row.adds_multiview and settings.stereo:
        hide_multiview(path)
    if not row.display_size or aspect == 1:
        return
    across, down = views(settings.stereo)
    # With two views, the muxer omits a display size (of one view) that equals the pixel size.
    if not encoder_row(settings.codec).format.shape_in_stream or across * down > 1:
        one = aspect * Fraction(down, across)
        set_display_size(path, *display_size(settings.width, settings.height, one))


def views(stereo: str) -> tuple[int, int]:
    """Return the number of views side by side and on top of each other, as Matroska counts them."""
    beside = stereo in ("left_right", "right_left") or stereo.startswith("col_")
    above = stereo in ("top_bottom", "bottom_top") or stereo.startswith("row_")
    return 1 + beside, 1 + above


def display_size(width: int, height: int, aspect: Fraction) -> tuple[int, int]:
    """Return the smallest size of exactly the displayed shape that is not below the pixel size."""
    shape = Fraction(width, height) * aspect
    times = max(-(-width // shape.numerator), -(-height // shape.denominator))
    return shape.numerator * times, shape.denominator * times
