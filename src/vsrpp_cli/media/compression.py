"""Measures how strongly a source was compressed, on a few of its pictures.

Lossless codings count as clean. Decoders of H.264, VP9 and the MPEG family export the quantiser of
each block, which is the best measure: the coarser its step, the more was lost, whatever the
picture. For other codings the number of bits per pixel is used.

`docs/models.md` has the thresholds and the measurements they are based on
(`benchmarks/choose_model.py`).
"""

import math
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
from av.codec.codec import Codec, UnknownCodecError
from av.video.frame import VideoFrame

from vsrpp_cli.media.coding_table import coding_row
from vsrpp_cli.media.decode.decoding import TrackDecoder
from vsrpp_cli.media.decode.side_data import side_data
from vsrpp_cli.media.images.format_table import image_row
from vsrpp_cli.media.images.source import find_frames
from vsrpp_cli.media.types import SourceInfo

CLEAN_QUANTISER = 27.0
"""Highest mean quantiser, on H.264's scale for 8 bits, of sources that count as clean."""
CLEAN_BITS = 0.3
"""Least bits per pixel of clean video for which no quantisers are known."""
CLEAN_BITS_INTRA = 2.0
"""The same for codings without prediction from other pictures: ProRes, DNxHD, DV, JPEG."""

VP9_SCALE, H264_SCALE = 0, 1
"""FFmpeg's AVVideoEncParamsType; 2 is the MPEG family's."""

PLACES = (0.1, 0.5, 0.9)
"""Positions at which pictures are measured, as shares of the duration: openings are often black."""
PICTURES = 8
"""Pictures that are measured at each position."""


@dataclass(frozen=True, kw_only=True)
class Compression:
    """A measurement, and the conclusion."""

    coding: str
    """FFmpeg's name, or the image format."""
    quantiser: float | None = None
    """Mean over blocks and pictures, on H.264's scale for 8 bits; None if not known."""
    bits: float | None = None
    """Bits per pixel; None if not known."""
    lossless: bool = False
    intra: bool = False
    """Whether no picture is predicted from another."""

    @property
    def strong(self) -> bool:
        """Whether the source counts as compressed rather than clean."""
        if self.lossless:
            return False
        if self.quantiser is not None:
            return round(self.quantiser) > CLEAN_QUANTISER
        return (self.bits or 0.0) < (CLEAN_BITS_INTRA if self.intra else CLEAN_BITS)

    @property
    def text(self) -> str:
        """A phrase, e.g. ``H.264, mean quantiser 29: compressed``."""
        verdict = "compressed" if self.strong else "clean"
        return f"{coding_row(self.coding).title}, {self._measure()}: {verdict}"

    def _measure(self) -> str:
        if self.lossless:
            return "lossless"
        if self.quantiser is not None:
            scale = coding_row(self.coding).scale_of_quantiser
            return f"mean quantiser {self.quantiser:.0f}{scale}"
        return "strength not told" if self.bits is None else f"{self.bits:.2f} bits a pixel"


def compression_of(info: SourceInfo) -> Compression:
    """Measure a source by its coding, its size and, if the decoder exports them, its quantisers.

    Raises:
        InputError: the file cannot be read.
    """
    if info.kind == "frames":
        sizes = [8 * path.stat().st_size for path in find_frames(info.path)]
        bits = sum(sizes) / (len(sizes) * info.width * info.height)
        lossless = image_row(info.codec).lossless
        return Compression(coding=info.codec, bits=bits, lossless=lossless, intra=True)
    lossless, intra = _traits(info.codec)
    told = Path(info.path).is_file() and coding_row(info.codec).tells_quantiser
    return Compression(
        coding=info.codec,
        quantiser=_mean_quantiser(info) if told else None,
        bits=_bits(info),
        lossless=lossless,
        intra=intra,
    )


def _traits(coding: str) -> tuple[bool, bool]:
    """Return whether a coding is lossless, and whether it is intra-only."""
    try:
        codec = Codec(coding, "r")
    except UnknownCodecError:  # the decoder that reads it has another name
        return False, False
    return bool(codec.lossless and not codec.lossy), bool(codec.intra_only)


def _bits(info: SourceInfo) -> float | None:
    """Return bits per pixel by the size of the file; the sound in it is neglected."""
    path = Path(info.path)
    if not path.is_file() or not info.duration or not info.frame_rate:
        return None
    pixels = info.width * info.height * float(info.duration * info.frame_rate)
    return 8 * path.stat().st_size / pixels if pixels else None


def _mean_quantiser(info: SourceInfo) -> float | None:
    places = PLACES if info.duration else ()
    # In some recordings seeking fails or ends after the last frame: then use the beginning.
    for chosen in (places, (None,)):
        told = (quantiser_of(frame, info.bit_depth) for frame in _pictures(info, chosen))
        if found := [value for value in told if value is not None]:
            return float(np.mean(found))
    return None


def _pictures(info: SourceInfo, places: Sequence[float | None]) -> Iterator[VideoFrame]:
    """Yield pictures at positions, shares of the duration; None is the beginning, without seek."""
    # One thread: with several, FFmpeg exports quantisers before the whole picture is decoded.
    with TrackDecoder(info.path, info.stream_index, threads=1) as decoder:
        decoder.stream.codec_context.options = {"export_side_data": "venc_params"}
        begin = decoder.stream.start_time or 0
        for place in places:
            length = float((info.duration or 0) / info.time_base)
            if place is None or decoder.seek(begin + int(place * length)):
                yield from islice(decoder.frames(), PICTURES)


def quantiser_of(frame: VideoFrame, bit_depth: int = 8) -> float | None:
    """Return a picture's mean quantiser on H.264's scale for 8 bits; None if it is not known.

    On that scale the step is 1 at 4 and doubles every 6; steps of other codings are converted. The
    data is FFmpeg's `AVVideoEncParams` with an `AVVideoBlockParams` for each block.
    """
    data = side_data(frame, "VIDEO_ENC_PARAMS")
    if not data:
        return None
    blocks, offset, size, kind, base = struct.unpack_from("@INNii", data)
    mean = float(base)
    if blocks:
        # A block has its position and size, four integers, then its difference.
        mean += float(np.ndarray(blocks, np.int32, data, offset + 16, (size,)).mean())
    if kind == VP9_SCALE:
        # Up to index 100 the step for 8 bits is (index + 7) / 8; above it is larger.
        return 4 + 6 * math.log2((mean + 7) / 8)
    if kind == H264_SCALE:
        return mean - 6 * (bit_depth - 8)
    # For the MPEG family the value is the step itself.
    return 4 + 6 * math.log2(max(mean, 1))
