"""`vsrpp worker`: one segment of a plan."""

import click

from vsrpp_cli.cli.command import Command
from vsrpp_cli.cli.events import progress_option, write_event
from vsrpp_cli.cli.progress import make_display

EXAMPLES = """
vsrpp worker film_x4.mp4.vsrpp 0 1 2
"""


@click.command("worker", cls=Command, examples=EXAMPLES)
@click.argument("plan", type=click.Path(exists=True))
@click.argument("segments", type=int, nargs=-1, required=True, metavar="K...")
@progress_option
def command(*, plan: str, segments: tuple[int, ...], progress: str) -> None:
    """Compute and commit segments K... of PLAN, a work folder made by `vsrpp plan --write`.

    Safe to run twice: what is done is left alone.
    """
    from vsrpp_cli.runs.distributed import compute
    from vsrpp_cli.runs.progress import Progress

    with make_display(progress) as display:
        for done, total in compute(plan, segments, display.say):
            display(Progress(phase="compute", done=done, total=total))
    if progress == "json":
        write_event("result", exit_code=0, segments=segments)
