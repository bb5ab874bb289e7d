"""Frames that are large for the memory there is: within the limit, and the same frames."""

import json
import os
import subprocess
import sys

import pytest

from support.clips import tiny_checkpoint, write_clip
from support.commands import ENVIRONMENT, VSRPP, assert_one_line, frame_hashes, vsrpp


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    return tiny_checkpoint(tmp_path_factory.mktemp("model") / "tiny.pth")


def planned(*args):
    return json.loads(vsrpp("plan", *args, "--json", check=0).stdout)


def peak_of(*args):
    """Run `vsrpp` in a process of its own; return the peak of its resident size in bytes."""
    process = subprocess.Popen([VSRPP, *map(str, args)], env=ENVIRONMENT)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0
    return usage.ru_maxrss * 1024


def test_frames_kept_in_files_are_the_frames_kept_in_memory(tiny, tmp_path):
    clip = write_clip(tmp_path / "clip.mp4", 4, (96, 160))
    options = ["-m", tiny, "--chunk", 3, "--overlap", 1, "--tile", 96, "--tile-overlap", 8]
    options += ["--height", 320, "--precision", "fp32"]
    plenty = planned(clip, *options, "--memory-limit", "8G")["geometry"]
    assert plenty["scratch"] == 0
    limit = plenty["memory"] - (1 << 20)
    short = planned(clip, *options, "--memory-limit", limit)
    assert short["geometry"]["scratch"] > 0
    assert any("files of the work folder" in note for note in short["geometry"]["notes"])
    hashes = []
    for name, memory in (("plenty", "8G"), ("short", limit)):
        output = tmp_path / f"{name}.mkv"
        vsrpp("upscale", clip, output, *options, "--memory-limit", memory, check=0)
        hashes.append(frame_hashes(output))
    assert hashes[0] == hashes[1]


@pytest.mark.skipif(sys.platform != "linux", reason="counts resident memory as Linux does")
def test_720p_to_2160p_stays_below_2_gigabytes(tmp_path):
    clip = write_clip(tmp_path / "clip.mp4", 2, (1280, 720))
    limit = 2 << 30
    options = ["-m", "compact", "--height", 2160, "--memory-limit", limit]
    assert peak_of("upscale", clip, tmp_path / "o.mp4", *options, "-q") <= limit


def test_a_refusal_says_what_would_fit_and_that_does(tiny, tmp_path):
    clip = write_clip(tmp_path / "clip.mp4", 2, (640, 480))
    done = vsrpp("plan", clip, "-m", tiny, "--tile", "off", "--memory-limit", "1G", check=5)
    line = assert_one_line(done)
    limit = line.rpartition("--memory-limit ")[2].strip()
    vsrpp("plan", clip, "-m", tiny, "--tile", "off", "--memory-limit", limit, check=0)
