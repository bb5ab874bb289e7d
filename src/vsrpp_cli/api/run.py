"""A whole run from Python."""

from collections.abc import Sequence
from contextlib import ExitStack
from os import PathLike, fspath
from typing import Self

from vsrpp_cli.checkpoints.download import ResolvedModel
from vsrpp_cli.options import UpscaleOptions
from vsrpp_cli.runs import run
from vsrpp_cli.runs.progress import LABELS, OnProgress, PhaseBars, Progress
from vsrpp_cli.runs.report import Report
from vsrpp_cli.runs.stop import StopToken


def upscale(
    input: str | PathLike[str],
    output: str | PathLike[str],
    options: UpscaleOptions | None = None,
    *,
    progress: bool = False,
    on_progress: OnProgress | None = None,
    stop: StopToken | None = None,
    models: Sequence[ResolvedModel] | None = None,
) -> Report:
    """Upscale `input` into `output`, going on where an interrupted run of the same call stopped.

    Args:
        input: video file, folder of frames or image.
        output: the result; appears under this name only when it is complete and verified.
        options: see `UpscaleOptions`.
        progress: show a bar of tqdm, in a notebook as a widget.
        on_progress: called with `Progress` records, from the thread that called this.
        stop: `request()` it from another thread, and the run ends with `Interrupted` as soon as
            what is being computed is safe.
        models: what `options.model` means, where an `Upscaler` knows already.

    Returns:
        The account of the run: what was made, how long it took, what could not be kept.

    Raises:
        VsrppError: the run could not be done; finished work is kept, and the same call goes on.
    """
    with ExitStack() as stack:
        listeners = [] if on_progress is None else [on_progress]
        if progress:
            listeners.append(stack.enter_context(ProgressBar()))

        def tell(record: Progress) -> None:
            for listener in listeners:
                listener(record)

        return run.upscale(
            fspath(input),
            fspath(output),
            options,
            on_progress=tell,
            stop=stop,
            models=None if models is None else list(models),
        )


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
