"""Clips that flash and beep at known times, and when others see and hear them do so."""

import subprocess
from fractions import Fraction

import av
import numpy as np

TIMES = (0.4, 1.2, 2.0)
SECONDS = 2.6
LONG = 0.08
"""Seconds that a flash and a beep last."""
PAUSE = 0.2
"""Seconds of darkness or silence before which nothing begins anew."""

CODECS = {
    ".mp4": ("libx264", "aac"),
    ".mov": ("mpeg4", "pcm_s16le"),
    ".mkv": ("libx264", "ac3"),
    ".webm": ("libvpx", "libopus"),
    ".ts": ("libx264", "mp2"),
    ".avi": ("mpeg4", "libmp3lame"),
    ".vob": ("mpeg2video", "ac3"),
}


def write_flashes(path, *options, times=TIMES, seconds=SECONDS, codecs=None):
    """Write a clip of 64x48 that flashes and beeps; `options` are ffmpeg's for the output."""
    on = "+".join(f"between(t,{t - 0.001},{t + LONG - 0.001})" for t in times)
    picture = f"color=c=black:s=64x48:r=25:d={seconds},drawbox=c=white:t=fill:enable='{on}'"
    sound = f"aevalsrc='0.8*sin(2000*PI*t)*({on})':s=48000:d={seconds}"
    video, audio = codecs or CODECS[path.suffix]
    command = ["ffmpeg", "-v", "error", "-y", "-f", "lavfi", "-i", picture, "-f", "lavfi"]
    command += ["-i", sound, "-c:v", video, "-c:a", audio, "-pix_fmt", "yuv420p", "-g", "12"]
    subprocess.run([*command, *options, path], check=True)
    return path


def remuxed(source, path, *options, before=()):
    """Copy the packets of a clip into another file with ffmpeg."""
    command = ["ffmpeg", "-v", "error", "-y", *before, "-i", source, "-c", "copy", *options, path]
    subprocess.run(command, check=True)
    return path


def flashes(path):
    """Return when the picture turns white, in seconds of the file's clock."""
    with av.open(str(path)) as file:
        seen = [
            (f.pts * f.time_base, f.to_ndarray(format="gray").mean()) for f in file.decode(video=0)
        ]
    return _onsets([(float(t), level > 110) for t, level in seen])


def beeps(path):
    """Return when tones begin, in seconds of the file's clock."""
    heard = []
    with av.open(str(path)) as file:
        resampler = av.AudioResampler(format="fltp", layout="mono", rate=48000)
        for frame in file.decode(audio=0):
            begin = float(frame.pts * frame.time_base)
            for part in resampler.resample(frame):
                loud = np.abs(part.to_ndarray()[0]) > 0.3
                heard += [
                    (begin + i / 48000, bool(loud[i : i + 48].any()))
                    for i in range(0, len(loud), 48)
                ]
    return _onsets(sorted(heard))


def _onsets(levels):
    onsets, last = [], -1.0
    for time, on in levels:
        if on:
            if time - last > PAUSE:
                onsets.append(round(time, 3))
            last = time
    return onsets


def begin(path):
    """Return at what time of its clock a player begins to show the file."""
    with av.open(str(path)) as file:
        return float(Fraction(file.start_time, av.time_base))


def with_edits(path, *edits):
    """Give all tracks of an MP4 whose index stands last an edit list, in place.

    Each edit is (begin, seconds) of what is played, begin None for a pause.
    """
    data = path.read_bytes()
    moov = next(box for box in _boxes(data, 0, len(data)) if box[0] == b"moov")
    assert moov[2] == len(data)
    scale = int.from_bytes(_find(data, moov, b"mvhd")[20:24])
    tracks = [box for box in _boxes(data, moov[1] + 8, moov[2]) if box[0] == b"trak"]
    body = bytearray()
    for box in _boxes(data, moov[1] + 8, moov[2]):
        body += _edited(data, box, scale, edits) if box in tracks else data[box[1] : box[2]]
    path.write_bytes(data[: moov[1]] + _box(b"moov", bytes(body)))
    return path


def _boxes(data, start, end):
    while start < end:
        size = int.from_bytes(data[start : start + 4])
        yield data[start + 4 : start + 8], start, start + size
        start += size


def _box(kind, content):
    return (len(content) + 8).to_bytes(4) + kind + content


def _find(data, box, *kinds):
    """Return the first box reached by a path of kinds, its header included."""
    for kind in kinds:
        box = next(b for b in _boxes(data, box[1] + 8, box[2]) if b[0] == kind)
    return data[box[1] : box[2]]


def _edited(data, track, scale, edits):
    unit = int.from_bytes(_find(data, track, b"mdia", b"mdhd")[20:24])
    base = int.from_bytes(_find(data, track, b"edts", b"elst")[20:24])
    entries = b""
    for begin, seconds in edits:
        media = -1 if begin is None else base + round(begin * unit)
        entries += round(seconds * scale).to_bytes(4) + media.to_bytes(4, signed=True)
        entries += (1 << 16).to_bytes(4)
    lists = _box(b"edts", _box(b"elst", bytes(4) + len(edits).to_bytes(4) + entries))
    body = bytearray()
    for box in _boxes(data, track[1] + 8, track[2]):
        body += lists if box[0] == b"edts" else data[box[1] : box[2]]
    return _box(b"trak", bytes(body))
