"""Precision and recall of the cut detector on clips whose cuts were labelled by hand.

    python benchmarks/scenes.py CLIPS [LABELS]

CLIPS is the folder that contains the clips named in the label files (LABELS, default tests/data).
"""

import sys
import time
from dataclasses import dataclass
from pathlib import Path

from vsrpp_cli.media.source import open_source


@dataclass(frozen=True)
class Labels:
    """The cuts of one clip."""

    clip: str
    cuts: frozenset[int]
    titles: frozenset[int]
    """Titles on black: neither right nor wrong."""


def read_labels(path: Path) -> Labels:
    """Return what a file of labels says."""
    found: dict[str, list[str]] = {"clip": [], "cut": [], "title": []}
    for line in path.read_text("utf-8").splitlines():
        if line and not line.startswith("#"):
            kind, *values = line.split()
            found[kind] += values
    return Labels(
        found["clip"][0], frozenset(map(int, found["cut"])), frozenset(map(int, found["title"]))
    )


def main(clips: Path, labels: Path) -> None:
    """Print a line for each clip and one for all of them."""
    right = wrong = missed = 0
    for path in sorted(labels.glob("cuts_*.txt")):
        wanted = read_labels(path)
        if not (clips / wanted.clip).exists():
            print(f"{wanted.clip}: not here")
            continue
        started = time.perf_counter()
        scan = open_source(clips / wanted.clip).scan(scenes=True)
        spent = time.perf_counter() - started
        found = set(scan.cuts)
        false, lost = found - wanted.cuts - wanted.titles, wanted.cuts - found
        hits = len(wanted.cuts) - len(lost)
        print(
            f"{wanted.clip}: {scan.frames} frames, {len(wanted.cuts)} cuts, {hits} found, "
            f"missed {sorted(lost)}, false {sorted(false)}, "
            f"precision {hits / max(1, hits + len(false)):.3f}, "
            f"recall {hits / len(wanted.cuts):.3f}, {1000 * spent / scan.frames:.1f} ms a frame"
        )
        right, wrong, missed = right + hits, wrong + len(false), missed + len(lost)
    if right:
        print(
            f"all: precision {right / (right + wrong):.3f}, recall {right / (right + missed):.3f}"
        )


if __name__ == "__main__":
    here = Path(__file__).parents[1] / "tests" / "data"
    main(Path(sys.argv[1]), Path(sys.argv[2]) if len(sys.argv) > 2 else here)
