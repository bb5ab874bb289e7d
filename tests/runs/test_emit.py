"""Jobs for schedulers: what they ask for, that they are valid, and that they do the work."""

import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import kubernetes_validate
import pytest
import yaml

from support.clips import tiny_checkpoint, write_clip
from support.commands import ENVIRONMENT, VSRPP, frame_hashes, vsrpp
from vsrpp_cli.errors import UsageError
from vsrpp_cli.runs.distributed import open_folder
from vsrpp_cli.runs.emit.claims import Claim
from vsrpp_cli.runs.emit.formats import FORMATS
from vsrpp_cli.runs.emit.job import make_job

KUBERNETES = "1.37"


@pytest.fixture(scope="module")
def planned(tmp_path_factory):
    """A folder that shells stumble over, with a written plan; its manifest; the frames due."""
    place = tmp_path_factory.mktemp("planned") / "o'dd $place"
    place.mkdir()
    clip, model = write_clip(place / "in.mp4", 9), tiny_checkpoint(place / "tiny.pth")
    common = ["-m", model, "--threads", 1, "--segment", 3]
    vsrpp("upscale", clip, place / "all.mp4", *common, check=0)
    made = vsrpp("plan", clip, place / "My Film_x4.mp4", *common,
                 "--write", "--emit", "kubernetes", "--tasks", 2, check=0)  # fmt: skip
    return place, made.stdout, frame_hashes(place / "all.mp4")


@pytest.fixture
def folder(planned):
    """The work folder, put back as it was."""
    path = planned[0] / "My Film_x4.mp4.vsrpp"
    kept = path.with_name("kept")
    shutil.copytree(path, kept)
    yield path
    shutil.rmtree(path, ignore_errors=True)
    (planned[0] / "My Film_x4.mp4").unlink(missing_ok=True)
    kept.rename(path)


def job_of(folder, *, device="cpu", tasks=None, image=None, claims=()):
    work, plan = open_folder(str(folder))
    compute = replace(plan.compute, device=device, threads=4)
    plan = replace(plan, compute=compute, geometry=replace(plan.geometry, memory=1 << 30))
    return make_job(work, plan, tasks, image, claims)


def manifest(job):
    return list(yaml.safe_load_all(FORMATS["kubernetes"](job)))


def container(document):
    return document["spec"]["template"]["spec"]["containers"][0]


def test_the_manifest_is_valid_kubernetes(planned, folder):
    gpu = manifest(job_of(folder, device="cuda:1"))
    claimed = manifest(job_of(folder, claims=[Claim(name="films", folder=planned[0].parent)]))
    for document in (*yaml.safe_load_all(planned[1]), *gpu, *claimed):
        kubernetes_validate.validate(document, KUBERNETES, strict=True)
        wrong = document | {"spec": document["spec"] | {"completionMod": "Indexed"}}
        with pytest.raises(kubernetes_validate.ValidationError):
            kubernetes_validate.validate(wrong, KUBERNETES, strict=True)


def test_the_manifest_asks_for_what_the_plan_needs(folder):
    segments, join = manifest(job_of(folder, device="cuda:1", image="registry/vsrpp:1"))
    assert segments["metadata"]["name"] == "vsrpp-my-film-x4"
    assert join["metadata"]["name"] == "vsrpp-my-film-x4-join"
    assert segments["spec"]["completionMode"] == "Indexed"
    assert segments["spec"]["completions"] == 3
    assert container(segments)["image"] == "registry/vsrpp:1"
    assert container(segments)["resources"] == {
        "requests": {"cpu": "4", "memory": "1280Mi"},
        "limits": {"memory": "1280Mi", "nvidia.com/gpu": 1},
    }
    assert "nvidia.com/gpu" not in container(join)["resources"]["limits"]


