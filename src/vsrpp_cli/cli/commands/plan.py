"""`vsrpp plan`: what `vsrpp upscale` would do."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from vsrpp_cli.cli import params
from vsrpp_cli.cli.command import option
from vsrpp_cli.cli.config import RunCommand
from vsrpp_cli.cli.text import echo
from vsrpp_cli.options import UpscaleOptions
from vsrpp_cli.records import to_json

if TYPE_CHECKING:
    from vsrpp_cli.runs.plans.plan import Plan

EXAMPLES = """
vsrpp plan film.mp4
vsrpp plan film.mp4 film_x4.mp4 --json
vsrpp plan film.mp4 film_x4.mp4 --write
"""


@click.command("plan", cls=RunCommand, examples=EXAMPLES)
@click.argument("input", type=click.Path())
@click.argument("output", type=click.Path(), required=False)
@params.compute_options
@params.geometry_options
@params.selection_options
@params.output_options
@params.run_options
@params.config_option
@option("--json", "as_json", is_flag=True, help="Print the whole plan as JSON.")
@option("--write", is_flag=True, help="Write the plan into OUTPUT's work folder, for workers.")
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
    from vsrpp_cli.runs.plans.planner import plan_only

    options = params.make_options(values)
    plan = _written(input, output, options) if write else plan_only(input, output, options)
    if as_json or not write:
        show_plan(plan, options, as_json=as_json)


def _written(input: str, output: str | None, options: UpscaleOptions) -> "Plan":
    """Leave the plan in its work folder, say where, and return it."""
    from vsrpp_cli.runs.destination import output_name
    from vsrpp_cli.runs.plans.plan import Plan
    from vsrpp_cli.runs.run import write_plan

    folder = write_plan(input, output or output_name(Path(input)), options)
    plan = Plan.read(folder.plan)
    echo(f"{folder.path}: segments 0 to {len(plan.segments) - 1}", err=True)
    return plan


def show_plan(plan: "Plan", options: UpscaleOptions, *, as_json: bool = False) -> None:
    """Print a plan, for people or with all that is in it."""
    from vsrpp_cli.runs.plans.summary import outline

    if as_json:
        click.echo(json.dumps(_record(plan, options), indent=2))
    else:
        for name, text in outline(plan, options):
            echo(f"{name:>10}  {text}")


def _record(plan: "Plan", options: UpscaleOptions) -> dict[str, Any]:
    """Return a plan as JSON values; the options, which it keeps as text, with their own types."""
    typed = {name: to_json(getattr(options, name)) for name in plan.options}
    return {**to_json(plan), "options": typed}
