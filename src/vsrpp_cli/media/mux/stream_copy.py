"""Carrying packets of sound, subtitles and data over: copied, or converted to another codec."""

from __future__ import annotations

import io
import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Protocol, cast

import av
import av.error
from av.container import OutputContainer
from av.stream import Stream
from av.subtitles.codeccontext import SubtitleCodecContext
from av.subtitles.subtitle import SubtitleSet

from vsrpp_cli.errors import EncoderError
from vsrpp_cli.media.container_table import container_row
from vsrpp_cli.media.mux.stream_table import audio_row
from vsrpp_cli.media.mux.timeline import Timeline
from vsrpp_cli.media.opening import open_input, open_output

MILLISECOND = Fraction(1, 1000)

LEAD_IN = Fraction(1, 12)
"""Seconds of hidden sound kept before the first audible packet, for decoders to start from. Opus
needs the most, 80 ms."""

MOST_HIDDEN = 16
"""How many of the latest hidden packets are remembered for that."""

JITTER = Fraction(1, 50)
"""Seconds by which timestamps of sound may deviate before it counts as a gap or an overlap."""

USUAL_LAYOUTS = {
    1: "mono",
    2: "stereo",
    3: "2.1",
    4: "quad",
    5: "5.0",
    6: "5.1",
    7: "6.1",
    8: "7.1",
}
"""Channel layout by number of channels, for tracks without a layout or with one that the encoder
does not accept."""

NOT_COPIED = (
    *("duration", "encoder", "bps", "number_of_", "rotate", "_statistics"),
    *("alpha_mode", "stereo_mode"),
)
"""Prefixes (in lower case) of the names of stream metadata that would be wrong in the output."""


class Carrier(Protocol):
    """Turns the packets of one source stream into packets of the output."""

    dropped: int
    """Number of packets that could not be converted."""

    def feed(self, packet: av.Packet[Stream]) -> Iterator[av.Packet[Stream]]:
        """Take the next packet of the source; yield packets that are ready."""

    def flush(self) -> Iterator[av.Packet[Stream]]:
        """Yield the remaining packets."""


def copy_facts(source: Stream, target: Stream, *, all_tags: bool = True) -> None:
    """Copy a stream's language and dispositions and, with `all_tags`, titles and other tags."""
    row = container_row(target.container.format.name)
    for key, value in source.metadata.items():
        lower = key.lower()
        wrong = lower.startswith(NOT_COPIED) or lower in row.lacking_tags
        if lower == "language" or (all_tags and not wrong):
            target.metadata[key] = value
    if row.title_tag and (title := target.metadata.get("title")):
        target.metadata[row.title_tag] = title
    if language := target.metadata.get("language"):
        target.metadata["language"] = row.languages.get(language, language)
    target.disposition = source.disposition


@contextmanager
def _template(source: Stream, muxer: str) -> Iterator[Stream]:
    """Yield a stream with the parameters that a copy of `source` needs.

    From version 8.1 on, FFmpeg reports all sound that an edit list hides at the beginning as the
    codec's delay, and its Matroska muxer writes that as `CodecDelay`: players would then drop as
    much audible sound. So the template is copied through NUT, which does not store the delay.
    """
    delay = getattr(source.codec_context, "initial_padding", 0)
    if not delay or not container_row(muxer).writes_delay or _has_own_delay(source):
        yield source
        return
    memory = io.BytesIO()
    with open_output(memory, "nut") as header:
        packet = av.Packet(bytes(8))  # a file without packets is not recognized as NUT
        packet.stream = header.add_stream_from_template(source, opaque=True)
        packet.pts = packet.dts = 0
        packet.time_base = MILLISECOND
        header.mux(packet)
    memory.seek(0)
    with open_input(memory) as reopened:
        yield reopened.streams[0]


def _has_own_delay(source: Stream) -> bool:
    return audio_row(source.codec_context.name).own_delay


