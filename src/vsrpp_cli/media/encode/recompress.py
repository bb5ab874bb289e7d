"""Frames through an encoder and back: what compression does to them, for training and measuring."""

import io
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import cast

import av
import numpy as np
from numpy.typing import NDArray

from vsrpp_cli.errors import EncoderError
from vsrpp_cli.media.color.convert import frame_to_rgb, rgb_to_frame
from vsrpp_cli.media.opening import open_input, open_output
from vsrpp_cli.media.types import ASSUMED_RATE, ColorSpec, EncodeSettings

BT601 = ColorSpec(matrix="smpte170m", full_range=False, primaries="smpte170m", transfer="smpte170m")
"""What small video usually is, tagged or not."""


@dataclass(frozen=True)
class Encoding:
    """How frames are compressed; the defaults are what most video on the web had at best."""

    codec: str = "libx264"
    """``libx264``, ``libvpx-vp9``, ``mpeg2video`` or ``mpeg4`` (MPEG-4 Part 2)."""
    quality: float = 23.0
    """CRF of libx264 (0 to 51) and libvpx-vp9 (0 to 63); quantiser of the others (1 to 31)."""
    preset: str = "medium"
    """Of libx264."""
    pix_fmt: str = "yuv420p"

    @property
    def options(self) -> dict[str, str]:
        """Return the encoder's options. One thread: the result must not depend on the machine."""
        return _OPTIONS[self.codec](self) | {"threads": "1"}

    def settings(self, width: int, height: int, time_base: Fraction) -> EncodeSettings:
        """Return what a segment writer needs to compress frames in this way."""
        options = tuple((key, value) for key, value in self.options.items() if key != "threads")
        return EncodeSettings(
            kind="video",
            container="matroska",
            codec=self.codec,
            pix_fmt=self.pix_fmt,
            width=width,
            height=height,
            time_base=time_base,
            frame_rate=ASSUMED_RATE,
            color=BT601,
            options=options,
        )


def _quantiser(encoding: Encoding) -> dict[str, str]:
    level = f"{round(encoding.quality)}"
    return {"qmin": level, "qmax": level}


_OPTIONS: dict[str, Callable[[Encoding], dict[str, str]]] = {
    "libx264": lambda e: {"crf": f"{e.quality:.2f}", "preset": e.preset},
    "libvpx-vp9": lambda e: {
        "crf": f"{round(e.quality)}", "b": "0", "deadline": "realtime", "cpu-used": "6"
    },
    "mpeg2video": _quantiser,
    "mpeg4": _quantiser,
}  # fmt: skip


def recompress(frames: NDArray[np.uint8], encoding: Encoding) -> NDArray[np.uint8]:
    """Encode and decode a clip in memory, BT.601, as this program converts colours.

    Args:
        frames: (T, H, W, 3) RGB; odd sizes are padded for the encoder and cropped again.
        encoding: what with.

    Returns:
        The clip as decoded, same shape.

    Raises:
        EncoderError: the encoder is not there or refuses.
    """
    count, height, width, _ = frames.shape
    pad = ((0, 0), (0, height % 2), (0, width % 2), (0, 0))
    even = np.pad(frames, pad, mode="edge")
    buffer = io.BytesIO()
    try:
        _encode(even, encoding, buffer)
        buffer.seek(0)
        with open_input(buffer) as coded:
            decoded = [_codes(frame_to_rgb(frame, BT601)) for frame in coded.decode(video=0)]
    except (av.FFmpegError, ValueError) as error:
        raise EncoderError(f"{encoding.codec} cannot compress frames: {error}") from error
    if len(decoded) != count:
        raise EncoderError(f"{encoding.codec} gave {len(decoded)} frames for {count}")
    return np.stack(decoded)[:, :height, :width]


def _encode(frames: NDArray[np.uint8], encoding: Encoding, buffer: io.BytesIO) -> None:
    with open_output(buffer, "matroska") as container:
        stream = cast("av.VideoStream", container.add_stream(encoding.codec, rate=ASSUMED_RATE))
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = encoding.pix_fmt
        stream.options = dict(encoding.options)
        for picture in frames:
            rgb = picture.transpose(2, 0, 1).astype(np.float32) / np.float32(255)
            container.mux(stream.encode(rgb_to_frame(rgb, encoding.pix_fmt, BT601)))
        container.mux(stream.encode(None))


def _codes(rgb: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Return RGB (3, H, W) in [0, 1] as (H, W, 3) in 0..255."""
    codes = np.rint(rgb * np.float32(255)).astype(np.uint8)
    return np.asarray(codes.transpose(1, 2, 0))
