"""Tests and measures a GPU within ten minutes; needs no internet connection.

Usage: python benchmarks/gpu.py [--device cuda:0] [--minutes 10] [--clip CLIP] [--quick]
       [--write docs/benchmarks.md]
       python benchmarks/gpu.py --fit [--device cuda:0] [--quick]

Runs the tests marked `cuda`, the network against the reference (if that is installed, see
reference.py), memory against what is predicted, whole runs, and the network through torch's
compiler. Each part (a gpu_*.py) has a process of its own and a share of the time: one that fails or
takes too long gives an error line in its table, and the others go on. The exit code is 1 if
anything failed. `--device cpu --quick` tries everything at tiny sizes. `--fit` measures only
memory, at more sizes, and prints the coefficients that predict it best.
"""

import argparse
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

ROOT = Path(__file__).parents[1]
EXAMPLE = ROOT / "examples" / "chickens.mp4"
BEGIN, END = "<!-- gpu: begin -->", "<!-- gpu: end -->"
FAILED = "failed"
"""As in gpu_setting.py, which is not imported here because it imports torch."""


@dataclass(frozen=True)
class Part:
    """One table."""

    title: str
    module: str
    function: str
    """Name of the function that is given a `Setting` and yields rows, each a list of cells."""
    share: float
    """Share of the time; the sum over all parts is 1."""
    columns: tuple[str, ...]


NETWORK = ("input", "ms a frame", "faster", "against the first", "most memory")
MEMORY = ("chunk", "predicted", "measured", "error", "reserved by torch")
WHOLE = ("model", "frames", "seconds", "of that computing", "reading alone", "encoding alone")

PARTS = {
    part.function: part
    for part in [
        Part("Machine", "gpu_machine", "machine", 0.15, ("", "")),
        Part("The network, by torch's operators", "gpu_network", "eager", 0.4, NETWORK),
        Part("Memory", "gpu_memory", "memory", 0.1, MEMORY),
        Part("Whole runs", "gpu_whole", "whole", 0.1, WHOLE),
        Part("The network, through torch's compiler", "gpu_network", "compiled", 0.25, NETWORK),
    ]
}


def child(part: Part, given: argparse.Namespace) -> None:
    """Print the rows of a part as they are measured, one JSON list per line."""
    setting = import_module("gpu_setting").Setting(given.device, given.clip, given.quick)
    for row in getattr(import_module(part.module), part.function)(setting):
        print(json.dumps(row), flush=True)


def fit(given: argparse.Namespace) -> None:
    """Measure memory at several sizes, and print what predicts it best."""
    sys.path.insert(0, str(ROOT / "src"))  # if not installed
    setting = import_module("gpu_setting").Setting(given.device, given.clip, given.quick)
    for text in import_module("gpu_fit").fit(setting):
        print(text, flush=True)


def rows(name: str, timeout: float) -> Iterator[list[str]]:
    """Run a part for at most so many seconds; yield its rows, and an error row if it failed."""
    done, problem = run([sys.executable, __file__, *sys.argv[1:], "--part", name], timeout)
    yield from (json.loads(line) for line in done.splitlines() if line.startswith("["))
    if problem:
        yield [f"{FAILED}: {problem}"]


def run(command: list[str], timeout: float) -> tuple[str, str]:
    """Run a command; return its output and an error, if any.

    At the time limit it is ended, with its child processes.
    """
    problem = ""
    path = os.pathsep.join([str(ROOT / "src"), os.getenv("PYTHONPATH", "")])  # if not installed
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
        env={**os.environ, "PYTHONPATH": path},
    ) as process:  # fmt: skip
        try:
            printed, errors = process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            printed, errors = process.communicate()
            problem = f"not done in {timeout:.0f} s"
        except BaseException:
            os.killpg(process.pid, signal.SIGKILL)
            raise
    if process.returncode and not problem:
        problem = (errors.strip() or f"exit code {process.returncode}").splitlines()[-1]
    return printed, problem


def tables(minutes: float) -> Iterator[str]:
    """Yield the lines of all parts' tables; time that a part does not use goes to later ones."""
    end = time.monotonic() + 60 * minutes
    reserved = sum(part.share for part in PARTS.values())
    for name, part in PARTS.items():
        reserved -= part.share
        timeout = max(1.0, end - time.monotonic() - 60 * minutes * reserved)
        yield from (f"**{part.title}**", "", line(part.columns), "|---" * len(part.columns) + "|")
        for row in rows(name, timeout):
            yield line((*row, *[""] * (len(part.columns) - len(row))))
        yield ""


def line(cells: Sequence[str]) -> str:
    """Return a line of a table."""
    return f"| {' | '.join(cell.replace('|', '/') for cell in cells)} |"


def write(document: Path, text: str) -> None:
    """Replace the tables between their marks in a document."""
    pattern = f"(?<={re.escape(BEGIN)}\n).*?(?={re.escape(END)})"
    old = document.read_text()
    if not re.search(pattern, old, re.DOTALL):
        sys.exit(f"{document} has no lines {BEGIN} and {END}")
    document.write_text(re.sub(pattern, lambda _: text, old, flags=re.DOTALL))


def main() -> int:
    """Print, or write, the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cuda:0")
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--clip", type=Path, default=EXAMPLE)
    parser.add_argument("--quick", action="store_true", help="tiny sizes, one round")
    parser.add_argument("--write", type=Path, help="put the tables into this file")
    parser.add_argument(
        "--fit", action="store_true", help="only fit what is predicted of the device's memory"
    )
    parser.add_argument("--part", choices=PARTS, help="print this part's rows as JSON")
    given = parser.parse_args()
    if given.part:
        child(PARTS[given.part], given)
        return 0
    if given.fit:
        fit(given)
        return 0
    lines = []
    for text in tables(given.minutes):
        print(text, flush=True)
        lines.append(text)
    if given.write:
        write(given.write, "\n".join(lines))
    return any(f"| {FAILED}" in text for text in lines)


if __name__ == "__main__":
    sys.exit(main())
