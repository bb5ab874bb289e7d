"""`vsrpp upscale` as a user runs it, its results read back by ffprobe and ffmpeg."""

import json
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from fractions import Fraction

import numpy as np
import psutil
import pytest
import torch
from safetensors.torch import save_file

from support.clips import TINY, tiny_checkpoint, write_clip
from support.commands import (
    ENVIRONMENT,
    VSRPP,
    assert_one_line,
    ffprobe,
    frame_hashes,
    packets,
    vsrpp,
)
from support.places import EXAMPLE


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    return tiny_checkpoint(tmp_path_factory.mktemp("models") / "tiny.pth")


@pytest.fixture(scope="module")
def upscaled(tmp_path_factory):
    """The first frames of the example, upscaled with the embedded model by the defaults."""
    folder = tmp_path_factory.mktemp("example")
    report = folder / "report.json"
    command = ("upscale", EXAMPLE, folder / "out.mp4", "--frames", 12, "--report", report)
    vsrpp(*command, check=0, cold=True)
    return folder / "out.mp4", json.loads(report.read_text())


def video(path):
    return ffprobe(path, "-select_streams", "v:0", "-show_streams", "-count_frames")["streams"][0]


def test_the_example_comes_out_four_times_the_size_with_every_frame(upscaled):
    before, after = video(EXAMPLE), video(upscaled[0])
    assert (after["width"], after["height"]) == (4 * before["width"], 4 * before["height"])
    assert after["nb_read_frames"] == "12"
    assert after["codec_name"] == "h264"
    assert after["pix_fmt"] == "yuv420p"


def test_the_report_says_what_was_done(upscaled):
    report = upscaled[1]
    assert report["status"] == "done"
    assert report["model"] == "compact"
    assert report["frames"] == report["frames_computed"] == 12
    assert report["device"] == "cpu"
    assert set(report["seconds"]) >= {"scan", "load", "compute", "join", "verify"}


def test_the_result_resembles_a_plain_upscale(upscaled, tmp_path):
    raw = ["-pix_fmt", "rgb24", "-f", "rawvideo", "-"]
    scale = ["-vf", "scale=iw*4:ih*4:flags=bicubic"]
    read = ["ffmpeg", "-v", "error", "-i"]
    ours = subprocess.run([*read, str(upscaled[0]), *raw], capture_output=True, check=True).stdout
    plain = subprocess.run(
        [*read, str(EXAMPLE), "-frames:v", "12", *scale, *raw], capture_output=True, check=True
    ).stdout
    a, b = (np.frombuffer(x, np.uint8).astype(np.float32) for x in (ours, plain))
    assert a.shape == b.shape
    assert 10 * np.log10(255**2 / np.mean((a - b) ** 2)) > 25
    assert abs(a.mean() - b.mean()) < 0.5


def test_sound_is_copied_packet_for_packet(tiny, tmp_path):
    clip = write_clip(tmp_path / "in.mp4", 10, audio=True)
    vsrpp("upscale", clip, tmp_path / "out.mp4", "--model", tiny, check=0)
    sizes = [packet[2:] for packet in packets(clip, "a")]
    assert sizes
    assert [packet[2:] for packet in packets(tmp_path / "out.mp4", "a")] == sizes


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "mov"])
def test_variable_timestamps_are_carried_over(tiny, tmp_path, suffix):
    pts = [0, 40, 41, 100, 170, 171, 300, 333, 400, 1001]
    clip = write_clip(tmp_path / "in.mp4", 10, pts=pts, time_base=Fraction(1, 1000))
    out = tmp_path / f"out.{suffix}"
    vsrpp("upscale", clip, out, "--model", tiny, "--segment", 4, "--preset", "ultrafast", check=0)
    times = ffprobe(out, "-select_streams", "v:0", "-show_entries", "frame=pts_time")["frames"]
    assert [round(float(f["pts_time"]) * 1000) for f in times] == pts


