"""`vsrpp compare`: two videos against each other."""

import json
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from vsrpp_cli.cli.params import SECONDS

if TYPE_CHECKING:
    from vsrpp_cli.evaluation.compare import Comparison
    from vsrpp_cli.evaluation.inputs import Crop, Inputs

PATH = click.Path(path_type=Path)
FILE = click.Path(path_type=Path, dir_okay=False)


@click.command("compare")
@click.argument("reference", type=PATH)
@click.argument("others", metavar="OTHER...", type=PATH, nargs=-1, required=True)
@click.option(
    "--channels",
    type=click.Choice(["y", "rgb"]),
    default="y",
    show_default=True,
    help="What is measured.",
)
@click.option("--border", type=click.IntRange(0), default=0, help="Pixels left out on each side.")
@click.option(
    "--start", type=SECONDS, help="Time in REFERENCE at which the others begin; they are whole."
)
@click.option("--frames", type=click.IntRange(1), help="Compare at most N frames.")
@click.option(
    "--picture", type=FILE, help="Write one frame of each, side by side (PNG, JPEG, WebP, ...)."
)
@click.option(
    "--scan-line", type=FILE, help="Write how one row of pixels changes over time: shows flicker."
)
@click.option(
    "--frame",
    type=click.IntRange(0),
    help="Frame to show, counted from 0 among those compared. [default: where they differ most]",
)
@click.option(
    "--crop",
    metavar="WxH+X+Y|full",
    help="Part to show, in pixels of REFERENCE. [default: where the frame differs most]",
)
@click.option("--label", "labels", multiple=True, help="Name to show for an input; repeatable.")
@click.option("--json", "as_json", is_flag=True, help="Every frame's figures as JSON.")
@click.option("-q", "--quiet", is_flag=True, help="No progress.")
def command(
    *,
    reference: Path,
    others: tuple[Path, ...],
    start: Fraction | None,
    frames: int | None,
    as_json: bool,
    **values: Any,
) -> None:
    """Compare videos, folders of frames or images with REFERENCE: mean and worst PSNR and SSIM.

    The figures are quality only where REFERENCE is the original. Inputs smaller than the largest
    are enlarged bicubically first, so `vsrpp compare in.mp4 out.mp4 --picture p.png` shows before
    and after, of the frame and the part that differ most.
    """
    from vsrpp_cli.evaluation.inputs import Inputs

    inputs = Inputs([reference, *others], start=start, frames=frames)
    show = _Shown(inputs, **{key: values.pop(key) for key in _Shown.OPTIONS})
    for index, path in enumerate(inputs.paths):
        if inputs.resized(index):
            click.echo(f"note: {path} is enlarged bicubically to {_x(inputs.size)}", err=True)
    found = _measured(inputs, **values)
    show.write(found)
    if as_json:
        click.echo(json.dumps(found.record(), indent=2, allow_nan=False))
    else:
        _tell(found)


class _Shown:
    """What is to be seen of a comparison, checked before anything is measured."""

    OPTIONS = ("picture", "scan_line", "frame", "crop", "labels")

    def __init__(
        self,
        inputs: "Inputs",
        *,
        picture: Path | None,
        scan_line: Path | None,
        frame: int | None,
        crop: str | None,
        labels: tuple[str, ...],
    ) -> None:
        from vsrpp_cli.evaluation.inputs import Crop
        from vsrpp_cli.evaluation.panes import captions, check_frame
        from vsrpp_cli.evaluation.pictures import image_format

        for path in filter(None, (picture, scan_line)):
            image_format(path)
        captions(inputs, labels)
        self.picture, self.scan_line, self.frame, self.labels = picture, scan_line, frame, labels
        self.whole = crop == "full"
        self.crop: Crop | None = None
        if crop is not None and not self.whole:
            self.crop = Crop.parse("--crop", crop).inside(inputs.sizes[0])
        if frame is not None:
            check_frame(inputs, frame)

    def write(self, found: "Comparison") -> None:
        """Write the pictures that were asked for."""
        from vsrpp_cli.evaluation.panes import over_time, side_by_side
        from vsrpp_cli.evaluation.pictures import write_picture

        frame = found.frame if self.frame is None else self.frame
        part = None if self.whole else self.crop or found.part(frame)
        if self.picture is not None:
            write_picture(self.picture, side_by_side(found.inputs, frame, part, self.labels))
            click.echo(f"{self.picture}: {_place(found, frame, part)}", err=True)
        if self.scan_line is not None:
            row = found.row(self.crop or found.part(frame))
            frames = found.slice_frames(frame)
            columns = self.crop and part
            pictures = over_time(found.inputs, row, frames, columns, self.labels)
            write_picture(self.scan_line, pictures)
            where = f"row {row} of {found.inputs.size[1]}, frames {frames[0]} to {frames[-1]}"
            click.echo(f"{self.scan_line}: {where}", err=True)


def _place(found: "Comparison", frame: int, part: "Crop | None") -> str:
    """Return where in the first input a picture is from."""
    shown = "whole" if part is None else f"--crop {part}"
    return f"frame {frame}, {found.inputs.times[frame]:.2f} s, {shown}"


def _measured(inputs: "Inputs", *, quiet: bool, channels: str, border: int) -> "Comparison":
    from tqdm import tqdm

    from vsrpp_cli.evaluation.compare import compare

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
        click.echo(
            f"{r.path}: PSNR {r.mean_psnr:.4f} dB, SSIM {r.mean_ssim:.4f} against {name}, over "
            f"{len(r.psnr)} frames ({found.channels}); least alike: {worst}"
        )
    if found.reference_enlarged:
        click.echo(
            "note: these figures say how much was changed, not how good it is: quality needs the "
            "sharp original as REFERENCE",
            err=True,
        )


def _x(size: tuple[int, int]) -> str:
    return f"{size[0]}x{size[1]}"
