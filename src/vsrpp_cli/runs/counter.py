"""The progress of a run's computation, and what stopping now would cost."""

import time
from collections.abc import Mapping
from itertools import islice

from vsrpp_cli.runs.amounts import about, duration
from vsrpp_cli.runs.progress import OnProgress, Progress


class Counter:
    """Adds up work in units of frames, and reports each whole frame.

    Args:
        on_progress: called with `Progress` records.
        total: frames of the run.
        missing: frames of each segment that is not finished, by its index.
    """

    def __init__(self, on_progress: OnProgress, total: int, missing: Mapping[int, int]) -> None:
        self.before = total - sum(missing.values())
        """Frames that were finished before this run of the command."""
        self.workers = 1
        """Number of segments that are computed at the same time."""
        self._on_progress, self._total = on_progress, total
        self._missing = dict(sorted(missing.items()))
        self._began = time.monotonic()
        self._done, self._said = float(self.before), self.before
        self._safe = self.before
        self._say()

    def __call__(self, frames: float) -> None:
        """Add work in units of frames."""
        self._done += frames
        # A little more: the parts of a frame add up to 1 only up to rounding.
        whole = min(int(self._done + 1e-6), self._total)
        if whole > self._said:
            self._said = whole
            self._say()

    def finished(self, segment: int) -> None:
        """Record that a segment is committed."""
        self._safe += self._missing.pop(segment)
        if self._done < self._safe:
            self(self._safe - self._done)

    def outlook(self) -> str:
        """Return a sentence on when the current segments will be saved, and what stopping costs."""
        done = self._done - self.before
        if done < 1:
            return "stopping when the segment under way is safe; Ctrl-C again stops now"
        pace = (time.monotonic() - self._began) / done
        unsafe = max(self._done - self._safe, 0.0)
        left = max(sum(islice(self._missing.values(), self.workers)) - unsafe, 0.0)
        return (
            f"stopping when the segment under way is safe, in {about(left * pace)}; "
            f"Ctrl-C again stops now and loses the work of {duration(unsafe * pace)}"
        )

    def _say(self) -> None:
        first = next(iter(self._missing), None)
        self._on_progress(
            Progress(phase="compute", done=self._said, total=self._total, segment=first)
        )