class Copier:
    """Copies packets; only their times and durations are changed."""

    def __init__(
        self, source: Stream, output: OutputContainer, timeline: Timeline, *, all_tags: bool = True
    ) -> None:
        self.dropped = 0
        self._duration = 0
        with _template(source, output.format.name) as template:
            self._target = output.add_stream_from_template(template, opaque=True)
        copy_facts(source, self._target, all_tags=all_tags)
        self._unit = source.time_base or MILLISECOND
        self._timeline = timeline
        self._shift = timeline.shift_in(self._unit)
        self._spans = source.type == "subtitle"
        row = container_row(output.format.name)
        # Matroska's milliseconds may be longer than packets (TrueHD), so equal times are allowed
        # where the container permits them.
        strict = row.increasing and not self._spans
        self._least_step = self._one_tick(source) if strict else 0
        # Packets before zero are hidden by the edit list; decoders may start from them.
        self._hides = row.edit_lists and source.type == "audio"
        self._hidden: list[av.Packet[Stream]] = []
        self._held: av.Packet[Stream] | None = None
        self._shown: av.Packet[Stream] | None = None
        self._last_dts: int | None = None
        self._next: int | None = None

    def feed(self, packet: av.Packet[Stream]) -> Iterator[av.Packet[Stream]]:
        """Yield the previous packet: its duration may depend on this one."""
        if not packet.size and packet.pts is None:
            return
        if packet.is_discard:  # an edit list hides it
            self._hidden = [*self._hidden[-MOST_HIDDEN:], packet]
            return
        hidden, self._hidden = self._hidden, []
        begins = self._last_dts is None and self._timeline.start is None
        if hidden and begins and packet.pts is not None:
            if self._hides:
                for early in self._lead_in(hidden, packet.pts):
                    yield from self._take(early)
            elif packet.pts - self._shift + (packet.duration or 0) / 2 < 0:
                return  # most of it is hidden, too
        yield from self._take(packet)

    def _lead_in(self, hidden: list[av.Packet[Stream]], begin: int) -> list[av.Packet[Stream]]:
        """Return the hidden packets that a decoder needs before the first audible one."""
        far, zero = begin - round(LEAD_IN / self._unit), self._shift
        ends = [(packet, (packet.pts or 0) + (packet.duration or 0)) for packet in hidden]
        return [packet for packet, end in ends if far < end <= min(begin, zero + 1)]

    def _take(self, packet: av.Packet[Stream]) -> Iterator[av.Packet[Stream]]:
        begin = packet.pts if packet.pts is not None else packet.dts
        if begin is None:  # raw streams: each follows the one before
            begin = self._next or 0
        self._next = begin + (packet.duration or 0)
        if not self._keeps(begin, packet.duration or 0):
            # PGS and similar subtitles have no duration: each is shown until the next one.
            early = self._timeline.start is not None and begin * self._unit < self._timeline.start
            self._shown = packet if self._spans and not packet.duration and early else self._shown
            return
        if self._shown is not None:
            shown, self._shown = self._shown, None
            if begin > self._shift:
                shown.pts = shown.dts = self._shift
                yield from self._take(shown)
        packet.pts = begin - self._shift
        if self._spans and packet.duration:
            start, length = cut_span(
                self._timeline, begin * self._unit, packet.duration * self._unit
            )
            packet.pts, packet.duration = round(start / self._unit), round(length / self._unit)
            packet.dts = packet.pts + self._shift
        packet.dts = self._increasing(packet.dts if packet.dts is not None else begin)
        packet.pts = max(packet.pts, packet.dts)
        if self._held is not None and not self._held.duration and not self._spans:
            # ALAC from Matroska: without durations MP4's edit list would hide the last packet.
            self._held.duration = max(0, packet.pts - (self._held.pts or 0))
        yield from self._release()
        self._held = packet

    def _one_tick(self, source: Stream) -> int:
        """Return one sample's duration in the source's units, rounded up."""
        rate = getattr(source.codec_context, "sample_rate", 0)
        return math.ceil(1 / (rate * self._unit)) if rate else 1

    def _keeps(self, begin: int, duration: int) -> bool:
        begins = begin * self._unit
        if self._spans and duration:
            return self._timeline.keeps(begins, begins + duration * self._unit)
        return self._timeline.keeps(begins)

    def _increasing(self, dts: int) -> int:
        """Return the shifted decoding time, raised if necessary so that times do not decrease."""
        dts -= self._shift
        if self._last_dts is not None:
            dts = max(dts, self._last_dts + self._least_step)
        self._last_dts = dts
        return dts

    def _release(self) -> Iterator[av.Packet[Stream]]:
        if self._held is not None:
            self._held.time_base = self._unit
            self._held.stream = self._target
            self._duration = self._held.duration or 0
            yield self._held
            self._held = None

    def flush(self) -> Iterator[av.Packet[Stream]]:
        """Yield the last packet; without a duration it gets that of the packet before."""
        if self._shown is not None:
            shown, self._shown = self._shown, None
            shown.pts = shown.dts = self._shift
            yield from self._take(shown)
        if self._held is not None and not self._held.duration and not self._spans:
            self._held.duration = self._duration
        yield from self._release()


