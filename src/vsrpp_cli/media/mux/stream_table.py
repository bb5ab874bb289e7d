"""Tables of audio, subtitle and cover art codecs."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class AudioRow:
    """One audio codec, by FFmpeg's names; the defaults apply to codecs without a row."""

    codec: str
    lossless: bool = False
    kbit_per_channel: int | None = None
    """Bit rate of transcoding per channel: high, as the sound was usually compressed before. None
    for the encoder's default."""
    rate: int | None = None
    """The only sample rate it accepts; None for any."""
    cut: tuple[str, ...] = ()
    """Prefixes of the names of codecs with more bits per sample than it can store."""
    bits: int | None = None
    """The most bits per sample it can store, if `cut` is not empty."""
    own_delay: bool = False
    """Whether a delay at the beginning is part of the codec, not of the file."""


AUDIO = (
    AudioRow(codec="flac", lossless=True),
    AudioRow(codec="alac", lossless=True, cut=("pcm_s32", "pcm_f"), bits=24),
    AudioRow(codec="aac", kbit_per_channel=96),
    AudioRow(codec="ac3", kbit_per_channel=112),
    AudioRow(codec="libopus", kbit_per_channel=80, rate=48000),
    AudioRow(codec="opus", own_delay=True),
)

_BY_CODEC = {row.codec: row for row in AUDIO}

_LOSSLESS = ("flac", "alac", "wavpack", "tta", "truehd", "mlp", "ape", "pcm", "shorten")
_TEXT_SUBTITLES = ("subrip", "srt", "ass", "ssa", "webvtt", "mov_text", "text", "ttml")

SPOKEN = {"mp3float": "mp3", "pgssub": "PGS", "dvdsub": "VobSub", "dvbsub": "DVB"}
"""Usual names of codecs, by FFmpeg's."""

IMAGE_TYPES = {
    "mjpeg": ("jpg", "image/jpeg"),
    "png": ("png", "image/png"),
    "bmp": ("bmp", "image/bmp"),
    "gif": ("gif", "image/gif"),
    "webp": ("webp", "image/webp"),
}
"""Suffix and MIME type by FFmpeg's codec."""


def audio_row(codec: str) -> AudioRow:
    """Return the row of an audio codec."""
    return _BY_CODEC.get(codec) or AudioRow(codec=codec)


def is_lossless(codec: str) -> bool:
    """Return whether an audio codec is lossless."""
    return codec.startswith(_LOSSLESS)


def is_text(codec: str) -> bool:
    """Return whether a subtitle codec stores text, not pictures."""
    return codec in _TEXT_SUBTITLES
