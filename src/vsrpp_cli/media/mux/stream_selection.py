"""Decides whether the source's other streams are copied, converted or left out.

Whether a container can store a stream is tried, not looked up: a stream is copied if a file with
its header and first packet can be written in memory.
"""

from __future__ import annotations

import io
from dataclasses import replace
from fractions import Fraction
from typing import cast

import av
import av.error
from av.container import InputContainer
from av.stream import Stream

from vsrpp_cli.errors import InputError, StrictError
from vsrpp_cli.media.container_table import container_row
from vsrpp_cli.media.decode.decoding import open_container
from vsrpp_cli.media.mux.presence import Presence, presence
from vsrpp_cli.media.mux.stream_copy import audio_shape
from vsrpp_cli.media.mux.stream_table import SPOKEN, audio_row, is_lossless, is_text
from vsrpp_cli.media.mux.time_code import (
    is_time_code,
    time_code_of,
    time_code_rate,
)
from vsrpp_cli.media.opening import open_output
from vsrpp_cli.media.source import FrameSource, OnProgress
from vsrpp_cli.media.types import EncodeSettings, Part, Scan, SourceInfo, StreamChoice, StreamInfo
from vsrpp_cli.options import UpscaleOptions

NOT_GLOBAL = ("major_brand", "minor_version", "compatible_brands", "encoder", "duration")
"""Names (in lower case) of metadata of the source file that would be wrong in the output."""


def scan_and_plan_streams(
    source: FrameSource,
    settings: EncodeSettings,
    options: UpscaleOptions,
    *,
    scenes: bool,
    on_progress: OnProgress | None = None,
) -> tuple[Scan, tuple[StreamChoice, ...]]:
    """Scan the requested part of an input, and plan its other streams.

    Args:
        source: the input.
        settings: settings of the output.
        options: the requested part, and what `plan_streams` uses.
        scenes: whether to look for cuts.
        on_progress: called during the scan.

    Raises:
        InputError: there is no frame, or the input cannot be read.
        UsageError: the requested part has no frame.
        StrictError: see `plan_streams`.
    """
    cut = settings.cut_start or settings.cut_end
    # Errors that do not depend on the scan should come before it.
    streams = () if cut else plan_streams(source.info, settings, options)
    scan = source.scan(
        on_progress=on_progress,
        scenes=scenes,
        start=options.start,
        end=options.end,
        frames=options.frames,
    )
    if not scan.frames:
        raise InputError(f"{source.info.path}: no frame left between `start` and `end`")
    return scan, plan_streams(source.info, settings, options, scan) if cut else streams


def plan_streams(
    info: SourceInfo, settings: EncodeSettings, options: UpscaleOptions, scan: Scan | None = None
) -> tuple[StreamChoice, ...]:
    """Decide what to do with everything in the source besides the video track.

    Args:
        info: the source.
        settings: settings of the output.
        options: of these `audio`, `subtitles`, `chapters`, `metadata` and `strict`.
        scan: the requested frames; None for all.

    Raises:
        InputError: the source cannot be read.
        StrictError: `options.strict` is set and something would be lost; lists all losses.
    """
    choices = _choose(info, settings, options, scan)
    losses = [loss.text for loss in settings.losses]
    losses += [choice.reason for choice in choices if choice.loss]
    if options.strict and losses:
        raise StrictError(f"`strict`: {'; '.join(losses)}")
    return choices


def _choose(
    info: SourceInfo, settings: EncodeSettings, options: UpscaleOptions, scan: Scan | None
) -> tuple[StreamChoice, ...]:
    if info.kind != "video":
        return ()
    if settings.kind != "video":
        return tuple(
            _dropped(stream, "the output is frames") for stream in info.streams if _heard(stream)
        )
    if info.path == "-":
        return tuple(_dropped(stream, "a pipe is read only once") for stream in info.streams)
    try:
        with open_container(info.path) as source:
            there = presence(source, info, settings, scan)
            chooser = _Chooser(source, info, settings, options, there)
            found = [chooser.choose(stream) for stream in info.streams]
            found += filter(None, [chooser.time_code()])
            chapters = bool(source.chapters())
            metadata = source.metadata
    except (av.error.FFmpegError, OSError) as error:
        raise InputError(f"{info.path}: cannot be read: {error.strerror}") from error
    if chapters:
        found.append(_of_file("chapters", wanted=options.chapters))
    cover = any(choice.kind == "cover" and choice.action == "copy" for choice in found)
    found.append(_metadata(options, settings, odd_tags(metadata, settings.container), cover=cover))
    return tuple(found)


