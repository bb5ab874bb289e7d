"""`vsrpp join`: the end of a run whose segments were computed by workers."""

import click

from vsrpp_cli.cli import params
from vsrpp_cli.cli.command import Command
from vsrpp_cli.cli.events import progress_option
from vsrpp_cli.cli.progress import make_display, tell_result

EXAMPLES = """
vsrpp join film_x4.mp4.vsrpp
"""


@click.command("join", cls=Command, examples=EXAMPLES)
@click.argument("plan", type=click.Path(exists=True))
@params.overwrite_option
@params.verify_option
@params.keep_work_option
@progress_option
def command(*, plan: str, verify: bool, keep_work: bool, overwrite: bool, progress: str) -> None:
    """Join the segments of PLAN, a work folder, verify the result and give it its name."""
    from vsrpp_cli.runs.distributed import finish

    with make_display(progress) as display:
        report = finish(
            plan, verify=verify, keep_work=keep_work, overwrite=overwrite, on_progress=display
        )
    tell_result(progress, report.summary(display.told), report)
