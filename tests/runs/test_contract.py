"""What must survive the command: time, shape, streams, read back by ffprobe and ffmpeg."""

import json
import subprocess
from fractions import Fraction

import av
import numpy as np
import pytest

from support.clips import tiny_checkpoint
from support.commands import ffprobe, frame_hashes, packets
from support.places import DATA
from support.reading import natural, number, numbered, woven, write
from vsrpp_cli.cli.main import execute
from vsrpp_cli.media.source import open_source

STREAMS = DATA / "streams" / "everything.mkv"
B_FRAMES = {"preset": "veryfast", "bf": "3", "g": "24"}
MILLISECOND = 1e-3


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    return tiny_checkpoint(tmp_path_factory.mktemp("models") / "tiny.pth")


@pytest.fixture
def upscale(tiny, tmp_path):
    """Run the command and return the output and its report."""

    def run(source, name, *options):
        output, report = tmp_path / name, tmp_path / f"{name}.json"
        command = ["upscale", source, output, "--model", tiny, "--report", report, *options]
        fixed = ["-q", "--precision", "fp32", "--segment", "8"]
        fixed += ["--preset", "ultrafast"] if output.suffix else []
        assert execute([*map(str, command), *fixed]) == 0
        return output, json.loads(report.read_text("utf-8"))

    return run


def video(path, *more):
    return ffprobe(path, "-select_streams", "v:0", "-show_streams", *more)["streams"][0]


def times(path):
    """Return when frames are shown, in seconds, by ffprobe's own decoding."""
    frames = ffprobe(path, "-select_streams", "v:0", "-show_entries", "frame=pts_time")["frames"]
    return [float(frame["pts_time"]) for frame in frames]


def shown(path, width, height, channels="gray"):
    """Return all frames as a player that minds rotation shows them, scaled: (T, H, W[, 3])."""
    command = ["ffmpeg", "-v", "error", "-i", str(path), "-vsync", "passthrough"]
    command += ["-vf", f"scale={width}:{height}:flags=area", "-pix_fmt", channels]
    data = subprocess.run([*command, "-f", "rawvideo", "-"], capture_output=True, check=True).stdout
    depth = (3,) if channels == "rgb24" else ()
    return np.frombuffer(data, np.uint8).reshape(-1, height, width, *depth).astype(np.float32)


def numbers(path):
    """Return the numbers drawn in the frames of an output."""
    frames = shown(path, 128, 96, "rgb24")
    return [number(frame.transpose(2, 0, 1) / 255) for frame in frames]


# Time


@pytest.mark.parametrize(
    ("suffix", "first"),
    [("mp4", 123_457), ("mkv", 123_457), ("mov", 0), ("webm", 0), ("mp4", -7_000)],
)
def test_jitter_starts_and_b_frames(upscale, tmp_path, suffix, first):
    pts = [first + 3003 * i + (i * i * 37) % 1500 for i in range(10)]
    pictures = [numbered(i) for i in range(10)]
    source = tmp_path / "in.mkv"
    write(source, pictures, pts=pts, time_base=Fraction(1, 90_000), options=B_FRAMES)
    assert video(source)["has_b_frames"] > 0
    output, report = upscale(source, f"out.{suffix}")
    wanted = times(source)
    moved = min(0, wanted[0])
    assert np.allclose(times(output), np.array(wanted) - moved, atol=0.51 * MILLISECOND)
    assert numbers(output) == list(range(10))
    assert report["frames"] == 10


@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
def test_what_an_edit_list_hides_stays_hidden(upscale, tmp_path, suffix):
    whole, source = tmp_path / "whole.mp4", tmp_path / "in.mp4"
    write(whole, [numbered(i) for i in range(20)], options=B_FRAMES)
    # Cutting without encoding leaves frames before the cut, which an edit list hides.
    cut = ["ffmpeg", "-v", "error", "-ss", "0.3", "-i", str(whole), "-c", "copy", str(source)]
    subprocess.run(cut, check=True)
    assert len(packets(source, "v")) > 13
    output, report = upscale(source, f"out.{suffix}")
    assert numbers(output) == numbers(source)
    assert numbers(output)[0] >= 7
    assert report["frames"] == len(numbers(source))
    assert np.allclose(times(output), times(source), atol=0.51 * MILLISECOND)


def lavfi(path, *options, length=0.6):
    """Write seconds of FFmpeg's moving test picture, with a tone."""
    inputs = [f"testsrc2=s=64x48:r=25:d={length}", f"sine=d={length}"]
    command = ["ffmpeg", "-v", "error"]
    for text in inputs:
        command += ["-f", "lavfi", "-i", text]
    subprocess.run([*command, *options, str(path)], check=True)
    return path


