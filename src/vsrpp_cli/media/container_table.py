"""The containers on offer, one row each: what they hold, how, and what their muxers are told."""

from collections.abc import Mapping
from dataclasses import dataclass, field

Options = tuple[tuple[str, str], ...]


@dataclass(frozen=True, kw_only=True)
class ContainerRow:
    """One container file format. Names are FFmpeg's muxers."""

    muxer: str
    title: str
    suffixes: tuple[str, ...]
    codings: tuple[str, ...]
    """Chosen by default, the first for 8 bits and the second for more (or the same)."""
    alpha_coding: str | None = None
    """Chosen by default for sources with transparency."""
    stereo: tuple[str, ...] = ()
    """Layouts of 3D that it can name, see `SourceInfo.stereo`."""
    projections: tuple[str, ...] = ()
    """Projections of 360-degree video that it can name, see `Spherical`."""
    audio: tuple[str, str]
    """What sound becomes that cannot be copied: lossless, and all other."""
    misread_audio: tuple[str, ...] = ()
    """Beginnings of the names of codecs that it can hold, but many players misread there."""
    text_subtitles: str
    """What text subtitles become where they cannot be copied."""
    attachments: bool = False
    covers: bool = False
    """Whether it holds cover art."""
    cover_codings: tuple[str, ...] = ()
    """In which formats, where not in all."""
    attached_covers: bool = False
    """Whether cover art is an attached file, not a track of one picture."""
    time_code_tracks: bool = False
    named_tags: tuple[str, ...] | None = None
    """The tags of a file for which it has places as players know them; None where any will do."""
    lacking_tags: tuple[str, ...] = ()
    """Tags of a track (in lower case) for which it has no place."""
    title_tag: str | None = None
    """The tag that a track's title goes into, where there is no other place for it."""
    languages: Mapping[str, str] = field(default_factory=dict)
    """Names of languages that its muxer knows by another of the two that ISO 639-2 has."""
    codec_tags: Mapping[str, str] = field(default_factory=dict)
    """By coding, where FFmpeg's default is one that some players do not know."""
    stereo_tag: bool = False
    """Whether the tag `stereo_mode` states the 3D layout."""
    adds_multiview: bool = False
    """Whether its muxer describes any layout of 3D as two views coded apart, too."""
    display_size: bool = False
    """Whether the shape of pixels is said by the size that pictures are shown in."""
    edit_lists: bool = False
    """Whether edit lists express late starts and hide what is before zero."""
    increasing: bool = False
    """Whether each packet of a track has to be later than the one before."""
    track_durations: bool = False
    """Whether it states durations of tracks; elsewhere libavformat shows the whole file's there."""
    writes_delay: bool = False
    """Whether its muxer writes down what libavformat takes for a codec's own delay."""
    muxer_options: Options = ()
    """Always set."""


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
"""PCM that FFmpeg below version 6, and what is built on it, reads from MP4 as 16 bits (loud noise)
or not at all: the box that tells the bits (ISO/IEC 23003-5) is younger."""

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
"""FFmpeg's MOV muxer knows one of the two names ISO 639-2 has for these, and drops the other."""

APPLE_TAGS = {"hevc": "hvc1"}

# Checksums of Matroska's headers would not survive `set_display_size`.
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
"""Frames as they are, for pipes alone: too large for files, and without timestamps."""

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
