"""A table of the containers that can be written: what they hold, and options of their muxers."""

from collections.abc import Mapping
from dataclasses import dataclass, field

Options = tuple[tuple[str, str], ...]


@dataclass(frozen=True, kw_only=True)
class ContainerRow:
    """One container file format."""

    muxer: str
    """FFmpeg's name."""
    title: str
    """Its usual name, for messages."""
    suffixes: tuple[str, ...]
    codings: tuple[str, ...]
    """Default codings: the first for 8 bits, the second for more."""
    alpha_coding: str | None = None
    """Default coding for sources with transparency."""
    stereo: tuple[str, ...] = ()
    """Layouts of 3D that it can state, see `SourceInfo.stereo`."""
    projections: tuple[str, ...] = ()
    """Projections of 360-degree video that it can state, see `Spherical`."""
    audio: tuple[str, str]
    """Codecs to which sound is converted that cannot be copied: lossless sound, and other sound."""
    misread_audio: tuple[str, ...] = ()
    """Beginnings of the names of codecs that it can hold but many players misread."""
    text_subtitles: str
    """Codec to which text subtitles are converted that cannot be copied."""
    attachments: bool = False
    covers: bool = False
    """Whether it holds cover art."""
    cover_codings: tuple[str, ...] = ()
    """The formats of cover art that it holds; empty for all."""
    attached_covers: bool = False
    """Whether cover art is an attached file rather than a track of one picture."""
    time_code_tracks: bool = False
    """Whether it has time code tracks."""
    named_tags: tuple[str, ...] | None = None
    """The tags of a file that it can store so that players find them; None for all tags."""
    lacking_tags: tuple[str, ...] = ()
    """Tags of a track (in lower case) that it cannot store."""
    title_tag: str | None = None
    """The tag in which a track's title is stored, if there is no field for it."""
    languages: Mapping[str, str] = field(default_factory=dict)
    """Language codes of ISO 639-2 that its muxer only knows in their other form."""
    codec_tags: Mapping[str, str] = field(default_factory=dict)
    """By coding, codec tags to use where some players do not know FFmpeg's default."""
    stereo_tag: bool = False
    """Whether the tag `stereo_mode` states the 3D layout."""
    adds_multiview: bool = False
    """Whether its muxer also describes any 3D layout as two separately coded views."""
    display_size: bool = False
    """Whether it states the shape of pixels by a display size."""
    edit_lists: bool = False
    """Whether edit lists express late starts and hide what is before zero."""
    increasing: bool = False
    """Whether each packet of a track must be later than the one before."""
    track_durations: bool = False
    """Whether it states durations of tracks; otherwise libavformat reports the file's duration."""
    writes_delay: bool = False
    """Whether its muxer writes what libavformat takes for the delay of a codec."""
    muxer_options: Options = ()
    """Options that are always set."""


PROJECTIONS = ("equirectangular", "tile", "cubemap")
WEBM_STEREO = ("left_right", "right_left", "top_bottom", "bottom_top")
MATROSKA_STEREO = (
    *WEBM_STEREO,
    *("checkerboard_lr", "checkerboard_rl", "row_interleaved_lr", "row_interleaved_rl"),
    *("col_interleaved_lr", "col_interleaved_rl", "block_lr", "block_rl"),
    *("anaglyph_cyan_red", "anaglyph_green_magenta"),
)
"""RFC 9559, section 5.1.4.1.28.3; WebM allows the first four."""

ISO_TAGS = (
    *("title", "artist", "album_artist", "composer", "album", "date", "comment", "genre"),
    *("copyright", "grouping", "lyrics", "description", "synopsis", "show", "episode_id"),
    *("network", "keywords", "episode_sort", "season_number", "media_type", "hd_video"),
    *("compilation", "track", "disc", "tmpo", "creation_time", "language"),
)
"""FFmpeg's movenc.c, `mov_write_ilst_tag`."""

ONLY_ISO = ("handler_name", "vendor_id", "creation_time")
"""Tags of a track that only MP4 and MOV have a place for."""

MISREAD_PCM = ("pcm_s24", "pcm_s32", "pcm_f")
"""PCM that FFmpeg before version 6, and programs built on it, read from MP4 as 16 bits (loud noise)
or not at all: the box that states the bits (ISO/IEC 23003-5) is newer."""

