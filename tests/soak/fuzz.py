"""Damaged media files, hundreds of them: `python tests/soak/fuzz.py [FIRST COUNT]`.

Each is made from a small clip by a numbered mutation, the same each time, and goes through the
command line in a process of its own; resizing stands in for the networks. Whatever comes of it, it
must come within a minute, in one clear line, and before the first frame is computed.
"""

import json
import os
import random
import signal
import sys
import tempfile
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from support.clips import tiny_checkpoint
from support.joining import STREAMS
from support.kinds import write_foreign, write_kind
from support.warm import prepare_to_fork
from vsrpp_cli.cli.main import execute
from vsrpp_cli.runs.plans.rehearsal import Resizing
from vsrpp_cli.runs.workers import serial

FILES = 320
SECONDS = 60
ORDERLY = (0, 2, 3, 6)
"""Exit codes of runs that end well, or say what is wrong with the file before the work."""
OPTIONS = ["--precision", "fp32", "--threads", "1", "--preset", "ultrafast", "--frames", "6",
           "--progress", "json", "--offline", "-y"]  # fmt: skip


def write_sources(folder):
    """Write the clips that are mutated and return their paths."""
    own = [write_kind(folder, kind) for kind in ("aac", "pcm", "opus", "two tracks", "text")]
    foreign = [write_foreign(folder, suffix, sound=True) for suffix in (".ts", ".avi", ".vob")]
    foreign.append(write_foreign(folder, ".gif", sound=False))
    return [*own, *foreign, STREAMS / "everything.mkv", STREAMS / "everything.mp4"]


def mutated(data, number):
    """Return bytes that differ from `data` in a way that depends on the number alone."""
    dice = random.Random(number)
    kind = dice.choice(["begin", "end", "anywhere", "burst", "cut", "removed", "repeated", "zeros"])
    new = bytearray(data)
    if kind in ("begin", "end", "anywhere"):
        near = min(len(new), 1500)
        low, high = {"begin": (0, near), "end": (len(new) - near, len(new))}.get(
            kind, (0, len(new))
        )
        for _ in range(dice.randint(1, 30)):
            new[dice.randrange(low, high)] = dice.randrange(256)
        return bytes(new)
    at, length = dice.randrange(len(new)), dice.randint(1, max(2, len(new) // 4))
    if kind == "burst":
        new[at : at + length] = dice.randbytes(len(new[at : at + length]))
    elif kind == "zeros":
        new[at : at + length] = bytes(len(new[at : at + length]))
    elif kind == "repeated":
        new[at:at] = new[at : at + length]
    elif kind == "removed":
        del new[at : at + length]
    else:
        del new[at:]
    return bytes(new)


def run(command, said):
    """Run `vsrpp` in a fork, resizing instead of computing; return how it ended."""
    pid = os.fork()
    if pid == 0:
        signal.alarm(SECONDS)
        os.dup2(os.open(said, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), 2)
        os._exit(_child(command))
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def _child(command):
    serial.load_engine = lambda _: Resizing()
    return execute(command)


def verdict(code, text):
    """Return what is wrong with the end of a run; empty where nothing is."""
    records = [json.loads(line) for line in text.splitlines() if line.startswith("{")]
    phases = [record.get("phase") for record in records]
    if code == -signal.SIGALRM:
        return "hangs"
    if "Traceback" in text or "(a bug;" in text:
        return "traceback"
    if code and "compute" in phases:
        return f"fails after computing ({code})"
    if code not in ORDERLY:
        return f"exit {code}"
    said = [record["message"] for record in records if record["event"] == "error"]
    if code and (len(said) != 1 or "\n" in said[0]):
        return "not one line"
    return ""


def main(first, count):
    codes, bad = Counter(), []
    prepare_to_fork()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        model, sources = tiny_checkpoint(folder / "tiny.pth"), write_sources(folder)
        for number in range(first, first + count):
            source = sources[number % len(sources)]
            file, said = folder / f"fuzzed{source.suffix}", folder / "said"
            file.write_bytes(mutated(source.read_bytes(), number))
            output = folder / f"out{('.mkv', '.mp4')[number // len(sources) % 2]}"
            code = run(["upscale", str(file), str(output), "-m", str(model), *OPTIONS], said)
            codes[code] += 1
            if wrong := verdict(code, text := said.read_text("utf-8", "replace")):
                bad.append(number)
                print(f"{number} ({source.name}): {wrong}: {text.strip().splitlines()[-1:]}")
    print(f"{count} files, exit codes {dict(sorted(codes.items()))}, wrong: {bad or 'none'}")
    return bool(bad)


if __name__ == "__main__":
    numbers = [int(text) for text in sys.argv[1:]]
    sys.exit(main(*numbers) if numbers else main(0, FILES))
