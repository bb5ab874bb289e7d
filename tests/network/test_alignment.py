"""Flashes and clicks at both ends of ten minutes stay together, through the command."""

from fractions import Fraction

import av
import numpy as np
import pytest

from support.clips import tiny_checkpoint
from vsrpp_cli.cli.main import execute

RATE = 16_000
TICKS = 90_000
SECONDS = 600
FRAMES = 40
FLASHES = (1, 20, 38)
MILLISECOND = 1e-3
ROUNDING = 1e-3
"""Matroska counts picture and sound in milliseconds, each rounded by at most half of one."""


def stamps():
    """Return the frames' times in ticks: a late start, and distances that vary from 1 s to 30 s."""
    steps = np.random.default_rng(7).integers(1 * TICKS, 30 * TICKS, FRAMES)
    times = np.cumsum(steps)
    return (times * (SECONDS * TICKS - TICKS) // times[-1]).tolist()


def pulse():
    """Return a click of about two milliseconds that survives coding: samples, odd in number."""
    t = np.arange(-32, 33) / RATE
    return (0.8 * np.exp(-((t / 5e-4) ** 2) / 2) * np.cos(2 * np.pi * 1000 * t)).astype(np.float32)


def write_source(path, codec):
    """Write dark frames of which some are white, and at the same times clicks."""
    pts = stamps()
    sound = np.zeros(SECONDS * RATE, np.float32)
    for index in FLASHES:
        middle = round(pts[index] * RATE / TICKS)
        sound[middle - 32 : middle + 33] = pulse()
    with av.open(str(path), "w") as file:
        video = file.add_stream("libx264", rate=24, options={"preset": "ultrafast"})
        video.width, video.height, video.pix_fmt = 32, 32, "yuv420p"
        video.time_base = video.codec_context.time_base = Fraction(1, TICKS)
        video.codec_context.flags |= av.codec.context.Flags.frame_duration
        audio = file.add_stream(codec, rate=RATE, layout="mono")
        for index, stamp in enumerate(pts):
            gray = np.full((32, 32, 3), 235 if index in FLASHES else 16, np.uint8)
            frame = av.VideoFrame.from_ndarray(gray, "rgb24")
            frame.pts, frame.time_base = stamp, Fraction(1, TICKS)
            frame.duration = [*pts, SECONDS * TICKS][index + 1] - stamp
            file.mux(video.encode(frame))
        file.mux(video.encode())
        _write_sound(file, audio, sound)
    return path


def _write_sound(file, stream, samples):
    form = stream.codec_context.format.name
    resampler = av.AudioResampler(
        format=form, layout="mono", rate=RATE, frame_size=stream.codec_context.frame_size or 1024
    )
    for start in range(0, len(samples), 1 << 16):
        block = np.ascontiguousarray(samples[None, start : start + (1 << 16)])
        frame = av.AudioFrame.from_ndarray(block, "fltp", "mono")
        frame.sample_rate, frame.pts, frame.time_base = RATE, start, Fraction(1, RATE)
        for part in resampler.resample(frame):
            file.mux(stream.encode(part))
    for part in [*resampler.resample(None), None]:
        file.mux(stream.encode(part))


def flashes(path):
    """Return the times in seconds of the bright frames."""
    with av.open(str(path)) as file:
        return [
            frame.time
            for frame in file.decode(video=0)
            if frame.to_ndarray(format="gray").mean() > 120
        ]


def clicks(path, near):
    """Return the times in seconds at which the click fits best, within 40 ms of each of `near`."""
    with av.open(str(path)) as file:
        resampler = av.AudioResampler(format="fltp", layout="mono", rate=RATE)
        sound = np.zeros((SECONDS + 5) * RATE, np.float32)
        for frame in file.decode(audio=0):
            begin = frame.time
            if not any(abs(begin - t) < 1 for t in near):
                continue
            # Each frame stands where its own timestamp says, as a player puts it.
            for part in resampler.resample(frame):
                samples = part.to_ndarray()[0]
                first = round(part.time * RATE)
                sound[max(0, first) : first + len(samples)] = samples[max(0, -first) :]
    found = []
    for t in near:
        begin = round((t - 0.04) * RATE)
        fit = np.correlate(sound[begin : begin + round(0.08 * RATE)], pulse(), "valid")
        assert fit.max() > 1
        found.append((begin + 32 + int(fit.argmax())) / RATE)
    return found


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    return tiny_checkpoint(tmp_path_factory.mktemp("models") / "tiny.pth")


@pytest.fixture(scope="module")
def sources(tmp_path_factory):
    """Write each source once."""
    folder = tmp_path_factory.mktemp("sources")
    made = {}

    def get(name, codec):
        if name not in made:
            made[name] = write_source(folder / name, codec)
        return made[name]

    return get


@pytest.mark.parametrize(
    ("name", "codec", "output", "options"),
    [
        ("a.mp4", "aac", "copied.mp4", ()),
        ("a.mp4", "aac", "copied.mkv", ()),
        ("a.mp4", "aac", "converted.webm", ()),
        ("f.mkv", "flac", "converted.mov", ()),
        ("a.mp4", "aac", "cut.mp4", ("--start", "100")),
        ("f.mkv", "flac", "cut.mov", ("--start", "100")),
    ],
    ids=lambda value: value if isinstance(value, str) else "".join(value) or "whole",
)
def test_picture_and_sound_stay_together(name, codec, output, options, sources, tiny, tmp_path):
    source, out = sources(name, codec), tmp_path / output
    command = ["upscale", source, out, "--model", tiny, "--preset", "ultrafast", *options]
    assert execute([*map(str, command), "-q", "--precision", "fp32", "--segment", "16"]) == 0
    before = flashes(source)
    seen = flashes(out)
    assert len(before) == len(FLASHES)
    assert len(seen) == len(FLASHES) - bool(options)
    asynchrony = np.array(clicks(source, before)) - before
    drift = np.array(clicks(out, seen)) - seen - asynchrony[-len(seen) :]
    assert np.abs(drift).max() < MILLISECOND + ROUNDING * output.endswith((".mkv", ".webm"))
