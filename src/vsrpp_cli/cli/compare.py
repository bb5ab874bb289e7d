"""`vsrpp compare`: two videos against each other."""

import json
from pathlib import Path
from typing import Any

import click

PATH = click.Path(path_type=Path)


@click.command("compare")
@click.argument("reference", type=PATH)
@click.argument("others", metavar="OTHER...", type=PATH, nargs=-1, required=True)
@click.option(
    "--channels",
    type=click.Choice(["y", "rgb"]),
    default="y",
    show_default=True,
    help="What is compared.",
)
@click.option("--border", type=click.IntRange(0), default=0, help="Pixels left out on each side.")
@click.option("--frames", type=click.IntRange(1), help="At most so many frames.")
@click.option(
    "--picture",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write one frame of each, side by side, as PNG.",
)
@click.option(
    "--frame",
    type=click.IntRange(0),
    default=0,
    show_default=True,
    help="Which frame, from 0, the picture shows.",
)
@click.option("--crop", metavar="WxH+X+Y", help="The part of the frame the picture shows.")
@click.option("--json", "as_json", is_flag=True, help="Every frame's figures as JSON.")
@click.option("-q", "--quiet", is_flag=True, help="No progress.")
def command(
    *,
    reference: Path,
    others: tuple[Path, ...],
    picture: Path | None,
    frame: int,
    crop: str | None,
    **values: Any,
) -> None:
    """Compare videos, folders of frames or images with REFERENCE: mean and worst PSNR and SSIM.

    Where sizes differ by a whole factor, the smaller is enlarged bicubically first; so
    `vsrpp compare in.mp4 out.mp4 --picture p.png` shows before and after.
    """
    from vsrpp_cli.evaluation.compare import Crop, Inputs, side_by_side
    from vsrpp_cli.evaluation.pictures import write_png

    part = None if crop is None else Crop.parse(crop)
    inputs = Inputs([reference, *others])
    for path, factor in zip(inputs.paths, inputs.factors, strict=True):
        if factor > 1:
            click.echo(f"note: {path} is enlarged {factor} times, bicubically", err=True)
    if picture is not None:
        write_png(picture, side_by_side(inputs, frame, part))
    _measure(inputs, **values)


def _measure(inputs: Any, *, as_json: bool, quiet: bool, **options: Any) -> None:
    from tqdm import tqdm

    from vsrpp_cli.evaluation.compare import compare

    with tqdm(disable=True if quiet else None, unit="frame", leave=False) as bar:
        results = compare(inputs, on_frame=lambda done: bar.update(done - bar.n), **options)
    if as_json:
        from vsrpp_cli.evaluation.results import finite

        records = [{"path": r.path, "psnr": r.psnr, "ssim": r.ssim} for r in results]
        click.echo(json.dumps(finite(records), indent=2, allow_nan=False))
        return
    for r in results:
        worst = f"frame {r.worst} with {r.psnr[r.worst]:.4f} dB, {r.ssim[r.worst]:.4f}"
        click.echo(
            f"{r.path}: PSNR {r.mean_psnr:.4f} dB, SSIM {r.mean_ssim:.4f} over {len(r.psnr)} "
            f"frames ({options['channels']}); worst: {worst}"
        )
