"""How a run says how far it is."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

Phase = Literal[
    "plan", "model", "download", "scan", "rehearse", "note", "resume", "compute", "join", "verify",
    "evaluate", "train",
]  # fmt: skip
NoteKind = Literal["source", "computing", "result"]


@dataclass(frozen=True, kw_only=True)
class Progress:
    """One step forward."""

    phase: Phase
    """In `plan`, `text` is a line of what was decided; in `model` it says which was chosen and why;
    in `note` it is one."""
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


LABELS = {
    "download": "downloading",
    "scan": "reading",
    "rehearse": "rehearsing",
    "compute": "upscaling",
    "join": "joining",
    "verify": "verifying",
}
"""What phases are called where they are shown; those that are lines of text have no name."""

FRAMES: dict[str, Any] = {"unit": "frame"}
UNITS: dict[str, dict[str, Any]] = {
    "download": {"unit": "B", "unit_scale": True},
    "train": {"unit": "step"},
}
"""What tqdm counts in phases that count no frames."""


class PhaseBars:
    """A bar of tqdm for each phase of a run, one after the other.

    Args:
        tqdm: the class of bars.
        settings: of each bar.
    """

    def __init__(self, tqdm: Callable[..., Any], **settings: Any) -> None:
        self._tqdm, self._settings = tqdm, settings
        self._bar: Any = None
        self._phase = ""

    def __call__(self, progress: Progress) -> None:
        """Move the bar, or begin the next phase's."""
        if progress.phase != self._phase:
            self.close()
            self._phase = progress.phase
            self._bar = self._tqdm(
                total=progress.total,
                initial=progress.done,
                desc=LABELS[progress.phase],
                leave=progress.phase == "compute",
                **UNITS.get(progress.phase, FRAMES),
                **self._settings,
            )
            return
        # A server says only after a while how much there is.
        self._bar.total = progress.total
        self._bar.update(progress.done - self._bar.n)

    def begin(self, text: str) -> None:
        """Show a line until the first phase begins."""
        self._bar = self._tqdm(desc=text, bar_format="{desc} ...", leave=False, **self._settings)

    def close(self) -> None:
        """End the bar of the phase under way."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None
