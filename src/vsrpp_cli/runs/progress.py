"""Records of a run's progress, and bars that show them."""

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
    """The progress of a run at one moment."""

    phase: Phase
    done: int
    """Frames, bytes of a download, or steps of training."""
    total: int | None
    """The same, where known."""
    text: str = ""
    """In phase `plan` a line of the plan, in `model` the chosen model and the reason, in `note` the
    note."""
    kind: NoteKind | None = None
    """Of a note: `source` (guessed, repaired, changed or lost), `computing` (a slow way, a retry, a
    warning) or `result` (what joining and verification found)."""
    segment: int | None = None
    """While computing: the first segment that is not finished."""


OnProgress = Callable[[Progress], None]


def ignore(_: Progress) -> None:
    """Do nothing."""


LABELS = {
    "download": "downloading",
    "scan": "reading",
    "rehearse": "rehearsing",
    "compute": "upscaling",
    "join": "joining",
    "verify": "verifying",
}
"""Names of the phases that have a bar."""

FRAMES: dict[str, Any] = {"unit": "frame"}
UNITS: dict[str, dict[str, Any]] = {
    "download": {"unit": "B", "unit_scale": True},
    "train": {"unit": "step"},
}
"""Settings of tqdm for phases that do not count frames."""


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
        """Update the bar, or begin that of the next phase."""
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
        # The size of a download is known only after the server's answer.
        self._bar.total = progress.total
        self._bar.update(progress.done - self._bar.n)

    def begin(self, text: str) -> None:
        """Show a line until the first phase begins."""
        self._bar = self._tqdm(desc=text, bar_format="{desc} ...", leave=False, **self._settings)

    def close(self) -> None:
        """End the bar of the current phase."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None
