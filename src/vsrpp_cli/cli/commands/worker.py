"""`vsrpp worker`: one segment of a plan, or some."""

import os
from functools import partial

import click

from vsrpp_cli.cli import params
from vsrpp_cli.cli.command import Command, Heading, option
from vsrpp_cli.cli.events import progress_option, write_result
from vsrpp_cli.cli.progress import make_display
from vsrpp_cli.cli.signals import stoppable
from vsrpp_cli.runs.path_map import PathMap
from vsrpp_cli.runs.stop import StopToken

EXAMPLES = """
vsrpp worker film_x4.mp4.vsrpp 0 1 2
vsrpp worker film_x4.mp4.vsrpp 3 --of 40
"""


@click.command("worker", cls=Command, examples=EXAMPLES)
@click.argument("plan", type=click.Path())
@click.argument("segments", type=int, nargs=-1, metavar="[K...]")
@option(
    "--of",
    "tasks",
    type=params.COUNT,
    metavar="N",
    heading=Heading.MACHINES,
    help="Take K as one of N tasks: segments K, K + N, K + 2N, ...",
)
@option(
    "--device",
    metavar="DEVICE",
    default="auto",
    show_default=True,
    heading=Heading.COMPUTING,
    help="Compute on cpu, cuda, cuda:N or mps, of the kind that the plan names.",
)
@option(
    "--grace",
    type=click.FloatRange(min=0),
    default=25,
    show_default=True,
    metavar="SECONDS",
    heading=Heading.MACHINES,
    help="Give up an unfinished segment so long after SIGTERM.",
)
@params.path_map_option
@progress_option
@params.quiet_option
def command(
    *,
    plan: str,
    segments: tuple[int, ...],
    tasks: int | None,
    device: str,
    grace: float,
    maps: tuple[PathMap, ...],
    progress: str,
    quiet: bool,
) -> None:
    """Compute and commit segments K... of PLAN, a work folder made by `vsrpp plan --write`.

    Without K, job schedulers say which: SLURM_ARRAY_TASK_ID or JOB_COMPLETION_INDEX. Safe to run
    again, anywhere and at the same time: what is done is left alone.
    """
    from vsrpp_cli.runs.distributed import compute, share
    from vsrpp_cli.runs.scheduler import task_number

    stop = StopToken()
    mine = share(plan, segments or (task_number(os.environ),), tasks, maps=maps)
    with (
        make_display("none" if quiet else progress) as display,
        stoppable(stop, partial(display.tell, "stop"), grace),
    ):
        say = partial(display.tell, "resume")
        compute(mine, say, device=device, on_progress=display, stop=stop)
    if progress == "json":
        write_result(None, None, segments=mine.indices)
