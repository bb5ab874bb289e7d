"""The task number that a job scheduler gives to a process, and the segments of a task."""

from collections.abc import Mapping, Sequence

from vsrpp_cli.errors import UsageError

VARIABLES = ("SLURM_ARRAY_TASK_ID", "JOB_COMPLETION_INDEX")
"""Variables of Slurm arrays and of Kubernetes indexed jobs; the first that is set is used."""


def task_number(environment: Mapping[str, str]) -> int:
    """Return the number that a scheduler has given this process.

    Raises:
        UsageError: there is none, or it is not a number.
    """
    for name in VARIABLES:
        if text := environment.get(name):
            if not text.isascii() or not text.isdigit():
                raise UsageError(f"{name} is {text!r}: must be a number, the segment's")
            return int(text)
    raise UsageError(f"which segment? Give K, or set {' or '.join(VARIABLES)} as schedulers do")


def shared_out(numbers: Sequence[int], tasks: int | None, segments: int) -> tuple[int, ...]:
    """Return the segments of some of the tasks that a plan is divided into, each once.

    Args:
        numbers: of the tasks.
        tasks: the number of all tasks, each with every `tasks`-th segment; None where each segment
            is a task.
        segments: the number of segments of the plan.

    Raises:
        UsageError: there is no task, or segment, of a number.
    """
    count, what = (segments, "segment") if tasks is None else (tasks, "task")
    for number in numbers:
        if not 0 <= number < count:
            raise UsageError(f"{what} {number}: the plan has 0 to {count - 1}")
    return tuple(k for number in dict.fromkeys(numbers) for k in range(number, segments, count))