def test_segments_and_their_number_do_not_show(tiny, tmp_path):
    clip = write_clip(tmp_path / "in.mp4", 16)
    for name, segment in (("one", 16), ("four", 4)):
        options = ("--model", tiny, "--segment", segment, "--overlap", 2, "--codec", "ffv1")
        vsrpp("upscale", clip, tmp_path / f"{name}.mkv", *options, check=0)
    hashes = [frame_hashes(tmp_path / f"{name}.mkv") for name in ("one", "four")]
    assert [pts for pts, _ in hashes[0]] == [pts for pts, _ in hashes[1]]


def test_an_existing_output_is_refused_and_kept(tiny, tmp_path):
    clip = write_clip(tmp_path / "in.mp4", 4)
    out = tmp_path / "out.mp4"
    out.write_text("precious")
    failed = vsrpp("upscale", clip, out, "--model", tiny, check=2)
    assert "-y" in assert_one_line(failed)
    assert out.read_text() == "precious"
    vsrpp("upscale", clip, out, "--model", tiny, "-y", check=0)
    assert len(frame_hashes(out)) == 4


def test_the_input_is_never_the_output(tiny, tmp_path):
    clip = write_clip(tmp_path / "in.mp4", 4)
    before = clip.read_bytes()
    assert_one_line(vsrpp("upscale", clip, clip, "--model", tiny, "-y", check=2))
    assert clip.read_bytes() == before


@pytest.mark.parametrize("name", ["with space.mp4", "quo'te\".mp4", "ünïcode 影.mp4"])
def test_odd_names_work(tiny, tmp_path, name):
    clip = write_clip(tmp_path / name, 3)
    (tmp_path / "o").mkdir()
    vsrpp("upscale", clip, tmp_path / "o" / name, "--model", tiny, check=0)
    assert len(frame_hashes(tmp_path / "o" / name)) == 3


def test_a_leading_dash_and_a_symlink_work(tiny, tmp_path):
    write_clip(tmp_path / "real.mp4", 3)
    (tmp_path / "-in.mp4").symlink_to("real.mp4")
    vsrpp("upscale", "--model", tiny, "--", "-in.mp4", "-out.mp4", cwd=tmp_path, check=0)
    assert len(frame_hashes(tmp_path / "-out.mp4")) == 3


def bad_input(folder, kind):
    path = folder / "in.mp4"
    if kind == "folder":
        path = folder / "empty"
        path.mkdir()
    elif kind == "text":
        path.write_text("this is no video\n" * 100)
    elif kind == "empty":
        path.write_bytes(b"")
    elif kind == "sound":
        command = ["ffmpeg", "-v", "error", "-f", "lavfi", "-i", "sine=d=1", str(path)]
        subprocess.run(command, check=True)
    elif kind == "sizes":
        path = folder / "frames"
        path.mkdir()
        for number, size in enumerate((64, 64, 72)):
            command = ["ffmpeg", "-v", "error", "-f", "lavfi", "-i", f"testsrc=s={size}x64"]
            command += ["-frames:v", "1", str(path / f"{number}.png")]
            subprocess.run(command, check=True)
    return path


@pytest.mark.parametrize("kind", ["missing", "folder", "text", "empty", "sound", "sizes"])
def test_an_unusable_input_ends_with_3_and_one_line(tiny, tmp_path, kind):
    path = bad_input(tmp_path, kind)
    failed = vsrpp("upscale", path, tmp_path / "out.mp4", "--model", tiny, check=3)
    assert path.name in assert_one_line(failed)
    assert not (tmp_path / "out.mp4").exists()


def test_of_a_truncated_file_what_decodes_is_kept_and_said(tiny, tmp_path):
    whole = write_clip(tmp_path / "whole.mkv", 60, options={"g": "10"})
    cut = tmp_path / "cut.mkv"
    cut.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    report = tmp_path / "report.json"
    vsrpp("upscale", cut, tmp_path / "out.mkv", "--model", tiny, "--report", report, check=0)
    frames = len(frame_hashes(tmp_path / "out.mkv"))
    assert 5 < frames < 60
    assert json.loads(report.read_text())["frames"] == frames


