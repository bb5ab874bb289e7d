"""Runs on a system without what only POSIX has: Linux with those parts taken away."""

import json
import subprocess
import sys
import time

import pytest

from support.clips import tiny_checkpoint, write_clip
from support.commands import ENVIRONMENT, VSRPP, vsrpp
from support.faults import fingerprint
from support.places import TESTS

pytestmark = pytest.mark.skipif(
    sys.platform != "linux", reason="takes parts away that only Linux has all of"
)
ELSEWHERE = {"PYTHONPATH": str(TESTS / "support" / "elsewhere")}
SMALL = ("--precision", "fp32", "--threads", 1, "--segment", 4, "--chunk", 8, "--overlap", 2,
         "--preset", "ultrafast")  # fmt: skip


@pytest.fixture(scope="module")
def case(tmp_path_factory):
    """A clip of three segments with sound, options, and the result of an ordinary run."""
    folder = tmp_path_factory.mktemp("elsewhere")
    clip = write_clip(folder / "clip.mp4", 12, audio=True)
    options = ("--model", tiny_checkpoint(folder / "tiny.pth"), *SMALL)
    vsrpp("upscale", clip, folder / "expected.mp4", *options, check=0)
    return clip, fingerprint(folder / "expected.mp4"), options


def test_those_parts_are_gone():
    code = (
        "import os\n"
        "assert not hasattr(os, 'fork') and not hasattr(os, 'pread')\n"
        "try: os.open('/', os.O_RDONLY)\n"
        "except PermissionError: print('gone')"
    )
    command = [sys.executable, "-c", code]
    done = subprocess.run(
        command, env={**ENVIRONMENT, **ELSEWHERE}, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "gone"


def test_a_run_is_killed_and_gone_on_with(case, tmp_path):
    clip, expected, options = case
    output = tmp_path / "out.mp4"
    command = [VSRPP, *map(str, ("upscale", clip, output, *options))]
    journal = tmp_path / "out.mp4.vsrpp" / "journal.jsonl"
    with subprocess.Popen(
        command, env={**ENVIRONMENT, **ELSEWHERE}, stderr=subprocess.DEVNULL
    ) as run:
        while run.poll() is None and not (journal.exists() and journal.stat().st_size):
            time.sleep(0.005)
        run.kill()
    if output.exists():
        pytest.skip("the run was faster than the kill")
    done = vsrpp("upscale", clip, output, *options, "--resume", env=ELSEWHERE, check=0)
    assert "resuming" in done.stderr
    assert fingerprint(output) == expected
    assert not journal.parent.exists()


def test_two_workers_and_a_batch(case, tmp_path):
    clip, expected, options = case
    output = tmp_path / "out.mp4"
    vsrpp("upscale", clip, output, *options, "--workers", 2, env=ELSEWHERE, check=0)
    assert fingerprint(output) == expected
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "clip.mp4").write_bytes(clip.read_bytes())
    report = tmp_path / "report.json"
    vsrpp("batch", folder, tmp_path / "out", *options, "--report", report, env=ELSEWHERE, check=0)
    assert fingerprint(tmp_path / "out" / "clip_x4.mp4") == expected
    assert json.loads(report.read_text())
