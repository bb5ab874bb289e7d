"""What is known of codecs of sound, subtitles and cover art."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class AudioRow:
    """One codec of sound; the defaults hold for those without a row. Names are FFmpeg's."""

    codec: str
    lossless: bool = False
    kbit_per_channel: int | None = None
    """Generous: transcoding is the exception and happens to a finished mix."""
    rate: int | None = None
    """Samples a second, where it takes no other."""
    cut: tuple[str, ...] = ()
    """Beginnings of the names of codecs of more bits than it has."""
    bits: int | None = None
    """How many these are."""
    own_delay: bool = False
    """Whether a delay at the beginning belongs to the codec, not to the file."""


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
"""What people call those that FFmpeg names otherwise."""

IMAGE_TYPES = {
    "mjpeg": ("jpg", "image/jpeg"),
    "png": ("png", "image/png"),
    "bmp": ("bmp", "image/bmp"),
    "gif": ("gif", "image/gif"),
    "webp": ("webp", "image/webp"),
}
"""Suffix and MIME type by FFmpeg's codec."""


def audio_row(codec: str) -> AudioRow:
    """Return what is known of a codec of sound."""
    return _BY_CODEC.get(codec) or AudioRow(codec=codec)


def is_lossless(codec: str) -> bool:
    """Return whether a source's sound in this codec has lost nothing."""
    return codec.startswith(_LOSSLESS)


def is_text(codec: str) -> bool:
    """Return whether subtitles in this codec are text, not pictures."""
    return codec in _TEXT_SUBTITLES
