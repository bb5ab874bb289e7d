"""A plan as tasks, for any scheduler."""

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
"""Most tasks by default: Slurm's default limit for arrays."""

GRACE = 25
"""Seconds to finish after SIGTERM; by default Slurm and Kubernetes kill after 30 s."""

SPARE = 1.25
"""Memory requested, relative to the prediction: schedulers kill a task that exceeds it."""


@dataclass(frozen=True, kw_only=True)
class Job:
    """A plan that is carried out by tasks on any nodes, in any order, perhaps repeatedly."""

    folder: Path
    """The work folder."""
    plan: Plan
    tasks: int
    image: str
    """Image of the containers, for schedulers that use them."""
    claims: tuple[Claim, ...] = ()

    @property
    def name(self) -> str:
        """The name of the job: made from the output's name, as Kubernetes allows it."""
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
        """A description in one line."""
        segments = len(self.plan.segments)
        return f"{segments} segments of {Path(self.plan.source.path).name!r} in {self.tasks} tasks"

    def worker(self, *number: str) -> list[str]:
        """Return the arguments of `vsrpp` for a task; without a number the scheduler sets it."""
        shared = [] if self.tasks == len(self.plan.segments) else ["--of", str(self.tasks)]
        return ["worker", str(self.folder), *number, *shared, "--grace", str(GRACE)]

    def join(self) -> list[str]:
        """Return the arguments of `vsrpp` that end the run."""
        return ["join", str(self.folder)]


def make_job(
    folder: WorkFolder, plan: Plan, tasks: int | None, image: str | None, claims: Sequence[Claim]
) -> Job:
    """Return a plan's job.

    Args:
        folder: the work folder.
        plan: its plan.
        tasks: the number of tasks; None for one a segment, at most `MOST_TASKS`.
        image: of containers; None for the one built from this project's `Dockerfile`.
        claims: Kubernetes volumes.
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
    """Return a shell command that runs this installation's `vsrpp` with `words` as arguments."""
    beside = Path(sys.executable).with_name("vsrpp")
    program = str(beside) if beside.exists() else shutil.which("vsrpp") or "vsrpp"
    return shlex.join([program, *words])
