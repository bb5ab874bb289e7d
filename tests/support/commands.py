"""Running the installed `vsrpp` and reading its results with independent tools."""

import json
import os
import subprocess
import sys
from pathlib import Path

from support import warm

VSRPP = str(Path(sys.executable).with_name("vsrpp"))
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "VSRPP_OFFLINE": "1"}


def vsrpp(*args, check=None, env=None, cwd=None, timeout=250, cold=False):
    """Run `vsrpp`; with `check`, assert its exit code. Returns the finished process.

    A cold run is started as the shell does; others share one start of the interpreter (see
    `support/warm.py`), unless they have an environment of their own, which libraries read when they
    are loaded. Each command is started cold somewhere.
    """
    if cold or env:
        done = subprocess.run(
            [VSRPP, *map(str, args)],
            capture_output=True,
            text=True,
            env={**ENVIRONMENT, **(env or {})},
            cwd=cwd,
            timeout=timeout,
            check=False,
        )
    else:
        done = warm.run(ENVIRONMENT, args, cwd=cwd, timeout=timeout)
    if check is not None:
        assert done.returncode == check, f"exit {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done


def assert_one_line(done):
    """Assert that a failed command said why in exactly one line, without a traceback."""
    lines = [line for line in done.stderr.splitlines() if line.startswith("vsrpp: ")]
    assert len(lines) == 1, done.stderr
    assert "Traceback" not in done.stderr
    return lines[0]


def ffprobe(path, *args):
    """Return ffprobe's JSON."""
    command = ["ffprobe", "-v", "error", "-of", "json", *args, str(path)]
    return json.loads(subprocess.run(command, capture_output=True, check=True).stdout)


def frame_hashes(path):
    """Return pts and MD5 of every decoded frame of the first video track, by ffmpeg."""
    command = ["ffmpeg", "-v", "error", "-i", str(path), "-map", "0:v:0", "-copyts"]
    command += ["-vsync", "passthrough", "-f", "framemd5", "-"]
    text = subprocess.run(command, capture_output=True, check=True, text=True).stdout
    rows = [line.split(",") for line in text.splitlines() if line and not line.startswith("#")]
    return [(int(row[2]), row[5].strip()) for row in rows]


def packets(path, kind):
    """Return pts, dts, size and MD5 of every packet of the streams of a kind, by ffprobe."""
    data = ffprobe(
        path, "-select_streams", kind, "-show_packets", "-show_data_hash", "md5"
    )["packets"]  # fmt: skip
    return [(p["stream_index"], p.get("pts_time"), p["size"], p["data_hash"]) for p in data]
