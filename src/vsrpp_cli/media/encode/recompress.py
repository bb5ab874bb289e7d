"""Compresses and decompresses clips in memory, for training and measuring."""

import io
from typing import cast

import av
import numpy as np
from numpy.typing import NDArray

from vsrpp_cli.errors import EncoderError
from vsrpp_cli.media.color.convert import frame_to_rgb, rgb_to_frame
from vsrpp_cli.media.encode.encoding import BT601, Encoding
from vsrpp_cli.media.opening import open_input, open_output
from vsrpp_cli.media.types import ASSUMED_RATE


def recompress(frames: NDArray[np.uint8], encoding: Encoding) -> NDArray[np.uint8]:
    """Encode and decode a clip in memory, in BT.601.

    Args:
        frames: (T, H, W, 3) RGB; odd sizes are padded for the encoder and cropped again.
        encoding: encoder and settings.

    Returns:
        The decoded clip, same shape.

    Raises:
        EncoderError: the encoder is missing, or refuses the frames.
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
