"""`vsrpp join`: the end of a run whose segments were computed by workers."""

import click

from vsrpp_cli.cli.text import echo


@click.command("join")
@click.argument("plan", type=click.Path(exists=True))
@click.option(
    "--no-verify",
    "verify",
    is_flag=True,
    flag_value=False,
    default=True,
    help="Do not decode the whole result to check it.",
)
@click.option("--keep-work", is_flag=True, help="Keep the work folder.")
@click.option("-y", "overwrite", is_flag=True, help="Replace an existing output.")
def command(*, plan: str, verify: bool, keep_work: bool, overwrite: bool) -> None:
    """Join the segments of PLAN, a work folder, verify the result and give it its name."""
    from vsrpp_cli.runs.distributed import finish

    report = finish(plan, verify=verify, keep_work=keep_work, overwrite=overwrite)
    for line in report.summary():
        echo(line, err=True)
