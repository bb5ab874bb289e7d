"""Fills a small disk for real at chosen moments of a run, makes room, and lets the run be finished.

A program of its own, because it forks: `python full_disk.py INPUT MODEL DISK ELSEWHERE`, where DISK
is a small file system that nobody else uses. Prints a JSON object: for each case what the run that
met the full disk did, and what the one after it did.
"""

import json
import os
import pathlib
import shutil
import sys
from contextlib import suppress
from dataclasses import dataclass

from support.crash_steps import in_child
from support.warm import prepare_to_fork
from vsrpp_cli.cli.main import execute
from vsrpp_cli.media.encode.writer import SegmentWriter
from vsrpp_cli.media.images.writer import ImageSegmentWriter
from vsrpp_cli.media.output.assembly import Assembly
from vsrpp_cli.runs.work.journal import Journal

PAGE = 4096
PRECIOUS = b"what stood here before"
OPTIONS = ["--precision", "fp32", "--threads", "1", "--segment", "4", "--chunk", "8",
           "--overlap", "2", "-y"]  # fmt: skip


@dataclass(frozen=True)
class Case:
    """When the disk fills up, and who uses it."""

    moment: str
    """A key of `MOMENTS`."""
    number: int = 1
    """Before which call of that moment."""
    left: int = 0
    """Bytes that stay free."""
    on_disk: tuple[str, ...] = ("work", "output")
    """Which folders are on it."""
    name: str = "out.mp4"


MOMENTS = {
    "frame": (SegmentWriter, "write"),
    "segment's end": (SegmentWriter, "close"),
    "image": (ImageSegmentWriter, "write"),
    "journal": (Journal, "append_all"),
    "join": (Assembly, "run"),
}
REHEARSED = {"frame": 4, "segment's end": 2, "image": 4, "join": 1}
"""How often each moment comes before the run itself."""
WORK, OUTPUT = ("work",), ("output",)
CASES = {
    "frame": Case("frame", 6),
    "frame, apart": Case("frame", 6, on_disk=WORK),
    "segment's end": Case("segment's end", 2, left=PAGE),
    "journal": Case("journal", 2),
    "journal, apart": Case("journal", 2, on_disk=WORK),
    "verified": Case("journal", 4),
    "published": Case("journal", 5),
    "join": Case("join"),
    "join, half": Case("join", left=-2, on_disk=OUTPUT),
    "join, nearly": Case("join", left=-1, on_disk=OUTPUT),
    "images": Case("image", 6, name="frames", on_disk=WORK),
    "images, join": Case("join", name="frames", on_disk=OUTPUT),
}
"""The clip makes three segments of four frames."""


def fill(disk, left):
    """Leave `left` bytes of the disk, in whole pages."""
    with (disk / "filler").open("wb") as file:
        while (free := (shutil.disk_usage(disk).free - left) // PAGE * PAGE) > 0:
            with suppress(OSError):  # earlier images, which threads still write, took some of it
                os.posix_fallocate(file.fileno(), 0, free)
                return


def arm(case, disk, size):
    """Fill the disk at the case's moment; `left` below zero counts from the output's `size`."""
    owner, name = MOMENTS[case.moment]
    operation, count = getattr(owner, name), 0
    left = {-2: size // 2, -1: size - PAGE}.get(case.left, case.left)

    def wrapped(*args, **kwargs):
        nonlocal count
        count += 1
        if count == case.number + REHEARSED.get(case.moment, 0):
            if case.moment == "journal":
                reach_page_end(args[0], operation)
            fill(disk, left)
        return operation(*args, **kwargs)

    setattr(owner, name, wrapped)


def reach_page_end(journal, append_all):
    """Bring the journal to where the next line needs another page of the disk."""
    size = journal.path.stat().st_size
    line = len(json.dumps({"event": "padding", "text": ""}, separators=(",", ":"))) + 1
    padding = {"event": "padding", "text": "x" * (PAGE - (size + line) % PAGE - 20)}
    append_all(journal, [padding])


def run(args, errors):
    """Run `vsrpp` in a child; return its exit code."""

    def action():
        os.dup2(os.open(errors, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), 2)
        return execute(args)

    return in_child(action)


def committed(folder):
    """Return how many segments the journals below `folder` name."""
    lines = [line for path in folder.rglob("journal.jsonl") for line in path.open()]
    return sum('"event":"segment"' in line for line in lines)


def content(output):
    """Return what stands at OUTPUT, as text."""
    if output.is_dir():
        return [[p.name, p.read_bytes().hex()] for p in sorted(output.iterdir())]
    return output.read_bytes().hex() if output.exists() else None


def check(case, source, model, disk, elsewhere, expected):
    """Return what happened in one case."""
    places = {name: disk if name in case.on_disk else elsewhere for name in ("work", "output")}
    folders = {name: place / name for name, place in places.items()}
    for folder in folders.values():
        folder.mkdir()
    output, errors, report = (
        folders["output"] / case.name, elsewhere / "errors", elsewhere / "report.json",
    )  # fmt: skip
    if case.name == "out.mp4":
        output.write_bytes(PRECIOUS)
    before = content(output)
    args = ["upscale", source, str(output), "--model", model, *OPTIONS,
            "--work-dir", str(folders["work"]), "--report", str(report)]  # fmt: skip
    size = len(bytes.fromhex(expected)) if isinstance(expected, str) else 0

    def armed():
        os.dup2(os.open(errors, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), 2)
        arm(case, disk, size)
        return execute(args)

    result = {"code": in_child(armed), "said": errors.read_text().splitlines()}
    result["untouched"] = content(output) == before
    result["committed"] = committed(folders["work"])
    result["left over"] = [str(p) for p in disk.rglob("*") if ".part" in p.name]
    (disk / "filler").unlink(missing_ok=True)
    report.unlink(missing_ok=True)
    result["then"] = run(args, errors)
    result["then said"] = errors.read_text().splitlines()
    result["reused"] = json.loads(report.read_text())["segments_reused"] if report.exists() else 0
    result["as expected"] = content(output) == expected
    for folder in folders.values():
        shutil.rmtree(folder)
    return result


def main(source, model, disk, elsewhere):
    prepare_to_fork()
    disk, elsewhere = pathlib.Path(disk), pathlib.Path(elsewhere)
    expected = {}
    for name in ("out.mp4", "frames"):
        output = elsewhere / f"expected-{name}"
        args = ["upscale", source, str(output), "--model", model, *OPTIONS]
        assert run(args, elsewhere / "errors") == 0, (elsewhere / "errors").read_text()
        expected[name] = content(output)
    results = {
        name: check(case, source, model, disk, elsewhere, expected[case.name])
        for name, case in CASES.items()
    }
    print(json.dumps(results))


if __name__ == "__main__":
    main(*sys.argv[1:])
