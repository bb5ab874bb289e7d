"""What stands around the network, part by part: for end_to_end.py."""

import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import av
import numpy as np
from av.video.plane import VideoPlane
from numpy.typing import NDArray

from vsrpp_cli.media.color.convert import frame_to_rgb
from vsrpp_cli.media.encode.writer import SegmentWriter, picture_of
from vsrpp_cli.media.source import open_source
from vsrpp_cli.media.types import EncodeSettings, Frame

Row = tuple[str, float]
"""A part, and its CPU time in seconds."""


def mosaic(clip: Path, times: int, count: int | None, path: Path) -> Path:
    """Write the first `count` pictures of a clip (4:2:0, 8 bits), each `times` x `times` in one.

    So a small clip becomes a large one that is as hard to encode, pixel for pixel.
    """
    with av.open(str(clip)) as source, av.open(str(path), "w") as made:
        given = source.streams.video[0]
        options = {"crf": "14", "preset": "fast"}
        stream = made.add_stream("libx264", rate=given.average_rate, options=options)
        stream.width, stream.height = times * given.width, times * given.height
        stream.pix_fmt = "yuv420p"
        for frame, _ in zip(source.decode(given), range(count or given.frames), strict=False):
            made.mux(stream.encode(repeated(frame, times)))
        made.mux(stream.encode(None))
    return path


def repeated(frame: av.VideoFrame, times: int) -> av.VideoFrame:
    """Return a picture, `times` across and down."""
    large = av.VideoFrame(times * frame.width, times * frame.height, "yuv420p")
    for plane, into in zip(frame.planes, large.planes, strict=True):
        codes(into)[:] = np.tile(codes(plane), (times, times))
    return large


def codes(plane: VideoPlane) -> NDArray[np.uint8]:
    """Return the code values of a plane of 8 bits, shape (H, W), without copying them."""
    rows: NDArray[np.uint8] = np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)
    return rows[:, : plane.width]


def parts(
    clip: Path, made: Sequence[Frame], settings: EncodeSettings, presets: Sequence[str], to: Path
) -> Iterator[Row]:
    """Yield what is done around the network, each part by itself.

    Args:
        clip: the source.
        made: the network's frames.
        settings: of the run's encoder.
        presets: of libx264, tried beside the run's own.
        to: a file to encode to.
    """
    reading, conversion = cpu_of_reading(clip), cpu_of_conversion(clip)
    yield "decoding", max(reading - conversion, 0.0)
    yield "conversion to RGB", conversion
    picture_of(made[0], settings)  # compiles
    colour = cpu(lambda: [picture_of(frame, settings) for frame in made])
    yield "conversion to code values", colour
    own = dict(settings.options).get("preset")
    for preset in (own, *(other for other in presets if other != own)):
        options = dict(settings.options) | ({"preset": preset} if preset else {})
        chosen = replace(settings, options=tuple(options.items()))
        took = cpu(lambda chosen=chosen: encode(made, chosen, to))
        yield f"encoding, {settings.codec}, preset {preset}", took - colour


def cpu(work: Callable[[], object]) -> float:
    """Return the CPU time of all threads while something is done."""
    before = time.process_time()
    work()
    return time.process_time() - before


def cpu_of_reading(clip: Path) -> float:
    """Return the CPU time of decoding all frames of a clip and converting them."""
    source = open_source(clip)
    scan = source.scan(scenes=False)
    next(source.read(scan, 0, 1))  # compiles
    return cpu(lambda: deque(source.read(scan, 0, scan.frames), maxlen=0))


def cpu_of_conversion(clip: Path) -> float:
    """Return the CPU time of converting all frames of a clip to RGB."""
    spec = open_source(clip).info.color
    with av.open(str(clip)) as file:
        frames = list(file.decode(video=0))
    return cpu(lambda: [frame_to_rgb(frame, spec) for frame in frames])


def encode(made: Sequence[Frame], settings: EncodeSettings, path: Path) -> None:
    """Encode frames the way a run does."""
    with SegmentWriter(path, settings) as writer:
        for frame in made:
            writer.write(frame)
        writer.close()