def _heard(stream: StreamInfo) -> bool:
    return stream.kind in ("audio", "subtitle") or (
        stream.kind == "video" and not stream.attached_picture
    )


def _of_file(kind: Part, *, wanted: bool) -> StreamChoice:
    if not wanted:
        return StreamChoice(source_index=None, kind=kind, action="drop", reason=_as_asked(kind))
    return StreamChoice(source_index=None, kind=kind, action="copy")


def _metadata(
    options: UpscaleOptions, settings: EncodeSettings, odd: list[str], *, cover: bool
) -> StreamChoice:
    choice = _of_file("metadata", wanted=options.metadata)
    if choice.action == "drop" or not odd or not cover:
        return choice
    # FFmpeg writes either the standard tags and the cover, or tags of any name.
    title = container_row(settings.container).title
    reason = f"{title} with cover art cannot hold the tags {', '.join(odd)}"
    return replace(choice, reason=reason, loss=True)


def odd_tags(metadata: dict[str, str], muxer: str) -> list[str]:
    """Return the names of the tags that the container does not define; [] if it takes any name."""
    places = container_row(muxer).named_tags
    if places is None:
        return []
    return sorted(k for k in metadata if k.lower() not in (*places, *NOT_GLOBAL))


def _as_asked(kind: str) -> str:
    return f"left out as asked (`{kind}=False`)"


def named(stream: StreamInfo) -> str:
    """Return a stream's name for messages, such as `audio track 2 (aac, deu)`."""
    about = ", ".join(filter(None, (spoken(stream), stream.language)))
    if stream.attached_picture:
        return f"cover art ({about})"
    return f"{stream.kind} track {stream.index} ({about})"


def spoken(stream: StreamInfo) -> str:
    """Return the usual name of a stream's codec."""
    return SPOKEN.get(stream.codec, stream.codec)


def _dropped(stream: StreamInfo, reason: str) -> StreamChoice:
    kind = "cover" if stream.attached_picture else stream.kind
    return StreamChoice(
        source_index=stream.index,
        kind=kind,
        action="drop",
        reason=f"{named(stream)} is dropped: {reason}",
        loss=True,
    )


