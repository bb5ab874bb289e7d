"""`vsrpp plan`: what `vsrpp upscale` would do."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from vsrpp_cli.cli import params
from vsrpp_cli.cli.command import Heading, option
from vsrpp_cli.cli.config import RunCommand
from vsrpp_cli.cli.text import echo, with_flags
from vsrpp_cli.errors import UsageError
from vsrpp_cli.options import SCHEDULERS, UpscaleOptions
from vsrpp_cli.records import to_json
from vsrpp_cli.runs.emit.claims import parse_claim

if TYPE_CHECKING:
    from vsrpp_cli.runs.plans.plan import Plan
    from vsrpp_cli.runs.work.workfolder import WorkFolder

EXAMPLES = """
vsrpp plan film.mp4
vsrpp plan film.mp4 film_x4.mp4 --json
vsrpp plan film.mp4 film_x4.mp4 --write
vsrpp plan film.mp4 film_x4.mp4 --write --emit slurm
"""


CLAIM = params.Parsed("name=folder", parse_claim)


@click.command("plan", cls=RunCommand, examples=EXAMPLES)
@click.argument("input", type=click.Path())
@click.argument("output", type=click.Path(), required=False)
@params.compute_options
@params.geometry_options
@params.selection_options
@params.output_options
@params.run_options
@params.config_option
@params.messages("--json", "as_json", is_flag=True, help="Print the whole plan as JSON.")
@option(
    "--write",
    is_flag=True,
    heading=Heading.MACHINES,
    help="Write the plan into OUTPUT's work folder, for workers.",
)
@option(
    "--emit",
    type=click.Choice(SCHEDULERS),
    heading=Heading.MACHINES,
    help="Print a job that carries out the written plan.",
)
@option(
    "--tasks",
    type=params.COUNT,
    metavar="N",
    heading=Heading.MACHINES,
    help="Share the segments out to N tasks.  [default: one each, 1000 at most]",
)
@option(
    "--image",
    metavar="NAME",
    heading=Heading.MACHINES,
    help="Container image of Kubernetes' pods.  [default: vsrpp:cpu or vsrpp:cuda]",
)
@option(
    "--claim",
    "claims",
    type=CLAIM,
    multiple=True,
    metavar="NAME=FOLDER",
    heading=Heading.MACHINES,
    help="Mount a volume claim of Kubernetes; may be repeated.  [default: folders of the nodes]",
)
def command(
    *,
    input: str,
    output: str | None,
    as_json: bool,
    write: bool,
    emit: str | None,
    **values: Any,
) -> None:
    """Show what upscaling INPUT (into OUTPUT) would do; computes nothing.

    With --write, `vsrpp worker OUTPUT.vsrpp K` computes segment K anywhere and
    `vsrpp join OUTPUT.vsrpp` ends the run.
    """
    from vsrpp_cli.runs.plans.planner import plan_only

    if emit and (as_json or not write):
        raise UsageError("--emit: needs --write, and prints a job instead of the plan (--json)")
    wishes = {name: values.pop(name) for name in ("tasks", "image", "claims")}
    options = params.make_options(values)
    if not write:
        show_plan(plan_only(input, output, options), options, as_json=as_json)
        return
    folder, plan = _written(input, output, options)
    if emit:
        from vsrpp_cli.runs.emit.formats import FORMATS
        from vsrpp_cli.runs.emit.job import make_job

        click.echo(FORMATS[emit](make_job(folder, plan, **wishes)), nl=False)
    elif as_json:
        show_plan(plan, options, as_json=True)


def _written(input: str, output: str | None, options: UpscaleOptions) -> "tuple[WorkFolder, Plan]":
    """Leave the plan in its work folder, say where, and return both."""
    from vsrpp_cli.runs.destination import output_name
    from vsrpp_cli.runs.plans.plan import Plan
    from vsrpp_cli.runs.run import write_plan

    folder = write_plan(input, output or output_name(Path(input)), options)
    plan = Plan.read(folder.plan)
    echo(f"{folder.path}: segments 0 to {len(plan.segments) - 1}", err=True)
    return folder, plan


def show_plan(plan: "Plan", options: UpscaleOptions, *, as_json: bool = False) -> None:
    """Print a plan, for people or with all that is in it."""
    from vsrpp_cli.runs.plans.summary import outline

    if as_json:
        click.echo(json.dumps(with_flags(_record(plan, options)), indent=2))
    else:
        for name, text in outline(plan, options):
            echo(f"{name:>10}  {text}")


def _record(plan: "Plan", options: UpscaleOptions) -> dict[str, Any]:
    """Return a plan as JSON values; the options, which it keeps as text, with their own types."""
    typed = {name: to_json(getattr(options, name)) for name in plan.options}
    return {**to_json(plan), "options": typed}
