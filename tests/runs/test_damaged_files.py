"""Damaged and foreign files: done or refused in one line, before the first frame, in a minute."""

import json
import subprocess
import sys

import pytest

from support.clips import tiny_checkpoint
from support.commands import ENVIRONMENT, assert_one_line, vsrpp
from support.kinds import write_kind
from support.places import SHARED, TESTS

FAULTS = SHARED / "data" / "faults"

SEED, COUNT = 1000, 25
"""Mutations of this suite; `tests/soak/fuzz.py` goes through hundreds."""


def test_fuzzed_files_end_well_or_in_one_line():
    command = [sys.executable, str(TESTS / "soak" / "fuzz.py"), str(SEED), str(COUNT)]
    done = subprocess.run(command, capture_output=True, text=True, env=ENVIRONMENT, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines()[-1].endswith("wrong: none")


@pytest.mark.parametrize(("old", "new"), [(b"V_MPEG4/ISO/AVC", b"V_NOBODY/KNOWS/")])
def test_a_video_that_nothing_decodes_is_named(tmp_path, old, new):
    source = write_kind(tmp_path, "no sound")
    data = source.read_bytes()
    assert old in data
    source.write_bytes(data.replace(old, new))
    model = tiny_checkpoint(tmp_path / "tiny.pth")
    done = vsrpp("upscale", source, tmp_path / "out.mkv", "-m", model, check=3)
    assert "nothing here decodes its video track 0" in assert_one_line(done)


@pytest.mark.skipif(not FAULTS.is_dir(), reason="the collection of faulty files is not here")
@pytest.mark.parametrize("strict", [False, True])
@pytest.mark.parametrize("name", sorted(p.name for p in FAULTS.glob("*")))
def test_faulty_files_are_kept_or_refused_before_the_work(tmp_path, name, strict):
    output = tmp_path / ("out.png" if name.endswith((".tif", ".heic", ".avif")) else "out.mkv")
    model = tiny_checkpoint(tmp_path / "tiny.pth")
    options = ["-m", model, "--precision", "fp32", "--progress", "json", "--frames", "40"]
    done = vsrpp("upscale", FAULTS / name, output, *options, *["--strict"] * strict)
    if done.returncode:
        assert done.returncode in (3, 6)
        assert "Traceback" not in done.stderr
        records = [json.loads(line) for line in done.stderr.splitlines()]
        assert [record["event"] for record in records].count("error") == 1
        assert "compute" not in [record.get("phase") for record in records]
    assert output.exists() == (done.returncode == 0)
