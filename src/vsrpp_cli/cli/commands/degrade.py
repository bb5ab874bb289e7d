"""`vsrpp degrade`: low-resolution input from ground truth."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from vsrpp_cli.cli import params
from vsrpp_cli.cli.command import option
from vsrpp_cli.cli.config import RunCommand
from vsrpp_cli.cli.text import echo

if TYPE_CHECKING:
    from vsrpp_cli.evaluation.web import Degradation

EXAMPLES = """
vsrpp degrade film.mp4 film_small.mp4
vsrpp degrade film.mp4 film_web.mp4 --kind web --crf 28
"""


@click.command("degrade", cls=RunCommand, examples=EXAMPLES)
@click.argument("input", type=click.Path(path_type=Path))
@click.argument("output", type=click.Path(path_type=Path))
@option(
    "--kind",
    type=click.Choice(["bi", "bd", "web"]),
    default="bi",
    show_default=True,
    help="bi: antialiased bicubic as MATLAB's imresize; bd: Gaussian blur of sigma 1.6, "
    "then every fourth pixel; web: bi, then x264 at --crf (23 unless given), medium, 4:2:0, "
    "BT.601, one thread.",
)
@option(
    "--blur",
    type=float,
    default=0.0,
    help="For web: Gaussian blur first, sigma in pixels of the small frame.",
)
@option(
    "--noise",
    type=float,
    default=0.0,
    help="For web: Gaussian noise before x264, standard deviation in levels of 255.",
)
@option(
    "--factor",
    type=click.IntRange(2, 16),
    default=4,
    show_default=True,
    help="How many times smaller.",
)
@params.part_options
@params.output_options
@params.config_option
@params.quiet_option
def command(
    *,
    input: Path,
    output: Path,
    kind: "Degradation",
    factor: int,
    blur: float,
    noise: float,
    quiet: bool,
    **values: Any,
) -> None:
    """Make INPUT, a video or a folder of frames, small as the benchmarks' inputs were made.

    An OUTPUT without suffix is a folder of PNG frames.
    """
    from tqdm import tqdm

    from vsrpp_cli.evaluation.degrading import degrade_input

    options = params.make_options(values)
    with tqdm(disable=True if quiet else None, unit="frame", leave=False) as bar:

        def show(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        result = degrade_input(
            input, output, kind, options, factor=factor, blur=blur, noise=noise, on_frame=show
        )
    if not quiet:
        echo(f"{result.output}: {result.frames} frames, {result.width}x{result.height}", err=True)
        for note in result.notes:
            echo(f"note: {note}", err=True)
