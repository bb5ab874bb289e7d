"""`vsrpp upscale`."""

from pathlib import Path
from typing import Any

import click

from vsrpp_cli.cli import params
from vsrpp_cli.cli.config import RunCommand
from vsrpp_cli.cli.progress import make_display
from vsrpp_cli.cli.signals import stoppable
from vsrpp_cli.errors import VsrppError
from vsrpp_cli.options import PROGRESS
from vsrpp_cli.runs.stop import StopToken


@click.command("upscale", cls=RunCommand)
@click.argument("input", type=click.Path())
@click.argument("output", type=click.Path())
@params.compute_options
@params.geometry_options
@params.selection_options
@params.output_options
@params.run_options
@params.config_option
@click.option("--progress", type=click.Choice(PROGRESS), default="auto", show_default=True)
@params.report_option
@click.option("--dry-run", is_flag=True, help="Plan, show the plan, compute nothing.")
@click.option("-q", "--quiet", is_flag=True, help="Errors only.")
@params.verbose_option("Details at the end; twice for tracebacks.")
def command(
    *,
    input: str,
    output: str,
    progress: str,
    report: Path | None,
    dry_run: bool,
    **values: Any,
) -> None:
    """Upscale INPUT, a video, a folder of frames or an image, into OUTPUT."""
    quiet, verbose = values.pop("quiet"), values.pop("verbose")
    options = params.make_options(values)
    if dry_run:
        from vsrpp_cli.cli.plan import show_plan

        show_plan(input, output, options)
        return
    from vsrpp_cli.runs.run import upscale

    token = StopToken()
    with make_display("none" if quiet else progress) as display, stoppable(token, display.say):
        try:
            result = upscale(input, output, options, on_progress=display, stop=token)
        except VsrppError as error:
            _write_report(error.report, report)
            raise
    _write_report(result, report)
    if not quiet:
        for line in [*result.summary(display.told), *(result.details() if verbose else ())]:
            click.echo(line, err=True)


def _write_report(result: Any, path: Path | None) -> None:
    if path is not None and result is not None:
        result.write(path)
