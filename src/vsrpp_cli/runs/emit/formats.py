"""The supported schedulers."""

from collections.abc import Callable

from vsrpp_cli.options import SCHEDULERS
from vsrpp_cli.runs.emit.job import Job
from vsrpp_cli.runs.emit.kubernetes import kubernetes
from vsrpp_cli.runs.emit.script import script
from vsrpp_cli.runs.emit.slurm import slurm

FORMATS: dict[str, Callable[[Job], str]] = dict(
    zip(SCHEDULERS, (slurm, kubernetes, script), strict=True)
)
