"""Runs segments on the workers of a Ray cluster; this process commits the results."""

from collections.abc import Callable, Generator, Sequence

from vsrpp_cli.inference.progress import OnFrames
from vsrpp_cli.runs.cluster.crew import Crew
from vsrpp_cli.runs.cluster.job import Job, Remark
from vsrpp_cli.runs.plans.plan import Plan
from vsrpp_cli.runs.stop import StopToken
from vsrpp_cli.runs.work.segment import Finished, commit_together
from vsrpp_cli.runs.work.workfolder import WorkFolder


def run(
    plan: Plan,
    folder: WorkFolder,
    indices: Sequence[int],
    crew: Crew,
    stop: StopToken,
    on_frames: OnFrames,
    *,
    on_remark: Callable[[str], None],
) -> Generator[Finished, None, None]:
    """Compute the segments on a cluster, committing and yielding each as it arrives.

    When told to stop, no further segment is given out; those under way are finished.

    Args:
        plan: the run.
        folder: its work folder, which this process holds.
        indices: the segments.
        crew: the workers.
        stop: ends the run early.
        on_frames: called with work done, in units of frames.
        on_remark: called with sentences for the user about workers.

    Raises:
        WorkerError: a segment repeatedly crashed its worker, or there are no workers.
        ResumeRefusedError: the frames of all workers would differ.
        VsrppError: what a worker raised.
    """
    job = Job(plan, folder, indices, stop)
    crew.begin(job)
    try:
        for news in job.news():
            if isinstance(news, list):
                yield from commit_together(plan, folder, news)
            elif isinstance(news, Remark):
                on_remark(news.text)
            elif isinstance(news, Exception):
                raise news
            else:
                on_frames(news)
    finally:
        crew.abandon(job)
        job.clean_up()