def test_each_try_of_a_task_that_cannot_succeed_is_spared(folder):
    for document in manifest(job_of(folder)):
        lost, hopeless = document["spec"]["podFailurePolicy"]["rules"]
        assert lost["onPodConditions"] == [{"type": "DisruptionTarget"}]
        assert hopeless["onExitCodes"]["values"] == [2, 3, 4]
        assert hopeless["onExitCodes"]["containerName"] == container(document)["name"]


def test_pods_see_the_folders_that_the_plan_names(planned, folder):
    segments, _ = manifest(job_of(folder))
    spec = segments["spec"]["template"]["spec"]
    assert [v["hostPath"]["path"] for v in spec["volumes"]] == [str(planned[0])]
    assert [m["mountPath"] for m in container(segments)["volumeMounts"]] == [str(planned[0])]
    segments, _ = manifest(job_of(folder, claims=[Claim(name="films", folder=planned[0].parent)]))
    spec = segments["spec"]["template"]["spec"]
    assert spec["volumes"][0]["persistentVolumeClaim"] == {"claimName": "films"}
    assert container(segments)["volumeMounts"][0]["mountPath"] == str(planned[0].parent)


def test_a_folder_outside_of_the_claims_is_named(planned, folder):
    with pytest.raises(UsageError, match=r"`claims`: .*o'dd \$place is in none of the folders"):
        manifest(job_of(folder, claims=[Claim(name="films", folder=Path("/elsewhere"))]))


def test_what_the_pods_would_run_gives_the_frames_of_a_run(planned, folder):
    segments, join = yaml.safe_load_all(planned[1])
    waiting = subprocess.Popen(
        [VSRPP, *container(join)["args"]], env=ENVIRONMENT, stderr=subprocess.PIPE, text=True
    )
    assert waiting.stderr is not None
    assert waiting.stderr.readline() == "waiting for workers: 0 of 3 segments are done\n"
    for index in range(segments["spec"]["completions"]):
        vsrpp(*container(segments)["args"], env={"JOB_COMPLETION_INDEX": str(index)}, check=0)
    assert waiting.communicate(timeout=250)[1]
    assert waiting.returncode == 0
    assert frame_hashes(planned[0] / "My Film_x4.mp4") == planned[2]


def test_the_script_does_one_task_or_all_of_it(planned, folder, tmp_path):
    script = tmp_path / "job.sh"
    script.write_text(FORMATS["script"](job_of(folder, tasks=2)))
    subprocess.run(["sh", script, "1"], env=ENVIRONMENT, check=True)
    assert [p.name for p in (folder / "segments").glob("*.done")] == ["000001.done"]
    subprocess.run(["sh", script], env=ENVIRONMENT, check=True)
    assert frame_hashes(planned[0] / "My Film_x4.mp4") == planned[2]


def test_a_task_is_several_segments_where_there_are_fewer(folder):
    text = FORMATS["slurm"](job_of(folder, tasks=2))
    assert "--array=0-1 " in text
    assert "--of 2 " in text
    assert "--gpus" not in text
    text = FORMATS["slurm"](job_of(folder, device="cuda:0", tasks=10))
    assert "--array=0-2 " in text
    assert "--of" not in text
    assert text.count("--gpus-per-node=1") == 1
    assert text.count("--cpus-per-task=4 --mem=1280M") == 2


@pytest.mark.parametrize(
    ("args", "text"),
    [
        (["--emit", "slurm"], "--emit: needs --write"),
        (["--emit", "script", "--write", "--json"], "--emit: needs --write, and prints a job"),
        (["--emit", "pbs"], "'pbs' is not one of 'slurm', 'kubernetes', 'script'"),
        (["--write", "--claim", "Films=/a"], "--claim 'Films=/a': must be NAME=FOLDER"),
        (["--write", "--claim", "films=a"], "--claim 'films=a': must be NAME=FOLDER"),
    ],
)
def test_what_cannot_be_emitted_is_refused_before_planning(tmp_path, args, text):
    failed = vsrpp("plan", "in.mp4", tmp_path / "o.mp4", *args, check=2)
    assert text in failed.stderr
    assert not list(tmp_path.iterdir())
