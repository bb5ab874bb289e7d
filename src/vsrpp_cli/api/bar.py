"""Progress in notebooks and consoles."""

from typing import Self

from vsrpp_cli.runs.progress import LABELS, PhaseBars, Progress


class ProgressBar:
    """A bar of tqdm for each phase of a run: a widget in a notebook, a line elsewhere."""

    def __init__(self) -> None:
        from tqdm.auto import tqdm  # noqa: PLC0415  asks which of the two, and warns

        self._bars = PhaseBars(tqdm)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._bars.close()

    def __call__(self, progress: Progress) -> None:
        """Show a record, if it is a step of a phase rather than a text."""
        if progress.phase in LABELS:
            self._bars(progress)