def test_repeated_frames_of_theora_are_no_damage(tmp_path):
    path = lavfi(tmp_path / "in.ogv", "-c:v", "libtheora", "-an")
    source = open_source(path)
    scan = source.scan(scenes=False)
    read = [frame.rgb.mean(0) * 255 for frame in source.read(scan, 0, scan.frames)]
    assert not scan.damaged
    wanted = shown(path, 64, 48, "rgb24").mean(-1)
    assert len(read) == len(wanted) > 9
    assert np.abs(np.stack(read) - wanted).mean((1, 2)).max() < 6


@pytest.mark.parametrize(("suffix", "length"), [("mp4", 0.6), ("mp4", 1.6), ("mkv", 1.6)])
def test_recordings_put_together_with_cat(upscale, tmp_path, suffix, length):
    part = lavfi(tmp_path / "p.ts", "-c:v", "libx264", "-bf", "3", "-c:a", "aac", length=length)
    source = tmp_path / "in.ts"
    source.write_bytes(2 * part.read_bytes())
    output, report = upscale(source, f"out.{suffix}")
    count = len(packets(part, "v"))
    assert report["frames"] == len(times(output)) == 2 * count
    sound, one = packets(output, "a"), packets(part, "a")
    # The first part's sound is a little longer than its pictures; what overlaps is left out.
    assert 2 * len(one) - 4 <= len(sound) <= 2 * len(one)
    heard = float(sound[-1][1]) - float(sound[0][1]) - (float(one[-1][1]) - float(one[0][1]))
    seen = times(output)[count] - times(output)[0]
    assert abs(heard - seen) < 0.02


# Shape


def corner(index):
    """Return a picture whose four corners differ, so that each way of turning it shows."""
    picture = np.full((48, 80, 3), 60 + index, np.uint8)
    picture[:24, :40] = 235
    picture[24:, :40] = 140
    return picture


TURNS = [(90, False), (180, False), (270, False), (0, True), (90, True)]


@pytest.mark.parametrize(
    ("suffix", "turn"), [*(("mp4", t) for t in TURNS), ("mkv", TURNS[0]), ("mov", TURNS[4])]
)
def test_turned_and_flipped_video_is_shown_the_same_way(upscale, tmp_path, suffix, turn):
    source = tmp_path / "in.mp4"
    write(
        source,
        [corner(i) for i in range(3)],
        options={"preset": "ultrafast"},
        prepare=lambda stream: stream.set_display_rotation(*turn),
    )
    output, _ = upscale(source, f"out.{suffix}")
    matrices = [
        [s["displaymatrix"] for s in video(path)["side_data_list"] if "displaymatrix" in s]
        for path in (source, output)
    ]
    assert matrices[0] == matrices[1]
    assert matrices[0]
    size = (40, 24) if turn[0] == 180 or turn == (0, True) else (24, 40)
    assert np.abs(shown(source, *size) - shown(output, *size)).mean() < 12


@pytest.mark.parametrize("turn", [90, 270])
def test_frames_are_written_turned(upscale, tmp_path, turn):
    source = tmp_path / "in.mp4"
    write(
        source,
        [corner(0)],
        options={"preset": "ultrafast"},
        prepare=lambda stream: stream.set_display_rotation(turn, vflip=False),
    )
    output, _ = upscale(source, "frames")
    (image,) = output.glob("*.png")
    assert (video(image)["width"], video(image)["height"]) == (192, 320)
    assert np.abs(shown(source, 24, 40) - shown(image, 24, 40)).mean() < 12


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "mov", "webm"])
def test_pixels_keep_their_shape(upscale, tmp_path, suffix):
    def shape(stream):
        stream.codec_context.sample_aspect_ratio = Fraction(12, 11)

    fast = {"preset": "ultrafast"}
    source = write(tmp_path / "in.mp4", [corner(i) for i in range(3)], options=fast, prepare=shape)
    assert video(source)["sample_aspect_ratio"] == "12:11"
    output, _ = upscale(source, f"out.{suffix}")
    assert video(output)["sample_aspect_ratio"] == "12:11"


@pytest.mark.parametrize("size", [(35, 27), (1, 1), (2, 51)])
def test_odd_sizes(upscale, tmp_path, size):
    width, height = size
    pictures = [numbered(i, width, 64)[:height] for i in range(3)]
    source = write(tmp_path / "in.mkv", pictures, codec="ffv1", pix_fmt="yuv444p")
    output, _ = upscale(source, "out.mp4")
    found = video(output, "-count_frames")
    assert (found["width"], found["height"]) == (4 * width, 4 * height)
    assert found["nb_read_frames"] == "3"


