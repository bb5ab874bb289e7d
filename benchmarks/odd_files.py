"""Runs `vsrpp upscale` on unusual and damaged files.

    python benchmarks/odd_files.py FOLDER MODEL [--frames 3]

Every file of the folder is scanned completely, then its first frames are upscaled by the command
(in this process), only one frame if pictures have more than a million pixels. The output is decoded
and its frames are counted. Prints the table of "57 odd files" in docs/input.md. The exit code is 1
if a file gives neither an output as reported nor a one-line error.
"""

import argparse
import faulthandler
import io
import json
import sys
import tempfile
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import av

from vsrpp_cli.cli.main import execute
from vsrpp_cli.errors import VsrppError
from vsrpp_cli.media.source import open_source

LARGE = 1_000_000
"""Pixels from which one frame has to do."""

HANG = 900
"""Seconds after which a file counts as hanging."""

USUAL = ("colour matrix", "yuv444p as in the source", "the source has 1", "4320x2880 needs")
"""How notes begin that say how colour was taken and what was encoded: left out."""


@dataclass(frozen=True)
class Row:
    """The result for one file."""

    name: str
    video: str
    read: str
    output: str
    said: str
    right: bool

    def __str__(self) -> str:
        """Return the row of the table."""
        return f"| `{self.name}` | {self.video} | {self.read} | {self.output} | {self.said} |"


def look(path: Path) -> tuple[str, str, int, int]:
    """Return the video in words, what was read, its frames and the pixels of one."""
    try:
        source = open_source(path)
        frames = source.scan(scenes=False).frames
    except VsrppError:
        return "", "refused", 0, 0
    info = source.info
    text = f"{info.codec} {info.width}x{info.height} {info.pix_fmt}"
    return text, f"{frames} frame{'s' * (frames > 1)}", frames, info.width * info.height


def decoded(path: Path) -> tuple[int, str]:
    """Return the number of frames in an output, and its shape and other streams in words."""
    with av.open(str(path)) as file:
        stream = file.streams.video[0]
        frames = [frame.pts for frame in file.decode(stream)]
        size = f"{stream.width}x{stream.height}"
        others = [("sound", len(file.streams.audio)), ("subtitles", len(file.streams.subtitles))]
    assert all(a < b for a, b in pairwise(frames))
    return len(frames), ", ".join([size, *(f"{n} {kind}" for kind, n in others if n)])


def upscale(path: Path, model: Path, frames: int, folder: Path) -> tuple[str, str, bool]:
    """Run the command; return the outcome, what was said, and whether all is as it should be."""
    output = folder / f"out{'.mkv' if path.suffix in ('.mkv', '.webm', '.avi') else '.mp4'}"
    report = folder / "report.json"
    options = ["--model", str(model), "--frames", str(frames), "--preset", "ultrafast", "-y"]
    options += ["--report", str(report), "--progress", "none", "--offline"]
    said = io.StringIO()
    with redirect_stderr(said), redirect_stdout(io.StringIO()):
        code = execute(["upscale", str(path), str(output), *options])
    if code:
        lines = [line for line in said.getvalue().splitlines() if line.strip()]
        reason = lines[-1].removeprefix("vsrpp: ").replace(str(path), "").lstrip(": ")
        one_line = len(lines) == 1 and "bug" not in reason
        return f"exit {code}", reason, one_line and code > 1 and not output.exists()
    account = json.loads(report.read_text("utf-8"))
    found, text = decoded(output)
    output.unlink()
    notes = "; ".join(note for note in account["notes"] if not note.startswith(USUAL))
    return f"{found} of {frames}: {text}", notes, found == frames == account["frames"]


def examine(path: Path, model: Path, most: int) -> Row:
    """Return the row of one file."""
    faulthandler.dump_traceback_later(HANG, exit=True)
    video, read, total, pixels = look(path)
    wanted = min(total or most, 1 if pixels > LARGE else most)
    with tempfile.TemporaryDirectory() as folder:
        row = Row(path.name, video, read, *upscale(path, model, wanted, Path(folder)))
    faulthandler.cancel_dump_traceback_later()
    print(row.right, row, file=sys.stderr, flush=True)
    return row


def main() -> int:
    """Examine every file, the small ones first, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("model", type=Path)
    parser.add_argument("--frames", type=int, default=3)
    chosen = parser.parse_args()
    paths = [path for path in chosen.folder.iterdir() if path.suffix != ".tsv"]
    rows = [
        examine(path, chosen.model, chosen.frames)
        for path in sorted(paths, key=lambda path: path.stat().st_size)
    ]
    print("| file | video | read | upscaled, the first frames | said |")
    print("|---|---|---|---|---|")
    for row in sorted(rows, key=lambda row: row.name):
        print(row)
    return 0 if all(row.right for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
