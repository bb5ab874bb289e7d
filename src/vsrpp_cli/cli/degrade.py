"""`vsrpp degrade`: low-resolution input from ground truth."""

from pathlib import Path
from typing import Any

import click

from vsrpp_cli.cli import params
from vsrpp_cli.cli.text import echo
from vsrpp_cli.options import DEINTERLACE


@click.command("degrade")
@click.argument("input", type=click.Path(path_type=Path))
@click.argument("output", type=click.Path(path_type=Path))
@click.option(
    "--kind",
    type=click.Choice(["bi", "bd", "web"]),
    default="bi",
    show_default=True,
    help="bi: antialiased bicubic as MATLAB's imresize; bd: Gaussian blur of sigma 1.6, "
    "then every fourth pixel; web: bi, then x264 at --crf (23 unless given), medium, 4:2:0, "
    "BT.601, one thread.",
)
@click.option(
    "--blur",
    type=float,
    default=0.0,
    help="Of web: Gaussian blur before, sigma in pixels of the small frame.",
)
@click.option(
    "--noise",
    type=float,
    default=0.0,
    help="Of web: Gaussian noise before x264, standard deviation in levels of 255.",
)
@click.option(
    "--factor",
    type=click.IntRange(2, 16),
    default=4,
    show_default=True,
    help="How many times smaller.",
)
@click.option("--start", type=params.SECONDS, help="Seconds or H:MM:SS from the beginning.")
@click.option("--end", type=params.SECONDS, help="Up to, not including.")
@click.option("--frames", type=int, help="At most so many frames.")
@click.option("--fps", type=params.RATIO, help="Frame rate of a folder of frames.")
@click.option("--deinterlace", type=click.Choice(DEINTERLACE), default="auto", show_default=True)
@click.option("--video-track", type=int, help="Which video track, from 0.")
@params.output_options
@click.option("-y", "overwrite", is_flag=True, help="Replace an existing OUTPUT.")
@params.config_option
@click.option("-q", "--quiet", is_flag=True, help="Errors only.")
def command(
    *,
    input: Path,
    output: Path,
    kind: str,
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