class AudioConverter:
    """Decodes sound and encodes it again.

    Raises:
        EncoderError: the encoder accepts no channel layout and rate like the source's.
    """

    def __init__(
        self,
        source: Stream,
        output: OutputContainer,
        timeline: Timeline,
        codec: str,
        *,
        all_tags: bool = True,
    ) -> None:
        self.dropped = 0
        self._decoder = cast("av.AudioCodecContext", source.codec_context)
        shape = audio_shape(self._decoder, codec)
        if shape is None:
            raise EncoderError(f"{codec} takes no sound like that of track {source.index}")
        rate = shape.rate
        self._target = output.add_stream(codec, rate=rate)
        copy_facts(source, self._target, all_tags=all_tags)
        self._encoder = cast("av.AudioCodecContext", self._target.codec_context)
        shape.set_on(self._encoder, codec)
        self._encoder.open()
        self._resampler = self._new_resampler()
        self._unit = source.time_base or MILLISECOND
        self._rate = rate
        self._timeline = timeline
        self._position: int | None = None
        self._heard = Fraction(0)

    def feed(self, packet: av.Packet[Stream]) -> Iterator[av.Packet[Stream]]:
        """Convert a packet; damaged ones are counted in `dropped`."""
        if not packet.size:
            return
        begin = packet.pts if packet.pts is not None else packet.dts
        if begin is not None and not self._timeline.keeps(begin * self._unit):
            return
        try:
            frames = self._decoder.decode(packet)
        except av.error.FFmpegError:
            self.dropped += 1
            return
        for frame in frames:
            yield from self._encode(frame)

    def _encode(self, frame: av.AudioFrame) -> Iterator[av.Packet[Stream]]:
        if frame.pts is not None:
            begin = frame.pts * (frame.time_base or self._unit) - self._timeline.shift_seconds
            if self._position is not None and self._heard - begin > JITTER:
                return  # two parts of the source overlap: keep the first
            self._catch_up(begin)
        self._heard += Fraction(frame.samples, frame.sample_rate)
        # The encoder's timestamps count samples; smaller deviations of the source are jitter.
        frame.pts = None
        try:
            resampled = self._resampler.resample(frame)
        except ValueError:  # the source's channels or rate change here
            for rest in self._resampler.resample(None):
                yield from self._packets(rest)
            self._resampler = self._new_resampler()
            resampled = self._resampler.resample(frame)
        for part in resampled:
            yield from self._packets(part)

    def _catch_up(self, begin: Fraction) -> None:
        """Set the first position, and skip gaps of the source."""
        if self._position is None:
            self._position, self._heard = round(begin * self._encoder.sample_rate), begin
        elif begin - self._heard > JITTER:
            self._position += round((begin - self._heard) * self._encoder.sample_rate)
            self._heard = begin

    def _new_resampler(self) -> av.AudioResampler:
        return av.AudioResampler(
            format=self._encoder.format.name,
            layout=self._encoder.layout.name,
            rate=self._encoder.sample_rate,
            frame_size=self._encoder.frame_size or None,
        )

    def _packets(self, frame: av.AudioFrame | None) -> Iterator[av.Packet[Stream]]:
        if frame is not None:
            frame.pts = self._position = self._position or 0
            frame.time_base = Fraction(1, self._rate)
            self._position += frame.samples
        for packet in self._encoder.encode(frame):
            packet.stream = self._target
            yield cast("av.Packet[Stream]", packet)

    def flush(self) -> Iterator[av.Packet[Stream]]:
        """Drain decoder, resampler and encoder."""
        for frame in self._decoder.decode(None):
            yield from self._encode(frame)
        for resampled in self._resampler.resample(None):
            yield from self._packets(resampled)
        yield from self._packets(None)