USAGE = {
    "unknown model": ("--model", "red4"),
    "tile too small": ("--tile", "32"),
    "no such device": ("--device", "cuda:7"),
    "unknown codec": ("--codec", "libx246"),
    "chunk below overlap": ("--chunk", "8", "--overlap", "4"),
    "two sizes": ("--scale", "2", "--height", "100"),
    "unknown encoder option": ("--encoder-option", "nonsense=1"),
}


@pytest.mark.parametrize("options", USAGE.values(), ids=USAGE)
def test_wrong_usage_ends_with_2_and_one_line(tmp_path, options):
    if options[0] == "--device" and torch.cuda.device_count() > 7:
        pytest.skip("this machine has eight GPUs")
    clip = write_clip(tmp_path / "in.mp4", 3)
    failed = vsrpp("upscale", clip, tmp_path / "out.mp4", *options, check=2)
    assert_one_line(failed)
    assert not (tmp_path / "out.mp4").exists()


def test_an_unknown_model_names_the_nearest(tmp_path):
    clip = write_clip(tmp_path / "in.mp4", 3)
    failed = vsrpp("upscale", clip, tmp_path / "out.mp4", "--model", "red4", check=2)
    assert "reds4" in assert_one_line(failed)


def test_an_output_in_no_folder_is_refused(tiny, tmp_path):
    clip = write_clip(tmp_path / "in.mp4", 3)
    failed = vsrpp("upscale", clip, tmp_path / "no" / "out.mp4", "--model", tiny, check=2)
    assert_one_line(failed)


def bad_checkpoint(path, kind):
    if kind == "corrupt":
        path.write_bytes(b"PK\x03\x04 nothing else")
    elif kind == "other network":
        torch.save({"state_dict": {"conv1.weight": torch.zeros(8, 3, 7, 7)}}, path)
    elif kind == "damaged":
        tiny_checkpoint(path)
        state = torch.load(path, weights_only=True)
        state["state_dict"].pop("generator.conv_last.weight")
        torch.save(state, path)
    else:
        path = path.with_suffix(".safetensors")
        save_file({"a": torch.zeros(1)}, path)
    return path


@pytest.mark.parametrize("kind", ["corrupt", "other network", "damaged", "other safetensors"])
def test_an_invalid_checkpoint_ends_with_4_and_one_line(tmp_path, kind):
    clip = write_clip(tmp_path / "in.mp4", 3)
    model = bad_checkpoint(tmp_path / "bad.pth", kind)
    failed = vsrpp("upscale", clip, tmp_path / "out.mp4", "--model", model, check=4)
    assert model.name in assert_one_line(failed)


def test_a_model_not_in_the_cache_ends_with_4_and_says_who_knows_where_it_is(tmp_path):
    clip = write_clip(tmp_path / "in.mp4", 3)
    failed = vsrpp(
        "upscale", clip, tmp_path / "out.mp4", "--model", "reds4", "--offline",
        env={"VSRPP_CACHE": str(tmp_path / "cache")}, check=4,
    )  # fmt: skip
    line = assert_one_line(failed)
    assert "`vsrpp models info reds4` says where its file is to be had and to be put" in line


def test_ctrl_c_twice_stops_at_once_and_leaves_no_output(tiny, tmp_path):
    clip = write_clip(tmp_path / "in.mp4", 200, size=(96, 96))
    command = [VSRPP, "upscale", str(clip), str(tmp_path / "out.mp4"), "--model", str(tiny)]
    process = subprocess.Popen(
        [*command, "--progress", "json"], stderr=subprocess.PIPE, text=True, env=ENVIRONMENT
    )
    sent = 0
    for line in process.stderr:
        record = json.loads(line) if line.startswith("{") else {}
        if (record.get("phase") == "compute" and not sent) or (
            record.get("kind") == "stop" and sent == 1
        ):
            process.send_signal(signal.SIGINT)
            sent += 1
    assert process.wait() == 130
    process.stderr.close()
    assert sent == 2
    assert not (tmp_path / "out.mp4").exists()
    assert not list(tmp_path.glob(".out*"))


