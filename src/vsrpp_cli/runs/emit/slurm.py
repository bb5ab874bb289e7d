"""A plan as a Slurm array and a join that depends on it."""

import math
import shlex

from vsrpp_cli.runs.emit.job import Job, command_line


def slurm(job: Job) -> str:
    """Return a shell script that submits both."""
    gpu = ["--gpus-per-node=1"] if job.gpu else []
    array = [
        f"--job-name={job.name}",
        f"--array=0-{job.tasks - 1}",
        "--requeue",
        *_resources(job),
        *gpu,
        # Slurm substitutes `%` sequences.
        f"--output={str(job.folder).replace('%', '%%')}/slurm-%a.log",
        "--open-mode=append",
    ]
    join = [
        f"--job-name={job.name}-join",
        "--requeue",
        *_resources(job),
        f"--output={job.name}-join-%j.log",
        "--kill-on-invalid-dep=yes",
    ]
    return f"""\
#!/bin/sh
# vsrpp: {job.what}, and a join when all of them are done.
# Submit with "sh FILE". Partition, account and time limit come from the environment as sbatch reads
# it (SBATCH_PARTITION, SBATCH_ACCOUNT, SBATCH_TIMELIMIT), or are added below. A task that is
# preempted or whose node is lost is queued again and does what is left of its segments.
set -eu

array=$(sbatch --parsable {shlex.join(array)} <<'JOB'
#!/bin/sh
exec {command_line(job.worker())}
JOB
)

join=$(sbatch --parsable {shlex.join(join)} --dependency="afterok:${{array%%;*}}" <<'JOB'
#!/bin/sh
exec {command_line(job.join())}
JOB
)

echo "segments: job $array; join: job $join"
"""


def _resources(job: Job) -> list[str]:
    mebibytes = math.ceil(job.memory / 2**20)
    return ["--ntasks=1", f"--cpus-per-task={job.plan.compute.threads}", f"--mem={mebibytes}M"]
