"""What every scheduler needs to know about a plan."""

import re
import shlex
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from vsrpp_cli.runs.emit.claims import Claim
from vsrpp_cli.runs.plans.plan import Plan
from vsrpp_cli.runs.work.workfolder import WorkFolder

MOST_TASKS = 1000
"""Unless more are asked for: Slurm's arrays have no more as it comes."""

GRACE = 25
"""Seconds; Slurm and Kubernetes kill 30 s after SIGTERM as they come."""

SPARE = 1.25
"""Memory asked for over what is predicted: a scheduler kills for a byte too many."""


@dataclass(frozen=True, kw_only=True)
class Job:
    """A plan to be carried out by tasks that start somewhere, sometime, perhaps twice."""

    folder: Path
    """The work folder."""
    plan: Plan
    tasks: int
    image: str
    """Of the containers, where there are any."""
    claims: tuple[Claim, ...] = ()

    @property
    def name(self) -> str:
        """What the job is called: made of the output's name as Kubernetes allows."""
        stem = Path(self.plan.output.path).stem.lower()
        return f"vsrpp-{re.sub('[^a-z0-9]+', '-', stem).strip('-')[:32]}".strip("-")

    @property
    def gpu(self) -> bool:
        """Whether a task needs a GPU."""
        return self.plan.compute.device.startswith("cuda")

    @property
    def memory(self) -> int:
        """Bytes that a task needs."""
        return int(SPARE * self.plan.geometry.memory)

    @property
    def what(self) -> str:
        """What is done, for people, on one line."""
        segments = len(self.plan.segments)
        return f"{segments} segments of {Path(self.plan.source.path).name!r} in {self.tasks} tasks"

    def worker(self, *number: str) -> list[str]:
        """Return the words of the command that does a task, whose number the scheduler tells."""
        shared = [] if self.tasks == len(self.plan.segments) else ["--of", str(self.tasks)]
        return ["worker", str(self.folder), *number, *shared, "--grace", str(GRACE)]

    def join(self) -> list[str]:
        """Return the words of the command that ends the run."""
        return ["join", str(self.folder)]


def make_job(
    folder: WorkFolder, plan: Plan, tasks: int | None, image: str | None, claims: Sequence[Claim]
) -> Job:
    """Return a plan's job.

    Args:
        folder: the work folder.
        plan: what stands in it.
        tasks: how many to share the segments out to; None for one each, as far as usual.
        image: of containers; None for one built from this project's `Dockerfile`.
        claims: volumes.
    """
    kind = plan.compute.device.partition(":")[0]
    return Job(
        folder=folder.path.absolute(),
        plan=plan,
        tasks=min(tasks or MOST_TASKS, len(plan.segments)),
        image=image or f"vsrpp:{kind}",
        claims=tuple(claims),
    )


def command_line(words: Sequence[str]) -> str:
    """Return a line of shell that runs this installation's `vsrpp`, wherever it is found from."""
    beside = Path(sys.executable).with_name("vsrpp")
    program = str(beside) if beside.exists() else shutil.which("vsrpp") or "vsrpp"
    return shlex.join([program, *words])
