"""Videos whose frames carry their own number, in many containers, and ways to read them back."""

from fractions import Fraction

import av
import numpy as np

from support.places import EXAMPLE

BITS, BLOCK = 8, 16
"""The number's binary digits, and the side of the square each is drawn as."""


def numbered(index, width=128, height=96):
    """Return a picture with moving stripes above and its number in black and white below."""
    y, x = np.mgrid[:height, :width]
    gray = (128 + 90 * np.sin((x + 5 * index) / 9) * np.cos((y + 2 * index) / 7)).astype(np.uint8)
    for bit in range(BITS):
        gray[-BLOCK:, bit * BLOCK : (bit + 1) * BLOCK] = 235 if index >> bit & 1 else 16
    return np.repeat(gray[..., None], 3, 2)


def number(rgb):
    """Return the number in a picture, shape (3, H, W) in [0, 1]."""
    row = rgb[1, -BLOCK:, : BITS * BLOCK].reshape(BLOCK, BITS, BLOCK).mean((0, 2))
    return sum(1 << bit for bit in range(BITS) if row[bit] > 0.5)


def write(
    path,
    pictures,
    *,
    codec="libx264",
    pix_fmt="yuv420p",
    pts=None,
    time_base=Fraction(1, 24),
    rate=24,
    options=None,
    container=None,
    prepare=None,
    last=None,
):
    """Encode pictures (H, W, 3) uint8, at `pts`; `prepare(stream)` may change the stream first.

    `last` is how long the last one stays.
    """
    pictures = list(pictures)
    pts = list(range(len(pictures))) if pts is None else list(pts)
    with av.open(str(path), "w", options=container or {}) as file:
        stream = file.add_stream(codec, rate=rate, options=options or {})
        stream.height, stream.width = pictures[0].shape[:2]
        stream.pix_fmt = pix_fmt
        stream.time_base = stream.codec_context.time_base = time_base
        stream.codec_context.flags |= av.codec.context.Flags.frame_duration
        if prepare is not None:
            prepare(stream)
        for index, picture in enumerate(pictures):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), "rgb24")
            frame = frame.reformat(format=pix_fmt)
            frame.pts, frame.time_base = pts[index], time_base
            if index + 1 < len(pts):
                frame.duration = pts[index + 1] - pts[index]
            elif last is not None:
                frame.duration = last
            file.mux(stream.encode(frame))
        file.mux(stream.encode())
    return path


def write_numbered(path, frames=60, **options):
    """Encode `frames` numbered pictures."""
    return write(path, [numbered(i) for i in range(frames)], **options)


def natural(frames):
    """Return that many pictures of the example clip, (H, W, 3) uint8."""
    with av.open(str(EXAMPLE)) as file:
        decoded = file.decode(video=0)
        return [next(decoded).to_ndarray(format="rgb24") for _ in range(frames)]


def woven(pictures, *, top_first):
    """Return interlaced pictures made of two progressive ones each."""
    pairs = zip(pictures[::2], pictures[1::2], strict=True)
    result = []
    for first, second in pairs:
        frame = first.copy()
        frame[int(top_first) :: 2] = second[int(top_first) :: 2]
        result.append(frame)
    return result
