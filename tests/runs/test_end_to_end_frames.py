"""Folders of frames and images through `vsrpp upscale`, both ways, results read back by others."""

import json
import subprocess
import time
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from PIL import Image

from support.clips import moving_picture, tiny_checkpoint, write_clip
from support.commands import ENVIRONMENT, VSRPP, assert_one_line, ffprobe, frame_hashes, vsrpp
from vsrpp_cli.cli.main import execute
from vsrpp_cli.media.images.timestamps_file import format_timestamps

WIDTH, HEIGHT = 72, 64


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    return tiny_checkpoint(tmp_path_factory.mktemp("models") / "tiny.pth")


@pytest.fixture
def upscale(tiny, capsys):
    """Run `vsrpp upscale` in this process, which saves its start; returns code and stderr."""

    def run(source, output, *more, check=0, model=tiny):
        arguments = ["upscale", source, output, "--model", model, "--threads", 1, *more]
        code = execute([str(argument) for argument in arguments])
        messages = capsys.readouterr().err
        assert code == check, messages
        return messages

    threads = torch.get_num_threads()
    yield run
    torch.set_num_threads(threads)


def write_frames(folder: Path, names, *, mode="RGB", size=(WIDTH, HEIGHT)) -> Path:
    folder.mkdir()
    for index, name in enumerate(names):
        picture = moving_picture(index, *size)
        if mode == "RGBA":
            alpha = np.tile(np.linspace(0, 255, size[0]), (size[1], 1)).astype(np.uint8)
            picture = np.dstack([picture, alpha])
        Image.fromarray(picture).convert(mode).save(folder / name)
    return folder


def write_16_bit(path: Path, rgb: np.ndarray) -> None:
    """Write (H, W, 3) uint16 as PNG through FFmpeg."""
    codec = av.CodecContext.create("png", "w")
    codec.height, codec.width = rgb.shape[:2]
    codec.pix_fmt, codec.time_base = "rgb48be", Fraction(1, 25)
    frame = av.VideoFrame.from_ndarray(rgb, format="rgb48be")
    path.write_bytes(b"".join(map(bytes, codec.encode(frame))))


def decoded(path: Path) -> np.ndarray:
    """Return an image's samples as FFmpeg decodes it."""
    with av.open(str(path)) as file:
        return next(file.decode(video=0)).to_ndarray()


def shape(path: Path) -> tuple[int, int, str]:
    with Image.open(path) as image:
        return (*image.size, image.mode)


def times(path: Path) -> list[str]:
    entries = ffprobe(path, "-select_streams", "v:0", "-show_entries", "frame=pts_time")["frames"]
    return [entry["pts_time"] for entry in entries]


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_a_folder_becomes_a_folder_with_the_same_names(tiny, tmp_path):
    """By the installed command, as a user types it."""
    names = ["shot 2.png", "shot 10.png", "shot 11.png", "shot 13.png"]
    write_frames(tmp_path / "in", names)
    done = vsrpp("upscale", tmp_path / "in", tmp_path / "out", "--model", tiny, check=0)
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == sorted(names)
    assert {shape(tmp_path / "out" / n) for n in names} == {(4 * WIDTH, 4 * HEIGHT, "RGB")}
    assert sorted(p.name for p in tmp_path.iterdir()) == ["in", "out"]
    assert "missing from the numbering" in done.stderr
    small = np.asarray(moving_picture(1, WIDTH, HEIGHT), float)
    large = decoded(tmp_path / "out" / "shot 10.png").astype(float)
    means = large.reshape(HEIGHT, 4, WIDTH, 4, 3).mean((1, 3))
    assert np.abs(means - small)[4:-4, 4:-4].mean() < 12, "the frames are in another order"


def test_a_folder_becomes_a_video_at_the_rate_asked_for(upscale, tmp_path):
    write_frames(tmp_path / "in", [f"{i}.jpg" for i in range(6)])
    upscale(tmp_path / "in", tmp_path / "out.mp4", "--fps", "12.5")
    assert times(tmp_path / "out.mp4") == [f"{i * 0.08:.6f}" for i in range(6)]
    stream = ffprobe(tmp_path / "out.mp4", "-show_streams")["streams"][0]
    assert (stream["width"], stream["height"]) == (4 * WIDTH, 4 * HEIGHT)
    assert stream["r_frame_rate"] == "25/2"
    assert {stream["color_space"], stream["color_transfer"]} == {"bt709"}


def test_the_assumed_rate_is_said(upscale, tmp_path):
    write_frames(tmp_path / "in", ["1.png", "2.png"])
    messages = upscale(tmp_path / "in", tmp_path / "out.mkv")
    assert "25 frames a second" in messages
    assert times(tmp_path / "out.mkv") == ["0.000000", "0.040000"]


def test_timestamps_beside_frames_time_the_video(upscale, tmp_path):
    write_frames(tmp_path / "in", [f"{i}.png" for i in range(4)])
    text = format_timestamps((0, 100, 350, 400), 50, Fraction(1, 1000))
    (tmp_path / "in" / "timestamps.txt").write_text(text)
    upscale(tmp_path / "in", tmp_path / "out.mp4")
    assert times(tmp_path / "out.mp4") == ["0.000000", "0.100000", "0.350000", "0.400000"]