@dataclass(frozen=True)
class AudioShape:
    """Parameters of an audio encoder."""

    layout: str
    """FFmpeg's name of the channel layout."""
    rate: int
    """Samples per second."""
    sample_format: str
    """FFmpeg's name of the sample format."""

    def set_on(self, encoder: av.AudioCodecContext, codec: str) -> None:
        """Set them and the bit rate on an encoder that is not open yet."""
        encoder.sample_rate = self.rate
        encoder.layout = self.layout
        encoder.format = self.sample_format
        encoder.time_base = Fraction(1, self.rate)
        if kbit := audio_row(codec).kbit_per_channel:
            encoder.bit_rate = 1000 * kbit * av.AudioLayout(self.layout).nb_channels


def audio_shape(decoder: av.AudioCodecContext, codec: str) -> AudioShape | None:
    """Return the parameters nearest to the decoder's that an encoder accepts; None if none.

    Encoders differ in the channel layouts and rates they accept, so each combination is tried, the
    closest first.
    """
    channels = decoder.layout.nb_channels
    layouts = (decoder.layout.name, USUAL_LAYOUTS.get(channels, "stereo"), "stereo")
    only = audio_row(codec).rate
    rates = (only,) if only else (decoder.sample_rate or 48000, 48000)
    sample_format = _sample_format(codec, decoder.format.name if decoder.format else "fltp")
    for layout in layouts:
        for rate in rates:
            shape = AudioShape(layout, rate, sample_format)
            trial = cast("av.AudioCodecContext", av.CodecContext.create(codec, "w"))
            try:
                shape.set_on(trial, codec)
                trial.open()
            except (av.error.FFmpegError, ValueError):
                continue
            return shape
    return None


def _sample_format(codec: str, exact: str) -> str:
    """Return the encoder's sample format that loses least of the decoder's."""
    offered = [f.name for f in av.Codec(codec, "w").audio_formats or ()]
    flat = exact.removesuffix("p")
    for wanted in (exact, flat, f"{flat}p", "s32p", "s32", "fltp", "flt"):
        if wanted in offered:
            return wanted
    return offered[0]


def cut_span(line: Timeline, begin: Fraction, length: Fraction) -> tuple[Fraction, Fraction]:
    """Return start in the output and length of a subtitle cut to the timeline, in seconds."""
    end = begin + length
    if line.end is not None:
        end = min(end, line.end)
    if line.start is not None:
        begin = max(begin, line.start)
    return begin - line.shift_seconds, max(Fraction(0), end - begin)


class SubtitleConverter:
    """Decodes text subtitles to ASS events and writes those in another text format."""

    def __init__(
        self,
        source: Stream,
        output: OutputContainer,
        timeline: Timeline,
        codec: str,
        *,
        all_tags: bool = True,
    ) -> None:
        self.dropped = 0
        self._decoder = cast("SubtitleCodecContext", source.codec_context)
        self._decoder.open(strict=False)
        self._target = output.add_stream(codec)
        copy_facts(source, self._target, all_tags=all_tags)
        self._encoder = cast("SubtitleCodecContext", self._target.codec_context)
        self._target.time_base = self._encoder.time_base = MILLISECOND
        self._encoder.subtitle_header = self._decoder.subtitle_header
        self._unit = source.time_base or MILLISECOND
        self._timeline = timeline

    def feed(self, packet: av.Packet[Stream]) -> Iterator[av.Packet[Stream]]:
        """Convert one event; those that cannot be decoded are counted in `dropped`."""
        if not packet.size or packet.pts is None:
            return
        begin, length = packet.pts * self._unit, (packet.duration or 0) * self._unit
        if not self._timeline.keeps(begin, begin + length):
            return
        start, length = cut_span(self._timeline, begin, length)
        try:
            events = cast("Any", self._decoder).decode(packet)
        except av.error.FFmpegError:
            self.dropped += 1
            return
        for event in events:
            yield self._encoded(event.ass, round(start * 1000), round(length * 1000))

    def _encoded(self, text: bytes, start: int, length: int) -> av.Packet[Stream]:
        packet = self._encoder.encode_subtitle(SubtitleSet.create(text, 0, length, start))
        packet.stream = self._target
        packet.time_base = MILLISECOND
        packet.pts = packet.dts = start
        packet.duration = length
        return cast("av.Packet[Stream]", packet)

    def flush(self) -> Iterator[av.Packet[Stream]]:
        """Yield nothing: `feed` keeps no packets."""
        return iter(())
