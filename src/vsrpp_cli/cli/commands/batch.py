"""`vsrpp batch`."""

from pathlib import Path
from typing import Any

import click

from vsrpp_cli.cli import params
from vsrpp_cli.cli.config import RunCommand
from vsrpp_cli.cli.events import progress_option
from vsrpp_cli.cli.several import upscale_several
from vsrpp_cli.options import BATCH_NAME

EXAMPLES = """
vsrpp batch tapes/ tapes_x4/
vsrpp batch tapes/ tapes_1080p/ --include '*.mkv' --height 1080 --name '{stem}_1080p.mkv'
"""


@click.command("batch", cls=RunCommand, examples=EXAMPLES)
@click.argument("input_dir", type=click.Path(path_type=Path))
@click.argument("output_dir", type=click.Path(path_type=Path))
@params.source(
    "--include",
    multiple=True,
    metavar="PATTERN",
    help="Take only files whose name, or path below INPUT_DIR, matches; may be repeated.",
)
@params.source(
    "--exclude",
    multiple=True,
    metavar="PATTERN",
    help="Skip files and folders that match; may be repeated.",
)
@params.name_option
@params.compute_options
@params.cluster_options
@params.geometry_options
@params.selection_options
@params.output_options
@params.run_options
@params.config_option
@progress_option
@params.report_option
@params.run("--dry-run", is_flag=True, help="List inputs and outputs and compute nothing.")
@params.quiet_option
@params.verbose_option("Given twice: print tracebacks of errors.")
def command(
    *,
    input_dir: Path,
    output_dir: Path,
    include: tuple[str, ...],
    exclude: tuple[str, ...],
    name: str | None,
    progress: str,
    report: Path | None,
    dry_run: bool,
    **values: Any,
) -> None:  # fmt: skip
    """Upscale every video and every folder of frames below INPUT_DIR into OUTPUT_DIR.

    OUTPUT_DIR mirrors the tree of INPUT_DIR. One bad item does not stop the rest; the same command
    given again skips what is finished and goes on with what was interrupted.
    """
    from vsrpp_cli.runs.batch_items import find_items

    upscale_several(
        lambda: find_items(
            input_dir, output_dir, name=name or BATCH_NAME, include=include, exclude=exclude
        ),
        output_dir,
        values,
        progress=progress,
        report=report,
        dry_run=dry_run,
    )
