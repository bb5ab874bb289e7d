"""`vsrpp worker`: one segment of a plan, or some."""

import os
from functools import partial

import click

from vsrpp_cli.cli.command import Command
from vsrpp_cli.cli.events import progress_option, write_result
from vsrpp_cli.cli.params import computing, run
from vsrpp_cli.cli.progress import make_display
from vsrpp_cli.cli.signals import stoppable
from vsrpp_cli.runs.stop import StopToken

EXAMPLES = """
vsrpp worker film_x4.mp4.vsrpp 0 1 2
"""


@click.command("worker", cls=Command, examples=EXAMPLES)
@click.argument("plan", type=click.Path(exists=True))
@click.argument("segments", type=int, nargs=-1, metavar="[K...]")
@computing(
    "--of",
    "tasks",
    type=click.IntRange(min=1),
    metavar="N",
    help="K is one of N tasks and stands for segments K, K + N, K + 2N, ...",
)
@computing(
    "--device",
    default="auto",
    show_default=True,
    help="auto, cpu, cuda, cuda:N or mps; of the kind that the plan was made for.",
)
@run(
    "--grace",
    type=click.FloatRange(min=0),
    default=25,
    show_default=True,
    metavar="SECONDS",
    help="After SIGTERM, until a segment not finished is given up.",
)
@progress_option
def command(
    *,
    plan: str,
    segments: tuple[int, ...],
    tasks: int | None,
    device: str,
    grace: float,
    progress: str,
) -> None:
    """Compute and commit segments K... of PLAN, a work folder made by `vsrpp plan --write`.

    Without K, job schedulers say which: SLURM_ARRAY_TASK_ID or JOB_COMPLETION_INDEX. Safe to run
    again, anywhere and at the same time: what is done is left alone.
    """
    from vsrpp_cli.runs.distributed import compute, share
    from vsrpp_cli.runs.scheduler import task_number

    stop = StopToken()
    mine = share(plan, segments or (task_number(os.environ),), tasks)
    with (
        make_display(progress) as display,
        stoppable(stop, partial(display.tell, "stop"), grace),
    ):
        for step in compute(mine, partial(display.tell, "resume"), device=device, stop=stop):
            display(step)
    if progress == "json":
        write_result(None, None, segments=mine.indices)
