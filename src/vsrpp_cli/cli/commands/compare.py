"""`vsrpp compare`: two videos against each other."""

import json
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from vsrpp_cli.cli.command import Command, option
from vsrpp_cli.cli.params import SECONDS
from vsrpp_cli.cli.text import echo

if TYPE_CHECKING:
    from vsrpp_cli.evaluation.comparison.compare import Comparison
    from vsrpp_cli.evaluation.comparison.inputs import Inputs
    from vsrpp_cli.metrics import Channels

PATH = click.Path(path_type=Path)
FILE = click.Path(path_type=Path, dir_okay=False)

EXAMPLES = """
vsrpp compare film.mp4 film_x4.mp4 --html page.html
vsrpp compare original.mkv film_x4.mp4 other_x4.mp4 --picture detail.png
"""


@click.command("compare", cls=Command, examples=EXAMPLES)
@click.argument("reference", type=PATH)
@click.argument("others", metavar="OTHER...", type=PATH, nargs=-1, required=True)
@option(
    "--channels",
    type=click.Choice(["y", "rgb"]),
    default="y",
    show_default=True,
    help="Channels to measure.",
)
@option("--border", type=click.IntRange(0), default=0, help="Ignore this many pixels on each side.")
@option(
    "--start",
    type=SECONDS,
    help="Time in REFERENCE at which OTHER begins, where `upscale --start` made it.",
)
@option("--frames", type=click.IntRange(1), help="Compare at most N frames.")
@option(
    "--picture", type=FILE, help="Write one frame of each, side by side (PNG, JPEG, WebP, ...)."
)
@option(
    "--scan-line", type=FILE, help="Write how one row of pixels changes over time: shows flicker."
)
@option(
    "--frame",
    type=click.IntRange(0),
    help="Frame to show, counted from 0 among those compared.  [default: where they differ most]",
)
@option(
    "--crop",
    metavar="WxH+X+Y|full",
    help="Part to show, in pixels of REFERENCE.  [default: where the frame differs most]",
)
@option("--html", type=FILE, help="Write a page that shows both in any browser, one file.")
@option("--html-frames", type=click.IntRange(1), help="Frames on the page.  [default: 12]")
@option(
    "--html-size",
    type=click.FloatRange(0, min_open=True),
    metavar="MB",
    help="Size of the page, at most.  [default: 10]",
)
@option(
    "--report",
    type=FILE,
    help="What `upscale --report` wrote of the run, to stand on the page.",
)
@option(
    "--label",
    "labels",
    metavar="NAME",
    multiple=True,
    help="Show an input as NAME; may be repeated.",
)
@option("--json", "as_json", is_flag=True, help="Every frame's figures as JSON.")
@option("-q", "--quiet", is_flag=True, help="Do not show progress.")
def command(
    *,
    reference: Path,
    others: tuple[Path, ...],
    start: Fraction | None,
    frames: int | None,
    as_json: bool,
    quiet: bool,
    channels: "Channels",
    border: int,
    **shown: Any,
) -> None:
    """Compare videos, folders of frames or images with REFERENCE: mean and worst PSNR and SSIM.

    The figures are quality only where REFERENCE is the original. Inputs smaller than the largest
    are enlarged bicubically first, so `vsrpp compare in.mp4 out.mp4 --html page.html` shows before
    and after, and `--picture p.png` the part of the frame where they differ most.
    """
    from vsrpp_cli.evaluation.comparison.inputs import Inputs
    from vsrpp_cli.evaluation.comparison.show import Show, ShowOptions

    inputs = Inputs([reference, *others], start=start, frames=frames)
    show = Show(inputs, ShowOptions(**shown))
    for index, path in enumerate(inputs.paths):
        if inputs.resized(index):
            width, height = inputs.size
            echo(f"note: {path} is enlarged bicubically to {width}x{height}", err=True)
    found = _measured(inputs, quiet=quiet, channels=channels, border=border)
    for line in show.write(found):
        echo(line, err=True)
    if as_json:
        click.echo(json.dumps(found.record(), indent=2, allow_nan=False))
    else:
        _tell(found)


def _measured(inputs: "Inputs", *, quiet: bool, channels: "Channels", border: int) -> "Comparison":
    from tqdm import tqdm

    from vsrpp_cli.evaluation.comparison.compare import compare

    with tqdm(
        total=inputs.frames, disable=True if quiet else None, unit="frame", leave=False
    ) as bar:
        return compare(
            inputs, channels=channels, border=border, on_frame=lambda done: bar.update(done - bar.n)
        )


def _tell(found: "Comparison") -> None:
    """Print a line for each result, and what the figures are."""
    reference = found.inputs.paths[0]
    name = f"{reference}, enlarged bicubically" if found.reference_enlarged else str(reference)
    for r in found.results:
        worst = f"frame {r.worst} with {r.psnr[r.worst]:.4f} dB, {r.ssim[r.worst]:.4f}"
        echo(
            f"{r.path}: PSNR {r.mean_psnr:.4f} dB, SSIM {r.mean_ssim:.4f} against {name}, over "
            f"{len(r.psnr)} frames ({found.channels}); least alike: {worst}"
        )
    if found.reference_enlarged:
        echo(
            "note: these figures say how much was changed, not how good it is: quality needs the "
            "sharp original as REFERENCE",
            err=True,
        )
