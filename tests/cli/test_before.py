"""What a run says before its first frame, and to Ctrl-C."""

import os
import re
import signal
import subprocess
import sys

import pytest

from support.clips import tiny_checkpoint, write_clip
from support.commands import ENVIRONMENT, VSRPP
from vsrpp_cli.cli.main import execute
from vsrpp_cli.cli.signals import stoppable
from vsrpp_cli.runs.stop import StopToken


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return tiny_checkpoint(tmp_path_factory.mktemp("model") / "tiny.pth")


def test_what_is_decided_and_what_is_lost_stand_before_the_first_frame(model, tmp_path, capsys):
    clip = write_clip(tmp_path / "in.mp4", 3, audio=True)
    command = ["upscale", clip, tmp_path / "frames", "-m", model, "--threads", "1"]
    assert execute(list(map(str, command))) == 0
    said = capsys.readouterr().err
    before, _, after = said.partition("upscaling ...")
    assert re.search(r"^in\.mp4: 3 frames of 64x64 to frames: 256x256, png", before, re.MULTILINE)
    assert re.search(
        r" on cpu in \w+: .* \(a rough guess\), .* RAM, .* disk$", before, re.MULTILINE
    )
    assert "sound" in before
    assert "sound" not in after
    assert re.findall(r"^(\w+) \.\.\.$", after, re.MULTILINE) == ["joining", "verifying"]


def test_a_terminal_shows_at_once_that_something_happens(tmp_path):
    pty, termios = pytest.importorskip("pty"), pytest.importorskip("termios")
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (24, 80))
    done = subprocess.run(
        [VSRPP, "upscale", str(tmp_path / "none.mp4"), str(tmp_path / "out.mp4")],
        stderr=theirs, env=ENVIRONMENT, check=False,
    )  # fmt: skip
    os.close(theirs)
    said = os.read(ours, 1 << 16).decode()
    os.close(ours)
    assert done.returncode == 3
    assert said.lstrip("\r").startswith("starting ...")
    assert "none.mp4" in said.rpartition("starting ...")[2]


@pytest.mark.skipif(sys.platform == "win32", reason="os.kill ends processes there")
def test_a_signal_is_answered_with_the_outlook():
    token, said = StopToken(), []
    with token.foreseeing(lambda: "in a minute"), stoppable(token, said.append):
        os.kill(os.getpid(), signal.SIGINT)
    assert said == ["in a minute"]
