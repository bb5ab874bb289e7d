"""Frames through the writing half of the video layer: settings, segments, join, verification."""

import av
import numpy as np

from support.places import DATA
from vsrpp_cli.media.decode.probe import probe
from vsrpp_cli.media.encode.selection import resolve
from vsrpp_cli.media.encode.writer import SegmentWriter
from vsrpp_cli.media.mux.join import join
from vsrpp_cli.media.mux.stream_selection import plan_streams
from vsrpp_cli.media.mux.verify import verify
from vsrpp_cli.media.types import Frame, OutputPlan, Scan
from vsrpp_cli.options import UpscaleOptions

STREAMS = DATA / "streams"


def scan_of(path, start=0, stop=None):
    """Return frames `start:stop` of a video whose packets all are frames."""
    with av.open(str(path)) as file:
        pts = sorted(packet.pts for packet in file.demux(video=0) if packet.size)
    pts.append(2 * pts[-1] - pts[-2])
    chosen = pts[start : len(pts) - 1 if stop is None else stop]
    return Scan(pts=tuple(chosen), last_duration=pts[pts.index(chosen[-1]) + 1] - chosen[-1])


def picture(index, width, height):
    """Return frame `index` of a smooth moving pattern: (3, height, width) in [0, 1]."""
    y, x = np.mgrid[:height, :width].astype(np.float32)
    wave = 0.5 + 0.4 * np.sin((x + 3 * index) / 11) * np.cos(y / 17)
    return np.stack([wave, wave * 0.8, 1 - wave]).astype(np.float32)


def encode(folder, scan, settings, segment=7):
    """Write all frames of `scan` in segments of so many frames; return their paths."""
    paths = []
    for start in range(0, scan.frames, segment):
        path = folder / f"segment{start}.mkv"
        with SegmentWriter(path, settings) as writer:
            for index in range(start, min(start + segment, scan.frames)):
                rgb = picture(index, settings.width, settings.height)
                writer.write(Frame(scan.pts[index], rgb, rgb[0]))
            writer.close()
        paths.append(path)
    return paths


def produce(source, output, *, options=None, scan=None, segment=7, info=None, scale=2):
    """Make `output` from test pictures and everything else in `source`; return its plan."""
    options = options or UpscaleOptions()
    info = info or probe(str(source))
    scan = scan or scan_of(source)
    settings = resolve(info, options, output, scale=scale, threads=2)
    streams = plan_streams(info, settings, options)
    plan = OutputPlan(path=str(output), encode=settings, streams=streams)
    segments = encode(output.parent, scan, settings, segment)
    join(segments, scan, info, plan, output)
    assert verify(output, scan, info, plan, decode=True) == []
    return plan