class _Chooser:
    """Decides about each stream, trying whether the container can store it."""

    def __init__(
        self,
        source: InputContainer,
        info: SourceInfo,
        settings: EncodeSettings,
        options: UpscaleOptions,
        there: Presence,
    ) -> None:
        self._source, self._info, self._settings = source, info, settings
        self._there = there
        self._options = options
        self._container = container_row(settings.container)
        self._title = self._container.title

    def choose(self, stream: StreamInfo) -> StreamChoice:
        """Return what to do with a stream."""
        packet = self._there.first.get(stream.index)
        if stream.attached_picture:
            return self._cover(stream)
        if stream.kind == "audio":
            return self._audio(stream, packet)
        if stream.kind == "subtitle":
            return self._subtitle(stream)
        if stream.kind == "attachment":
            return self._attachment(stream)
        if stream.kind == "video":
            return _dropped(stream, "only one video track is upscaled (`video_track` chooses)")
        return self._data(stream, packet)

    def _data(self, stream: StreamInfo, packet: bytes | None) -> StreamChoice:
        source = self._source.streams[stream.index]
        choice = StreamChoice(source_index=stream.index, kind="data", action="drop")
        if is_time_code(source):
            return choice  # see `time_code`
        chapters = len(self._source.chapters())
        if chapters and source.frames == chapters:  # titles of chapters, as MP4 stores them
            return choice
        if absent := self._absent(stream):
            return absent
        if packet is not None and self._can_copy(stream, packet):
            return replace(choice, action="copy")
        about = source.metadata.get("handler_name", "").strip() or source.name or "unknown"
        named = replace(stream, codec=about, language=None)
        return _dropped(named, f"{self._title} as written here cannot hold it")

    def time_code(self) -> StreamChoice | None:
        """Return what to do with the time code, which `mux.join` writes; None if there is none."""
        if not (text := time_code_of(self._source, self._info)):
            return None
        loss, reason = False, ""
        if not self._options.metadata:
            reason = _as_asked("metadata")
        elif self._settings.cut_start:
            reason = "the time code is left out: it names the first frame, which is cut off"
        elif self._container.time_code_tracks:
            loss = time_code_rate(self._source, self._info, self._settings) is None
            reason = "the time code track is written anew"
            if loss:
                reason = f"the time code {text} is dropped: {self._title} has none at this rate"
        elif any(is_time_code(s) for s in self._source.streams.data):
            reason = f"the time code track becomes a tag: {self._title} has no such tracks"
        return StreamChoice(source_index=None, kind="data", action="drop", loss=loss, reason=reason)

    def _can_copy(self, stream: StreamInfo, packet: bytes | None) -> bool:
        return can_copy(self._source.streams[stream.index], self._container.muxer, packet)

    def _absent(self, stream: StreamInfo) -> StreamChoice | None:
        """Return the choice for a track without packets, which is no loss; None for others."""
        if reason := self._there.absent.get(stream.index):
            return replace(
                _dropped(stream, ""), reason=f"{named(stream)} is left out: {reason}", loss=False
            )
        return None

    def _audio(self, stream: StreamInfo, packet: bytes | None) -> StreamChoice:
        choice = StreamChoice(source_index=stream.index, kind="audio", action="copy")
        if not self._options.audio:
            return replace(choice, action="drop", reason=_as_asked("audio"))
        if absent := self._absent(stream):
            return absent
        misread = stream.codec.startswith(self._container.misread_audio)
        if not misread and self._can_copy(stream, packet):
            return choice
        lossless = is_lossless(stream.codec)
        codec = self._container.audio[0 if lossless else 1]
        decoder = cast(
            "av.AudioCodecContext | None", self._source.streams[stream.index].codec_context
        )
        if decoder is None:
            return _dropped(stream, f"{self._title} cannot hold it, and it cannot be decoded here")
        shape = audio_shape(decoder, codec)
        if shape is None:
            return _dropped(stream, f"{self._title} cannot hold it, and {codec} cannot encode it")
        mixed = av.AudioLayout(shape.layout).nb_channels < decoder.layout.nb_channels
        row = audio_row(codec)
        cut = stream.codec.startswith(row.cut)
        how = f"{' in stereo' if mixed else ''}{f' of {row.bits} bits' if cut else ''}"
        return replace(
            choice,
            action="transcode",
            codec=codec,
            loss=mixed or cut or not (lossless and row.lossless),
            reason=f"{named(stream)} becomes {codec}{how}: "
            + (
                f"many players read {spoken(stream)} in {self._title} wrongly"
                if misread
                else f"{self._title} cannot hold {spoken(stream)}"
            ),
        )

    def _subtitle(self, stream: StreamInfo) -> StreamChoice:
        choice = StreamChoice(source_index=stream.index, kind="subtitle", action="copy")
        if not self._options.subtitles:
            return replace(choice, action="drop", reason=_as_asked("subtitles"))
        if absent := self._absent(stream):
            return absent
        if self._can_copy(stream, None):
            return choice
        if not is_text(stream.codec):
            return _dropped(stream, f"{self._title} cannot hold {spoken(stream)} subtitles")
        if not _can_decode(self._source.streams[stream.index]):
            return _dropped(stream, f"{stream.codec} subtitles cannot be decoded here")
        codec = self._container.text_subtitles
        return replace(
            choice,
            action="transcode",
            codec=codec,
            reason=f"{named(stream)} becomes {codec}: {self._title} cannot hold {spoken(stream)}",
        )

    def _attachment(self, stream: StreamInfo) -> StreamChoice:
        if self._container.attachments:
            return StreamChoice(source_index=stream.index, kind="attachment", action="copy")
        return _dropped(stream, f"{self._title} holds no attachments")

    def _cover(self, stream: StreamInfo) -> StreamChoice:
        choice = StreamChoice(source_index=stream.index, kind="cover", action="copy")
        if not self._options.metadata:
            return replace(choice, action="drop", reason=_as_asked("metadata"))
        if not self._container.covers:
            return _dropped(stream, f"{self._title} holds no cover art")
        if stream.codec not in (self._container.cover_codings or (stream.codec,)):
            return _dropped(stream, f"{self._title} takes no {stream.codec} cover art")
        return choice


def can_copy(stream: Stream, muxer: str, packet: bytes | None) -> bool:
    """Return whether a file with only this stream can be written.

    Header, packet and trailer may each fail, so all are tried.

    Args:
        stream: the source's stream.
        muxer: FFmpeg's name of the container.
        packet: a packet of the stream; None to write none.
    """
    try:
        with open_output(io.BytesIO(), muxer) as trial:
            copy = trial.add_stream_from_template(stream, opaque=True)
            trial.start_encoding()
            if packet is not None:
                first: av.Packet[Stream] = av.Packet(packet)
                first.stream = copy
                first.time_base = stream.time_base or Fraction(1, 1000)
                first.pts = first.dts = 0
                first.duration = 1
                trial.mux(first)
            trial.close()
    except (av.error.FFmpegError, ValueError, OSError):
        return False
    return True


def _can_decode(stream: Stream) -> bool:
    return stream.codec_context is not None
