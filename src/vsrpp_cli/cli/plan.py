"""`vsrpp plan`: what `vsrpp upscale` would do."""

import json
from pathlib import Path
from typing import Any

import click

from vsrpp_cli.cli import params
from vsrpp_cli.cli.config import RunCommand
from vsrpp_cli.options import UpscaleOptions


@click.command("plan", cls=RunCommand)
@click.argument("input", type=click.Path())
@click.argument("output", type=click.Path(), required=False)
@params.compute_options
@params.geometry_options
@params.selection_options
@params.output_options
@params.run_options
@params.config_option
@click.option("--json", "as_json", is_flag=True, help="The whole plan as JSON on stdout.")
@click.option("--write", is_flag=True, help="Leave the plan in OUTPUT's work folder for workers.")
def command(
    *,
    input: str,
    output: str | None,
    as_json: bool,
    write: bool,
    **values: Any,
) -> None:
    """Show what upscaling INPUT (into OUTPUT) would do; computes nothing.

    With --write, `vsrpp worker OUTPUT.vsrpp K` computes segment K anywhere and
    `vsrpp join OUTPUT.vsrpp` ends the run.
    """
    options = params.make_options(values)
    target = output or f"{Path(input).stem}_x4{Path(input).suffix or '.mp4'}"
    if write:
        _write(input, target, options)
    else:
        show_plan(input, target, options, as_json=as_json)


def _write(input: str, output: str, options: UpscaleOptions) -> None:
    from vsrpp_cli.runs.plan import Plan
    from vsrpp_cli.runs.run import write_plan

    folder = write_plan(input, output, options)
    segments = len(Plan.read(folder.plan).segments)
    click.echo(f"{folder.path}: segments 0 to {segments - 1}", err=True)


def show_plan(
    input: str,
    output: str,
    options: UpscaleOptions,
    *,
    as_json: bool = False,
) -> None:
    """Plan a run without leaving anything behind, and show the plan."""
    from vsrpp_cli.records import to_json
    from vsrpp_cli.runs.planner import make_plan, open_input
    from vsrpp_cli.runs.summary import outline

    plan = make_plan(open_input(Path(input), options), Path(output), options)
    if as_json:
        click.echo(json.dumps(to_json(plan), indent=2))
    else:
        for name, text in outline(plan, options):
            click.echo(f"{name:>10}  {text}")
