"""Showing a download on stderr: a bar on a terminal, a few plain lines otherwise."""

import sys
from typing import Any, Self

from tqdm import tqdm

from vsrpp_cli.checkpoints.transfer import Progress
from vsrpp_cli.cli.text import echo, printable

STEPS = 4
"""Plain lines per download, not counting the first."""


class DownloadBar:
    """Shows `Progress` records, of one file after another."""

    def __init__(self) -> None:
        self._terminal = sys.stderr.isatty()
        self._key: tuple[str, int | None] | None = None
        self._bar: Any = None
        self._step = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None

    def __call__(self, progress: Progress) -> None:
        """Show one record."""
        if progress.total is None and not progress.done:
            self._begin(progress)
        elif self._terminal:
            self._move(progress)
        elif progress.total:
            self._line(progress.done, progress.total)

    def _begin(self, progress: Progress) -> None:
        self.__exit__()
        if self._key != (progress.url, None):
            self._say(f"downloading {progress.url}")
        self._key, self._step = (progress.url, None), 0

    def _move(self, progress: Progress) -> None:
        if self._bar is None:
            self._bar = tqdm(
                total=progress.total,
                initial=progress.done,
                desc=printable(progress.file)[:40],
                unit="B",
                unit_scale=True,
                file=sys.stderr,
                dynamic_ncols=True,
            )
        self._bar.total = progress.total
        self._bar.update(progress.done - self._bar.n)

    def _line(self, done: int, total: int) -> None:
        step = STEPS * done // total
        if step > self._step:
            self._step = step
            self._say(f"{done / 1e6:.1f} of {total / 1e6:.1f} MB")

    def _say(self, text: str) -> None:
        echo(text, err=True)
