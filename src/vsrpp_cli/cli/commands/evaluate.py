"""`vsrpp evaluate`: models measured on a data set as the paper does."""

import json
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import click

from vsrpp_cli.cli import params, suggestions
from vsrpp_cli.cli.command import Command, option
from vsrpp_cli.cli.events import progress_option, write_result
from vsrpp_cli.cli.progress import JsonLines
from vsrpp_cli.cli.text import echo, with_flags
from vsrpp_cli.runs.progress import Progress

if TYPE_CHECKING:
    from vsrpp_cli.evaluation.evaluate import OnProgress

PROTOCOL_NAMES = ("vid4", "reds4", "udm10", "vimeo90k-t")
FILE = click.Path(dir_okay=False, allow_dash=True)
FOLDER = click.Path(file_okay=False, path_type=Path)

EXAMPLES = """
vsrpp evaluate vid4/ --protocol vid4 -m reds4 -m compact
vsrpp evaluate films/ -m reds4 -m my-model.pth --csv figures.csv
"""


@click.command("evaluate", cls=Command, examples=EXAMPLES)
@click.argument("dataset", type=click.Path(path_type=Path))
@params.model(
    "-m",
    "--model",
    "models",
    metavar="MODEL",
    multiple=True,
    shell_complete=suggestions.models,
    default=("compact",),
    show_default=True,
    help="Name, file, or chain with commas; may be repeated.",
)
@option(
    "--protocol",
    type=click.Choice(PROTOCOL_NAMES),
    help="Measure as the published tables do, and show their figures.",
)
@option(
    "--degradation",
    type=click.Choice(["bi", "bd", "web"]),
    help="How the small input is made, see vsrpp degrade.  [default: the protocol's, else bi]",
)
@option("--crf", type=float, help="Quality of x264 for --degradation web.  [default: 23]")
@option("--blur", type=float, help="Blur for --degradation web; see vsrpp degrade.")
@option("--noise", type=float, help="Noise for --degradation web; see vsrpp degrade.")
@option(
    "--input",
    "low",
    type=FOLDER,
    help="Take the small sequences from this folder instead of degrading.",
)
@option(
    "--channels",
    type=click.Choice(["y", "rgb"]),
    help="Channels to measure.  [default: the protocol's, else y]",
)
@option("--border", type=click.IntRange(0), default=0, help="Ignore this many pixels on each side.")
@option(
    "--chunks",
    type=click.Choice(["whole", "ordinary"]),
    default="whole",
    show_default=True,
    help="Compute whole sequences as the paper does, or chunks as upscale does.",
)
@option(
    "--sequence",
    "only",
    metavar="NAME",
    multiple=True,
    help="Measure only this sequence; may be repeated.",
)
@option("--frames", type=click.IntRange(1), help="Measure at most N frames of each sequence.")
@option(
    "--no-temporal",
    "temporal",
    is_flag=True,
    flag_value=False,
    default=True,
    help="Do not measure temporal consistency.",
)
@option("--save-frames", type=FOLDER, help="Write the results as PNG files into this folder.")
@option("--json", "json_file", type=FILE, help="Write all figures as JSON; - for stdout.")
@option("--csv", "csv_file", type=FILE, help="Write all figures as CSV; - for stdout.")
@params.ensemble_option
@params.offline_option
@params.device_option
@params.precision_option
@params.threads_option
@progress_option
@params.messages("-q", "--quiet", is_flag=True, help="Do not show progress.")
def command(
    *,
    dataset: Path,
    chunks: str,
    json_file: str | None,
    csv_file: str | None,
    progress: str,
    quiet: bool,
    **values: Any,
) -> None:
    """Measure models on DATASET, a folder of ground-truth sequences (folders of frames or videos).

    PSNR, SSIM and temporal consistency of each sequence and their means, bicubic beside them.
    """
    from vsrpp_cli.evaluation.evaluate import EvaluateOptions, evaluate

    options = EvaluateOptions(ordinary=chunks == "ordinary", **values)
    with _display("none" if quiet else progress) as display:
        result = evaluate(dataset, options, on_progress=display)
    if "-" not in (json_file, csv_file):
        for line in result.as_table():
            echo(line)
    if json_file is not None:
        _write(json_file, json.dumps(with_flags(result.record()), indent=2, allow_nan=False) + "\n")
    if csv_file is not None:
        _write(csv_file, result.as_csv())
    if progress == "json":
        write_result(None, result.record())


def _write(name: str, text: str) -> None:
    from vsrpp_cli.errors import UsageError

    try:
        with click.open_file(name, "w", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        raise UsageError(f"{name}: cannot be written: {error.strerror}") from error


def _display(mode: str) -> AbstractContextManager["OnProgress"]:
    """Return what shows progress, for `--progress`; `auto` is a bar where stderr is a terminal."""
    if mode == "json":
        return nullcontext(_events())
    return _Bar({"none": True, "bar": False}.get(mode))


def _events() -> "OnProgress":
    display = JsonLines()

    def on_progress(method: str, sequence: str, done: int, total: int) -> None:
        text = f"{sequence}: {method}"
        display(Progress(phase="evaluate", done=done, total=total, text=text))

    return on_progress


class _Bar:
    """A bar for each method and sequence on stderr.

    Args:
        disable: None shows it where that is a terminal.
    """

    def __init__(self, disable: bool | None) -> None:
        from tqdm import tqdm

        self._bar = tqdm(disable=disable, unit="frame", leave=False)
        self._shown = ("", "")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.close()

    def __call__(self, method: str, sequence: str, done: int, total: int) -> None:
        """Move the bar."""
        if (method, sequence) != self._shown:
            self._shown = method, sequence
            self._bar.reset(total)
            self._bar.set_description(f"{sequence}: {method}")
        self._bar.update(done - self._bar.n)
