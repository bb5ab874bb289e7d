"""How a run says how far it is."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

Phase = Literal[
    "model", "download", "scan", "rehearse", "note", "resume", "compute", "join", "verify",
    "evaluate", "train",
]  # fmt: skip
NoteKind = Literal["source", "computing", "result"]


@dataclass(frozen=True, kw_only=True)
class Progress:
    """One step forward."""

    phase: Phase
    """In `model`, `text` says which was chosen, and why; in `note` it is one."""
    done: int
    """Frames, while computing frames' worth of work; bytes of a download."""
    total: int | None
    """The same, where known."""
    text: str = ""
    kind: NoteKind | None = None
    """Of a note: `source` (guessed, repaired, changed or lost), `computing` (a slow way, a retry, a
    warning) or `result` (what joining and verification found)."""
    segment: int | None = None
    """While computing: the first of the segments that are not finished."""


OnProgress = Callable[[Progress], None]


def ignore(_: Progress) -> None:
    """Take no notice."""