def peak_memory(clip, out, tiny):
    """Return the largest resident size of one run in bytes."""
    command = [VSRPP, "upscale", str(clip), str(out), "--model", str(tiny), "--preset", "ultrafast",
               "--chunk", "12", "--overlap", "2", "--segment", "50", "--precision", "fp32",
               "--threads", "1", "--scenes", "off"]  # fmt: skip
    process = psutil.Popen(command, env=ENVIRONMENT, stderr=subprocess.DEVNULL)
    peak = 0
    while process.poll() is None:
        try:
            peak = max(peak, process.memory_info().rss)
        except psutil.Error:
            break
        time.sleep(0.02)
    assert process.wait() == 0
    return peak


@pytest.mark.slow
def test_memory_does_not_grow_with_the_length(tmp_path):
    # As wide as the fast kernels want it, so that it takes half the time.
    wide = replace(TINY, channels=16, hr_channels=16)
    tiny, peaks = tiny_checkpoint(tmp_path / "wide.pth", config=wide), []
    for frames in (100, 600):
        clip = write_clip(tmp_path / f"{frames}.mp4", frames)
        peaks.append(peak_memory(clip, tmp_path / f"{frames}_x4.mp4", tiny))
    assert peaks[1] <= 1.05 * peaks[0] + (50 << 20)


def test_a_config_file_gives_defaults_that_the_command_line_overrides(tiny, tmp_path):
    clip = write_clip(tmp_path / "in.mp4", 6)
    (tmp_path / "vsrpp.toml").write_text(f'model = "{tiny}"\nframes = 2\ncodec = "libx265"\n')
    out = tmp_path / "out.mp4"
    vsrpp("upscale", clip, out, "--config", tmp_path / "vsrpp.toml", "--frames", 3, check=0)
    assert len(frame_hashes(out)) == 3
    assert video(out)["codec_name"] == "hevc"


def test_plan_and_dry_run_show_the_plan_and_leave_nothing(tiny, tmp_path):
    clip = write_clip(tmp_path / "in.mp4", 30, cuts=(11,))
    shown = vsrpp("plan", clip, tmp_path / "out.mp4", "--model", tiny, check=0).stdout
    assert "30 in 2 scenes" in shown
    dry = vsrpp("upscale", clip, tmp_path / "out.mp4", "--model", tiny, "--dry-run", check=0)
    assert dry.stdout == shown
    plan = vsrpp("plan", clip, tmp_path / "out.mp4", "--model", tiny, "--json", check=0).stdout
    assert json.loads(plan)["scan"]["cuts"] == [11]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["in.mp4"]


def test_the_module_runs_as_the_command_does():
    done = subprocess.run(
        [sys.executable, "-m", "vsrpp_cli", "--version"], capture_output=True, check=True, text=True
    )
    assert done.stdout == subprocess.run(
        [VSRPP, "--version"], capture_output=True, check=True, text=True
    ).stdout  # fmt: skip


def test_the_python_api_does_what_the_command_does(tiny, tmp_path):
    from vsrpp_cli import UpscaleOptions, upscale  # noqa: PLC0415 - lazily on purpose

    clip = write_clip(tmp_path / "in.mp4", 5)
    seen = []
    report = upscale(
        clip, tmp_path / "out.mp4", UpscaleOptions(model=str(tiny)), on_progress=seen.append
    )
    assert report.frames == len(frame_hashes(tmp_path / "out.mp4")) == 5
    assert [p.done for p in seen if p.phase == "compute"][-1] == 5


def test_no_work_folder_is_left_behind(tiny, tmp_path):
    clip = write_clip(tmp_path / "in.mp4", 3)
    vsrpp("upscale", clip, tmp_path / "out.mp4", "--model", tiny, check=0)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["in.mp4", "out.mp4"]


assert shutil.which("ffprobe"), "these tests check outputs with ffprobe and ffmpeg: install ffmpeg"
