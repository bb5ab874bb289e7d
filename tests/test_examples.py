"""The scripts in `examples/` do what they say."""

import subprocess
import sys

from support.clips import tiny_checkpoint, write_clip
from support.commands import ENVIRONMENT, frame_hashes, vsrpp
from support.places import ROOT


def test_a_script_drives_a_run_stops_it_goes_on_and_prints_the_result(tmp_path):
    clip = write_clip(tmp_path / "in.mp4", 60, (96, 96))
    model = tiny_checkpoint(tmp_path / "tiny.pth")
    options = ["-m", str(model), "--threads", "1", "--segment", "4"]
    command = [sys.executable, str(ROOT / "examples" / "drive.py"), str(clip), "out.mp4", *options]
    done = subprocess.run(
        command, capture_output=True, text=True, cwd=tmp_path, env=ENVIRONMENT, check=True
    )
    first, second = done.stdout.splitlines()
    assert first.startswith("error 130 stopped with ")
    assert second == f"result 0 {tmp_path / 'out.mp4'}"
    vsrpp("upscale", clip, tmp_path / "whole.mp4", *options, check=0)
    assert frame_hashes(tmp_path / "out.mp4") == frame_hashes(tmp_path / "whole.mp4")