def test_a_video_becomes_frames_and_back_with_its_times(upscale, tmp_path):
    pts = [0, 512, 1024, 2048, 2560, 4096]
    clip = write_clip(tmp_path / "in.mp4", 6, pts=pts, time_base=Fraction(1, 12288))
    before = times(clip)
    upscale(clip, tmp_path / "frames")
    names = sorted(p.name for p in (tmp_path / "frames").iterdir())
    assert names == [*(f"{i:08d}.png" for i in range(1, 7)), "timestamps.txt"]
    lines = (tmp_path / "frames" / "timestamps.txt").read_text().splitlines()
    told = [float(line) / 1000 for line in lines if not line.startswith("#")]
    assert np.allclose(told[:-1], [float(t) for t in before], atol=1e-6)
    upscale(tmp_path / "frames", tmp_path / "back.mp4", "--height", 64)
    assert times(tmp_path / "back.mp4") == before


def test_one_image_becomes_one_image(upscale, tmp_path):
    write_frames(tmp_path / "in", ["a.jpg"])
    upscale(tmp_path / "in" / "a.jpg", tmp_path / "big.tif")
    assert shape(tmp_path / "big.tif") == (4 * WIDTH, 4 * HEIGHT, "RGB")
    upscale(tmp_path / "in" / "a.jpg", tmp_path / "folder")
    assert [p.name for p in (tmp_path / "folder").iterdir()] == ["a.png"]


def test_a_sixteen_bit_ramp_stays_smooth(upscale, tmp_path):
    """With the embedded model at the precision this machine prefers."""
    (tmp_path / "in").mkdir()
    first, last = 12000, 22000
    ramp = np.broadcast_to(np.linspace(first, last, 96).round()[:, None], (64, 96, 3))
    for index in range(2):
        write_16_bit(tmp_path / "in" / f"{index}.png", ramp.astype(np.uint16))
    upscale(tmp_path / "in", tmp_path / "out", model="compact")
    row = decoded(tmp_path / "out" / "0.png")[128, 16:-16, 1].astype(int)
    steps = np.diff(row)
    # In 8 bits a step would be 257; the true one is 26.
    assert np.abs(steps).max() < 80
    assert np.unique(row).size > 0.9 * row.size
    ideal = first + (last - first) * (np.arange(384)[16:-16] - 1.5) / 4 / 95
    assert np.abs(row - ideal).max() < 257


def test_transparency_is_kept_and_enlarged(upscale, tmp_path):
    write_frames(tmp_path / "in", ["1.png", "2.png"], mode="RGBA")
    upscale(tmp_path / "in", tmp_path / "out")
    got = decoded(tmp_path / "out" / "2.png")
    assert got.shape == (4 * HEIGHT, 4 * WIDTH, 4)
    small = decoded(tmp_path / "in" / "2.png")[..., 3]
    large = Image.fromarray(small).resize((4 * WIDTH, 4 * HEIGHT), Image.Resampling.BICUBIC)
    assert np.abs(got[..., 3].astype(int) - np.array(large))[8:-8, 8:-8].max() <= 1


def test_transparency_that_cannot_be_kept_is_reported_and_strictly_refused(upscale, tmp_path):
    write_frames(tmp_path / "in", ["1.png"], mode="RGBA")
    messages = upscale(tmp_path / "in", tmp_path / "out.mp4", "--strict", check=6)
    assert "transparency" in messages
    assert not (tmp_path / "out.mp4").exists()
    assert "transparency" in upscale(tmp_path / "in", tmp_path / "out.mp4")


def test_grey_stays_grey(upscale, tmp_path):
    write_frames(tmp_path / "in", ["1.png"], mode="L")
    upscale(tmp_path / "in", tmp_path / "out")
    assert shape(tmp_path / "out" / "1.png") == (4 * WIDTH, 4 * HEIGHT, "L")


def test_a_pattern_and_a_range_choose_frames(upscale, tmp_path):
    write_frames(tmp_path / "in", [f"a_{i:03d}.png" for i in range(6)] + ["b_000.png"])
    pattern = tmp_path / "in" / "a_%03d.png"
    upscale(pattern, tmp_path / "out", "--fps", 10, "--start", "0.2", "--frames", 2)
    names = sorted(p.name for p in (tmp_path / "out").iterdir())
    assert names == ["a_002.png", "a_003.png", "timestamps.txt"]


def test_an_existing_folder_needs_consent_unless_empty(upscale, tmp_path):
    write_frames(tmp_path / "in", ["1.png"])
    (tmp_path / "out").mkdir()
    upscale(tmp_path / "in", tmp_path / "out")
    assert "-y" in upscale(tmp_path / "in", tmp_path / "out", check=2)
    (tmp_path / "out" / "1.png").write_bytes(b"old")
    (tmp_path / "out" / "notes.txt").write_text("mine")
    upscale(tmp_path / "in", tmp_path / "out", "-y")
    assert shape(tmp_path / "out" / "1.png")[0] == 4 * WIDTH
    assert (tmp_path / "out" / "notes.txt").read_text() == "mine"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["in", "out"]


