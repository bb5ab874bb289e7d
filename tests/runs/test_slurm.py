"""The job of `vsrpp plan --emit slurm` under a real Slurm."""

import re

import pytest

from support import slurm
from support.clips import tiny_checkpoint, write_clip
from support.commands import ENVIRONMENT, frame_hashes, vsrpp

pytestmark = pytest.mark.skipif(slurm.why_not() is not None, reason=slurm.why_not() or "")


def submitted(cluster, job):
    """Submit as the job's first lines say, from its folder; return the numbers of the jobs."""
    said = cluster.run("env", "-C", job.parent, "sh", job.name)
    return re.fullmatch(r"segments: job (\d+); join: job (\d+)\n", said).groups()


def test_an_array_with_a_requeued_task_and_its_join_give_the_frames_of_a_run(tmp_path):
    clip, model = write_clip(tmp_path / "in put.mp4", 9), tiny_checkpoint(tmp_path / "tiny.pth")
    common = ["-m", model, "--threads", 1, "--segment", 3]
    vsrpp("upscale", clip, tmp_path / "all.mp4", *common, check=0)
    output, job = tmp_path / "o 5%a.mp4", tmp_path / "job.sh"
    made = vsrpp("plan", clip, output, *common, "--write", "--emit", "slurm", "--tasks", 2, check=0)
    job.write_text(made.stdout)
    (tmp_path / "slurm").mkdir()
    with slurm.cluster(tmp_path / "slurm") as cluster:
        cluster.env |= {"VSRPP_OFFLINE": ENVIRONMENT["VSRPP_OFFLINE"], "OMP_NUM_THREADS": "1"}
        array, join = submitted(cluster, job)
        cluster.requeue(f"{array}_0", tmp_path / "o 5%a.mp4.vsrpp" / "slurm-0.log")
        assert cluster.ended(f"{array}_0") == "COMPLETED"
        assert cluster.job(f"{array}_0")["Restarts"] == "1"
        assert cluster.ended(join) == "COMPLETED"
    assert frame_hashes(output) == frame_hashes(tmp_path / "all.mp4")
    assert not (tmp_path / "o 5%a.mp4.vsrpp").exists()
    assert f"{output}" in (tmp_path / f"vsrpp-o-5-a-join-{join}.log").read_text()


def test_a_join_does_not_start_when_a_task_failed(tmp_path):
    clip, model = write_clip(tmp_path / "in.mp4", 6), tiny_checkpoint(tmp_path / "tiny.pth")
    job = tmp_path / "job.sh"
    made = vsrpp("plan", clip, tmp_path / "o.mp4", "-m", model, "--threads", 1, "--segment", 3,
                 "--write", "--emit", "slurm", check=0)  # fmt: skip
    job.write_text(made.stdout)
    clip.unlink()
    (tmp_path / "slurm").mkdir()
    with slurm.cluster(tmp_path / "slurm") as cluster:
        array, join = submitted(cluster, job)
        assert cluster.ended(join) == "CANCELLED"
        assert cluster.job(f"{array}_0")["ExitCode"] == "3:0"
    assert not (tmp_path / "o.mp4").exists()
