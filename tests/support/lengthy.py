"""Long videos without the time that encoding them would take."""

from fractions import Fraction

import av

from support.clips import write_clip

LOOP = 50
"""Frames that are encoded; they are repeated until the video is as long as wanted."""


def write_long_clip(path, frames, size=(64, 64)):
    """Write a video of `frames` frames, 25 a second, and return the path."""
    loop = write_clip(path.with_name(f"{path.stem}-loop.mp4"), LOOP, size)
    with av.open(str(loop)) as source, av.open(str(path), "w") as target:
        stream = target.add_stream_from_template(source.streams.video[0])
        packets = [(bytes(p), p.is_keyframe) for p in source.demux(video=0) if p.size]
        for index in range(frames):
            data, key = packets[index % LOOP]
            packet = av.Packet(data)
            packet.pts = packet.dts = index
            packet.duration, packet.time_base = 1, Fraction(1, 25)
            packet.is_keyframe = key
            packet.stream = stream
            target.mux(packet)
    loop.unlink()
    return path
