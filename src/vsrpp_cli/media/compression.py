"""How strongly a source was compressed, measured on a few of its pictures.

Three things can be known. A coding without loss has done no harm. Decoders of H.264, VP9 and the
MPEG family tell the quantiser of each block, which says most about the harm done: the coarser the
step, the more was thrown away, whatever the picture. For all others there is the size: bits a
pixel.

The thresholds stand in `docs/models.md` with the measurement they come from
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
"""Up to this mean quantiser, on H.264's scale for 8 bits, a source counts as clean."""
CLEAN_BITS = 0.3
"""Minimum bits per pixel of clean video, where no quantisers are known."""
CLEAN_BITS_INTRA = 2.0
"""The same for codings that predict nothing from other pictures: ProRes, DNxHD, DV, JPEG."""

VP9_SCALE, H264_SCALE = 0, 1
"""FFmpeg's AVVideoEncParamsType; 2 is the MPEG family's."""

PLACES = (0.1, 0.5, 0.9)
"""Parts of the duration at which pictures are looked at: openings are often black."""
PICTURES = 8
"""Pictures looked at in each place."""


@dataclass(frozen=True, kw_only=True)
class Compression:
    """What was measured, and what follows."""

    coding: str
    """FFmpeg's name, or the image format."""
    quantiser: float | None = None
    """Mean over blocks and pictures, on H.264's scale for 8 bits; None where not told."""
    bits: float | None = None
    """Bits a pixel; None where not known."""
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
        """Say it: ``H.264, mean quantiser 29: compressed``."""
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
    """Look at a source's coding, its size and, where the decoder tells them, its quantisers.

    Raises:
        InputError: the file cannot be read any more.
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
    """Return whether a coding never loses anything, and whether each picture stands alone."""
    try:
        codec = Codec(coding, "r")
    except UnknownCodecError:  # the decoder that reads it has another name
        return False, False
    return bool(codec.lossless and not codec.lossy), bool(codec.intra_only)


def _bits(info: SourceInfo) -> float | None:
    """Return bits a pixel by the file's size, sound included, which is little beside it."""
    path = Path(info.path)
    if not path.is_file() or not info.duration or not info.frame_rate:
        return None
    pixels = info.width * info.height * float(info.duration * info.frame_rate)
    return 8 * path.stat().st_size / pixels if pixels else None


def _mean_quantiser(info: SourceInfo) -> float | None:
    places = PLACES if info.duration else ()
    # Where seeking fails or lands behind the end, as in some recordings, the beginning has to do.
    for chosen in (places, (None,)):
        told = (quantiser_of(frame, info.bit_depth) for frame in _pictures(info, chosen))
        if found := [value for value in told if value is not None]:
            return float(np.mean(found))
    return None


def _pictures(info: SourceInfo, places: Sequence[float | None]) -> Iterator[VideoFrame]:
    """Yield pictures from places, parts of the duration; None is the beginning without seeking."""
    # One thread: with several, FFmpeg tells of a picture before all of it is decoded.
    with TrackDecoder(info.path, info.stream_index, threads=1) as decoder:
        decoder.stream.codec_context.options = {"export_side_data": "venc_params"}
        begin = decoder.stream.start_time or 0
        for place in places:
            length = float((info.duration or 0) / info.time_base)
            if place is None or decoder.seek(begin + int(place * length)):
                yield from islice(decoder.frames(), PICTURES)


def quantiser_of(frame: VideoFrame, bit_depth: int = 8) -> float | None:
    """Return a picture's mean quantiser on H.264's scale for 8 bits; None where it is not told.

    H.264's step doubles every 6 and is 1 at 4; steps of others are put on that scale. The data is
    FFmpeg's `AVVideoEncParams`, one `AVVideoBlockParams` a block.
    """
    data = side_data(frame, "VIDEO_ENC_PARAMS")
    if not data:
        return None
    blocks, offset, size, kind, base = struct.unpack_from("@INNii", data)
    mean = float(base)
    if blocks:
        # Behind a block's place and size, four numbers, comes its difference.
        mean += float(np.ndarray(blocks, np.int32, data, offset + 16, (size,)).mean())
    if kind == VP9_SCALE:
        # Up to index 100 its step for 8 bits is the index and 7, in eighths; beyond it is larger.
        return 4 + 6 * math.log2((mean + 7) / 8)
    if kind == H264_SCALE:
        return mean - 6 * (bit_depth - 8)
    # What is told of the MPEG family is the step itself.
    return 4 + 6 * math.log2(max(mean, 1))
