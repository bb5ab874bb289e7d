"""`vsrpp join`: the end of a run whose segments were computed by workers."""

from functools import partial
from typing import Any

import click

from vsrpp_cli.cli import params
from vsrpp_cli.cli.command import Command, Heading, option
from vsrpp_cli.cli.events import progress_option
from vsrpp_cli.cli.progress import make_display, tell_result
from vsrpp_cli.cli.signals import stoppable
from vsrpp_cli.runs.stop import StopToken

EXAMPLES = """
vsrpp join film_x4.mp4.vsrpp
vsrpp join film_x4.mp4.vsrpp --cluster auto
"""


@click.command("join", cls=Command, examples=EXAMPLES)
@click.argument("plan", type=click.Path())
@option(
    "--wait",
    is_flag=True,
    heading=Heading.MACHINES,
    help="Wait until workers have computed all segments.",
)
@params.path_map_option
@params.overwrite_option
@params.verify_option
@params.workers_option
@params.cluster_options
@params.keep_work_option
@progress_option
@params.quiet_option
def command(*, plan: str, wait: bool, progress: str, quiet: bool, **values: Any) -> None:
    """Join the segments of PLAN, a work folder, verify the result and give it its name.

    With --cluster, segments that are missing are computed first.
    """
    from vsrpp_cli.runs.distributed import finish, wait_for_workers

    maps, token = values.pop("maps"), StopToken()
    options = params.make_options(values)
    with make_display("none" if quiet else progress) as display:
        if wait:
            wait_for_workers(plan, partial(display.tell, "resume"))
        with stoppable(token, partial(display.tell, "stop")):
            report = finish(plan, options, maps=maps, on_progress=display, stop=token)
    tell_result(progress, () if quiet else report.summary(display.told), report)
