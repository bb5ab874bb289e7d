"""`vsrpp upscale`."""

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from vsrpp_cli.cli import params
from vsrpp_cli.cli.accounts import accounting, write_account
from vsrpp_cli.cli.config import RunCommand
from vsrpp_cli.cli.events import progress_option
from vsrpp_cli.cli.progress import make_display, tell_result
from vsrpp_cli.cli.several import upscale_several
from vsrpp_cli.cli.signals import stoppable
from vsrpp_cli.options import BATCH_NAME, UpscaleOptions
from vsrpp_cli.runs.stop import StopToken

if TYPE_CHECKING:
    from vsrpp_cli.runs.report import Report

EXAMPLES = """
vsrpp upscale tape.mkv tape_x4.mkv                 # four times the width and height
vsrpp upscale tape.mkv tape_1080p.mp4 --height 1080
vsrpp upscale film.mp4 film_x4.mp4 --model reds4   # the published network
vsrpp upscale film.mp4 part.mkv --start 1:00 --end 1:10 --codec libx265 --crf 18
vsrpp upscale a.mp4 b.mp4 --output-dir tapes_x4/ --name '{stem}_x4.mkv'
vsrpp upscale frames/ frames_x4/ --fps 24          # a folder of PNG, TIFF, JPEG, ...
vspipe -c y4m script.vpy - | vsrpp upscale - - | ffmpeg -i - out.mkv
"""


@click.command("upscale", cls=RunCommand, examples=EXAMPLES)
@click.argument("paths", metavar="INPUT OUTPUT", nargs=-1, type=click.Path())
@params.output(
    "--output-dir",
    type=click.Path(path_type=Path),
    help="Folder of outputs; all arguments are then inputs, and --name makes the names.",
)
@params.name_option
@params.compute_options
@params.cluster_options
@params.geometry_options
@params.selection_options
@params.pipe_options
@params.output_options
@params.run_options
@params.config_option
@progress_option
@params.report_option
@params.run("--dry-run", is_flag=True, help="Show the plan and compute nothing.")
@params.quiet_option
@params.verbose_option("Print details at the end; given twice, also tracebacks of errors.")
def command(
    *,
    paths: tuple[str, ...],
    output_dir: Path | None,
    name: str | None,
    **values: Any,
) -> None:
    """Upscale INPUT, a video, a folder of frames or an image, into OUTPUT.

    With --output-dir, any number of INPUTs into a folder.
    """
    if output_dir is None:
        _upscale_one(*_input_and_output(paths, name), **values)
    else:
        _upscale_into(output_dir, paths, name or BATCH_NAME, values)


def _input_and_output(paths: tuple[str, ...], name: str | None) -> tuple[str, str]:
    """Return the two arguments of a single run.

    Raises:
        click.UsageError: there are fewer or more, or a name that belongs to several.
    """
    if name is not None:
        raise click.UsageError("--name needs --output-dir: without it OUTPUT is the name")
    if len(paths) < 2:
        missing = "OUTPUT" if paths else "INPUT"
        raise click.UsageError(f"Missing argument '{missing}'.", click.get_current_context())
    if len(paths) > 2:
        raise click.UsageError(
            f"{len(paths)} arguments: several inputs need --output-dir FOLDER; frames of one video "
            "are given as their folder or as a quoted pattern"
        )
    return paths[0], paths[1]


def _upscale_into(
    output_dir: Path, paths: tuple[str, ...], name: str, values: dict[str, Any]
) -> None:
    from vsrpp_cli.runs.batch_items import name_items

    if not paths:
        raise click.UsageError("Missing argument 'INPUT'.", click.get_current_context())
    how = {key: values.pop(key) for key in ("progress", "report", "dry_run")}
    upscale_several(lambda: name_items(paths, output_dir, name=name), output_dir, values, **how)


def _upscale_one(
    input: str, output: str, *, progress: str, report: Path | None, dry_run: bool, **values: Any
) -> None:
    quiet, verbose = values.pop("quiet"), values.pop("verbose")
    with accounting(report, partial(_unstarted, input, output)):
        options = params.make_options(values)
        if dry_run:
            result, lines = _planned(input, output, options), []
        else:
            result, told = _upscaled(input, output, options, "none" if quiet else progress)
            lines = [*result.summary(told), *(result.details() if verbose else ())]
        if report is not None:
            write_account(result, report)
    tell_result(progress, () if quiet else lines, result)


def _unstarted(input: str, output: str) -> "Report":
    from vsrpp_cli.runs.report import Report

    return Report(input=input, output=output)


def _planned(input: str, output: str, options: UpscaleOptions) -> "Report":
    """Show the plan, and return the account of a run that only was planned."""
    from vsrpp_cli.cli.commands.plan import show_plan
    from vsrpp_cli.runs.plans.planner import plan_only
    from vsrpp_cli.runs.report import Report

    plan = plan_only(input, output, options)
    show_plan(plan, options)
    account = Report(input=input, output=plan.output.path, status="planned")
    account.describe(plan)
    return account


def _upscaled(
    input: str, output: str, options: UpscaleOptions, progress: str
) -> "tuple[Report, list[str]]":
    """Do the run; return its account and the notes that were shown on the way."""
    token = StopToken()
    with make_display(progress) as display, stoppable(token, partial(display.tell, "stop")):
        display.begin()
        from vsrpp_cli.runs.run import upscale  # takes seconds

        return upscale(input, output, options, on_progress=display, stop=token), display.told
