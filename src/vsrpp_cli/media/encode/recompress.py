"""Frames through an encoder and back: what compression does to them, for training."""

import io
from typing import cast

import av
import numpy as np
from numpy.typing import NDArray

from vsrpp_cli.errors import EncoderError
from vsrpp_cli.media.opening import open_input, open_output


def recompress(
    frames: NDArray[np.uint8], *, crf: float, codec: str = "libx264", preset: str = "veryfast"
) -> NDArray[np.uint8]:
    """Encode and decode a clip, 4:2:0, in memory.

    Args:
        frames: (T, H, W, 3) RGB; odd sizes are padded for the encoder and cropped again.
        crf: constant rate factor: larger is worse.
        codec: an encoder that takes `crf` and `preset`.
        preset: its speed.

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
        with open_output(buffer, "matroska") as container:
            stream = cast("av.VideoStream", container.add_stream(codec, rate=25))
            stream.height, stream.width = even.shape[1:3]
            stream.pix_fmt = "yuv420p"
            # One thread: the result must not depend on the machine.
            stream.options = {"crf": f"{crf:.2f}", "preset": preset, "threads": "1"}
            for picture in even:
                container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
            container.mux(stream.encode(None))
        buffer.seek(0)
        with open_input(buffer) as result:
            decoded = [f.to_ndarray(format="rgb24") for f in result.decode(video=0)]
    except (av.FFmpegError, ValueError) as error:
        raise EncoderError(f"{codec} cannot compress training clips: {error}") from error
    assert len(decoded) == count
    return cast("NDArray[np.uint8]", np.stack(decoded)[:, :height, :width])