# Interlace


def combing(frame):
    """Return how much lines differ from their neighbours, against lines of the same field."""
    return np.abs(np.diff(frame, axis=0)).mean() / np.abs(frame[2:] - frame[:-2]).mean()


@pytest.mark.parametrize("order", ["tff", "bff"])
def test_interlaced_video_comes_out_progressive(upscale, tmp_path, order):
    fields = [picture[:96, :160] for picture in natural(24)]
    pictures = woven(fields, top_first=order == "tff")
    options = {"preset": "veryfast", "crf": "12", "x264-params": f"{order}=1"}
    source = write(tmp_path / "in.mkv", pictures, options=options)
    output, report = upscale(source, "out.mp4")
    assert video(output)["field_order"] == "progressive"
    assert any("bwdif" in note for note in report["notes"])
    before, after = shown(source, 160, 96), shown(output, 160, 96)
    assert len(after) == len(before) == 12
    assert np.mean([combing(f) for f in after]) < 0.9 * np.mean([combing(f) for f in before])
    # Each frame shows the moment of its first field, not of its second.
    gray = [np.dot(f, (0.299, 0.587, 0.114)) for f in fields]
    errors = [
        np.mean([np.abs(after[i] - gray[2 * i + second]).mean() for i in range(2, 10)])
        for second in (0, 1)
    ]
    assert errors[0] < errors[1]


# Streams


@pytest.mark.parametrize("suffix", ["mkv", "mp4"])
def test_everything_beside_the_picture(upscale, suffix):
    output, _ = upscale(STREAMS, f"out.{suffix}")
    found = ffprobe(output, "-show_streams", "-show_chapters")
    streams, chapters = found["streams"], found["chapters"]
    sound = [s for s in streams if s["codec_type"] == "audio"]
    assert [s["codec_name"] for s in sound] == ["aac", "flac"]
    assert [s["tags"]["language"] for s in sound] == ["deu", "eng"]
    assert sound[1]["disposition"]["comment"] == 1
    texts = [s["codec_name"] for s in streams if s["codec_type"] == "subtitle"]
    assert texts == (["subrip", "ass"] if suffix == "mkv" else ["mov_text", "mov_text"])
    assert [(c["tags"]["title"], c["end_time"]) for c in chapters] == [
        ("One", "0.500000"),
        ("Two", "1.200000"),
    ]
    fonts = [s["tags"]["filename"] for s in streams if s["codec_type"] == "attachment"]
    assert fonts == (["f.ttf"] if suffix == "mkv" else [])
    covers = [s["codec_name"] for s in streams if s["disposition"]["attached_pic"]]
    assert covers == ["mjpeg"]
    assert [p[2:] for p in packets(output, "a:0")] == [p[2:] for p in packets(STREAMS, "a:0")]


def test_what_mp4_cannot_hold_is_reported_and_strictly_refused(upscale, tiny, tmp_path, capsys):
    _, report = upscale(STREAMS, "out.mp4")
    assert any("f.ttf" in note or "attachment" in note for note in report["notes"])
    command = ["upscale", STREAMS, tmp_path / "strict.mp4", "--model", tiny, "--strict", "-q"]
    assert execute([*map(str, command)]) == 6
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert "attachment" in line
    assert not (tmp_path / "strict.mp4").exists()


def test_one_of_two_video_tracks_is_chosen_and_the_other_reported(upscale, tmp_path):
    source = tmp_path / "in.mkv"
    with av.open(str(source), "w") as file:
        sizes = ((64, 48), (128, 96))
        tracks = [file.add_stream("libx264", rate=24, options=B_FRAMES) for _ in sizes]
        for track, size in zip(tracks, sizes, strict=True):
            track.width, track.height = size
        for track in tracks:
            for index in range(3):
                picture = numbered(index, track.width, track.height)
                file.mux(track.encode(av.VideoFrame.from_ndarray(picture, "rgb24")))
            file.mux(track.encode())
    first, report = upscale(source, "first.mp4")
    assert video(first)["width"] == 256
    assert any("--video-track" in note for note in report["notes"])
    second, _ = upscale(source, "second.mp4", "--video-track", "1")
    assert video(second)["width"] == 512
    assert len(ffprobe(second, "-show_streams")["streams"]) == 1
    assert len(frame_hashes(second)) == 3