QUICKTIME_LANGUAGES = {
    "deu": "ger",
    "fre": "fra",
    "nld": "dut",
    "swe": "sve",
    "ell": "gre",
    "isl": "ice",
    "zho": "chi",
    "sqi": "alb",
    "rum": "ron",
    "cze": "ces",
    "slo": "slk",
    "mkd": "mac",
}
"""FFmpeg's MOV muxer knows one of the two codes that ISO 639-2 has for these languages, and drops
the other."""

APPLE_TAGS = {"hevc": "hvc1"}

# `set_display_size` would invalidate checksums of Matroska's headers.
MATROSKA_OPTIONS = (("write_crc32", "0"), ("avoid_negative_ts", "disabled"))
FAST_START = (("movflags", "+faststart"),)

CONTAINERS = (
    ContainerRow(
        muxer="mp4",
        title="MP4",
        suffixes=(".mp4", ".m4v"),
        codings=("h264", "hevc"),
        stereo=("left_right", "top_bottom"),
        projections=PROJECTIONS,
        audio=("alac", "aac"),
        misread_audio=MISREAD_PCM,
        text_subtitles="mov_text",
        covers=True,
        cover_codings=("mjpeg", "png", "bmp"),
        adds_multiview=True,
        time_code_tracks=True,
        named_tags=ISO_TAGS,
        title_tag="handler_name",
        codec_tags=APPLE_TAGS,
        edit_lists=True,
        increasing=True,
        track_durations=True,
        muxer_options=FAST_START,
    ),
    ContainerRow(
        muxer="mov",
        title="MOV",
        suffixes=(".mov", ".qt"),
        codings=("h264", "hevc"),
        alpha_coding="prores",
        audio=("alac", "aac"),
        text_subtitles="mov_text",
        languages=QUICKTIME_LANGUAGES,
        time_code_tracks=True,
        named_tags=ISO_TAGS,
        title_tag="handler_name",
        codec_tags=APPLE_TAGS,
        edit_lists=True,
        increasing=True,
        track_durations=True,
        muxer_options=FAST_START,
    ),
    ContainerRow(
        muxer="matroska",
        title="Matroska",
        suffixes=(".mkv",),
        codings=("h264", "hevc"),
        stereo=MATROSKA_STEREO,
        projections=PROJECTIONS,
        audio=("flac", "libopus"),
        text_subtitles="srt",
        attachments=True,
        covers=True,
        attached_covers=True,
        lacking_tags=ONLY_ISO,
        stereo_tag=True,
        display_size=True,
        writes_delay=True,
        muxer_options=MATROSKA_OPTIONS,
    ),
    ContainerRow(
        muxer="webm",
        title="WebM",
        suffixes=(".webm",),
        codings=("vp9", "av1"),
        alpha_coding="vp9",
        stereo=WEBM_STEREO,
        projections=PROJECTIONS,
        audio=("libopus", "libopus"),
        text_subtitles="webvtt",
        lacking_tags=ONLY_ISO,
        stereo_tag=True,
        display_size=True,
        writes_delay=True,
        muxer_options=MATROSKA_OPTIONS,
    ),
)

Y4M = ContainerRow(
    muxer="yuv4mpegpipe",
    title="Y4M",
    suffixes=(),
    codings=("rawvideo", "rawvideo"),
    audio=("", ""),
    text_subtitles="",
)
"""Uncompressed frames without timestamps, for pipes only."""

_BY_MUXER = {row.muxer: row for row in CONTAINERS}


def container_row(muxer: str) -> ContainerRow:
    """Return the row of a muxer; `muxer` is FFmpeg's name."""
    return _BY_MUXER[muxer]


UNSUITABLE = {
    ".avi": "AVI has no timestamps, so variable rates, late starts and B-frames are lost",
    ".ts": "MPEG-TS moves the beginning and rounds timestamps",
    ".m2ts": "MPEG-TS moves the beginning and rounds timestamps",
    ".mpg": "MPEG program streams hold none of the codecs on offer",
    ".flv": "FLV holds one codec and one sound track only",
    ".gif": "GIF has 256 colours and rounds timestamps to hundredths",
    ".wmv": "ASF is hardly played any more",
}
"""Suffixes of formats that are refused, and why."""