def test_segments_make_no_difference(upscale, tmp_path):
    write_frames(tmp_path / "in", [f"{i}.png" for i in range(9)])
    report = tmp_path / "report.json"
    upscale(tmp_path / "in", tmp_path / "out", "--segment", 4, "--report", report)
    assert json.loads(report.read_text())["segments"] == 3
    upscale(tmp_path / "in", tmp_path / "video.mkv", "--segment", 4, "--codec", "ffv1")
    assert len(list((tmp_path / "out").iterdir())) == len(frame_hashes(tmp_path / "video.mkv")) == 9


def test_a_killed_run_goes_on_to_the_same_files(upscale, tiny, tmp_path):
    write_frames(tmp_path / "in", [f"{i}.png" for i in range(12)])
    options = ["--segment", 2, "--scenes", "off"]
    upscale(tmp_path / "in", tmp_path / "expected", *options)
    command = [VSRPP, "upscale", tmp_path / "in", tmp_path / "out", "--model", tiny, *options]
    command += ["--threads", 1]
    process = subprocess.Popen([str(part) for part in command], env=ENVIRONMENT)
    journal = tmp_path / "out.vsrpp" / "journal.jsonl"
    while process.poll() is None and not (journal.exists() and journal.stat().st_size):
        time.sleep(0.005)
    process.kill()
    process.wait()
    assert not (tmp_path / "out").exists()
    report = tmp_path / "report.json"
    upscale(tmp_path / "in", tmp_path / "out", *options, "--report", report)
    assert 1 <= json.loads(report.read_text())["segments_reused"] <= 6
    assert contents(tmp_path / "out") == contents(tmp_path / "expected")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["expected", "in", "out", "report.json"]


def empty(folder: Path) -> Path:
    folder.mkdir()
    (folder / "readme.txt").write_text("no frames here")
    return folder


def differing(folder: Path) -> Path:
    write_frames(folder, ["1.png", "2.png"])
    Image.new("RGB", (80, 64)).save(folder / "3.png")
    return folder


def text(folder: Path) -> Path:
    write_frames(folder, ["1.png"])
    (folder / "2.png").write_text("hello")
    return folder


def truncated(folder: Path) -> Path:
    write_frames(folder, ["1.png", "2.jpg"])
    data = (folder / "2.jpg").read_bytes()
    (folder / "2.jpg").write_bytes(data[: len(data) // 2])
    return folder


def times_missing(folder: Path) -> Path:
    write_frames(folder, ["1.png", "2.png"])
    (folder / "timestamps.txt").write_text("# timestamp format v2\n0\n")
    return folder


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (empty, "no frames"),
        (differing, "3.png is 80x64"),
        (text, "2.png"),
        (truncated, "2.jpg"),
        (times_missing, "1 times for 2 frames"),
        (lambda folder: folder, "no such file"),
        (lambda folder: folder / "%05d.png", "no file fits"),
    ],
)
def test_bad_input_is_named_and_leaves_nothing(upscale, tmp_path, make, message):
    source = make(tmp_path / "in")
    messages = upscale(source, tmp_path / "out", check=3)
    assert message in messages
    assert messages.count("vsrpp: ") == 1
    assert sorted(p.name for p in tmp_path.iterdir()) in (["in"], [])


@pytest.mark.parametrize(
    ("output", "more", "message"),
    [
        ("out.png", [], "2 frames"),
        ("out", ["--crf", 20], "--crf"),
        ("out", ["--codec", "gif"], "gif"),
        ("missing/out", [], "missing"),
        ("in", ["-y"], "input itself"),
        ("out", ["--tile", 32], "at least 64"),
        ("out", ["--device", "cuda:7"], "cuda:7"),
        ("out", ["--model", "red4"], "did you mean reds4"),
    ],
)
def test_wrong_usage_is_refused(upscale, tmp_path, output, more, message):
    write_frames(tmp_path / "in", ["1.png", "2.png"])
    messages = upscale(tmp_path / "in", tmp_path / output, *more, check=2)
    assert message in messages
    assert sorted(p.name for p in tmp_path.iterdir()) == ["in"]


@pytest.mark.parametrize(("kind", "message"), [("corrupt", "damaged"), ("other", "conv1")])
def test_an_unusable_checkpoint_is_refused(upscale, tmp_path, kind, message):
    write_frames(tmp_path / "in", ["1.png"])
    model = tmp_path / "bad.pth"
    model.write_bytes(b"nothing" * 100)
    if kind == "other":
        torch.save({"state_dict": {"conv1.weight": torch.zeros(8, 3, 7, 7)}}, model)
    messages = upscale(tmp_path / "in", tmp_path / "out", check=4, model=model)
    assert model.name in messages
    assert message in messages
    assert not (tmp_path / "out").exists()


def test_bad_input_of_the_installed_command_is_one_line(tiny, tmp_path):
    done = vsrpp("upscale", differing(tmp_path / "in"), tmp_path / "out", "--model", tiny, check=3)
    assert "3.png is 80x64" in assert_one_line(done)
