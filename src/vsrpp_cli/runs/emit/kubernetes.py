"""A plan as two Kubernetes jobs: an indexed one for the segments, and one that waits and joins."""

import math
from pathlib import Path
from typing import Any

import yaml

from vsrpp_cli.checkpoints.cache import weights_folder
from vsrpp_cli.errors import InputError, ModelError, UsageError
from vsrpp_cli.runs.emit.claims import Claim
from vsrpp_cli.runs.emit.job import GRACE, Job

TRIES = 6
"""How often a failed task is started again; losses of nodes do not count."""

KILLED_AFTER = GRACE + 5
"""Seconds between SIGTERM and SIGKILL."""

HOPELESS = sorted({error.exit_code for error in (UsageError, InputError, ModelError)})
"""Exit codes after which another try would fail in the same way."""


def kubernetes(job: Job) -> str:
    """Return a manifest for `kubectl apply -f`.

    Raises:
        UsageError: claims are given, and a folder of the plan is in none of them.
    """
    told = (
        f"# vsrpp: {job.what}; the second job waits for all of them and joins.\n"
        "# Submit with: kubectl apply -f FILE\n"
    )
    manifest: str = yaml.safe_dump_all([_segments(job), _join(job)], sort_keys=False)
    return told + manifest


def _segments(job: Job) -> dict[str, Any]:
    resources = _resources(job)
    if job.gpu:
        resources["limits"]["nvidia.com/gpu"] = 1
    each = {
        "completionMode": "Indexed",
        "completions": job.tasks,
        "parallelism": job.tasks,
        "backoffLimitPerIndex": TRIES,
    }
    return _job(job, job.name, each, _container(job, job.worker(), resources))


def _join(job: Job) -> dict[str, Any]:
    words = [*job.join(), "--wait"]
    once = {"backoffLimit": TRIES}
    return _job(job, f"{job.name}-join", once, _container(job, words, _resources(job)))


def _job(job: Job, name: str, how: dict[str, Any], container: dict[str, Any]) -> dict[str, Any]:
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": name, "labels": {"app.kubernetes.io/name": "vsrpp"}},
        "spec": {
            **how,
            "podFailurePolicy": {"rules": _rules()},
            "template": {
                "spec": {
                    "restartPolicy": "Never",
                    "terminationGracePeriodSeconds": KILLED_AFTER,
                    "containers": [container],
                    "volumes": [volume for volume, _ in _volumes(job)],
                }
            },
        },
    }


def _rules() -> list[dict[str, Any]]:
    """Return the failure policy: losses of nodes do not count, hopeless exit codes end the job."""
    lost = {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget"}]}
    codes = {"containerName": "vsrpp", "operator": "In", "values": HOPELESS}
    return [lost, {"action": "FailJob", "onExitCodes": codes}]


def _container(job: Job, words: list[str], resources: dict[str, Any]) -> dict[str, Any]:
    return {
        "name": "vsrpp",
        "image": job.image,
        "args": words,
        "resources": resources,
        "volumeMounts": [mount for _, mount in _volumes(job)],
    }


def _resources(job: Job) -> dict[str, Any]:
    memory = f"{math.ceil(job.memory / 2**20)}Mi"
    cpu = str(job.plan.compute.threads)
    return {"requests": {"cpu": cpu, "memory": memory}, "limits": {"memory": memory}}


def _volumes(job: Job) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """Return volumes and their mounts: the claims, or folders that all nodes share."""
    folders = [claim.folder for claim in job.claims]
    outside = [path for path in _folders(job) if not any(map(path.is_relative_to, folders))]
    if job.claims and outside:
        raise UsageError(
            f"`claims`: {outside[0]} is in none of the folders that claims hold; "
            "give more claims, and `resume='restart'` to plan again"
        )
    volumes = [_claimed(claim) for claim in job.claims] or [_on_nodes(path) for path in outside]
    names = [f"files-{number}" for number in range(len(volumes))]
    return [
        ({"name": name, **volume}, {"name": name, "mountPath": place})
        for name, (volume, place) in zip(names, volumes, strict=True)
    ]


def _claimed(claim: Claim) -> tuple[dict[str, Any], str]:
    return {"persistentVolumeClaim": {"claimName": claim.name}}, str(claim.folder)


def _on_nodes(folder: Path) -> tuple[dict[str, Any], str]:
    return {"hostPath": {"path": str(folder), "type": "Directory"}}, str(folder)


def _folders(job: Job) -> list[Path]:
    """Return the folders that a task uses, none inside another."""
    # Weights of the package are part of the image.
    weights = [m.path for m in job.plan.models if not Path(m.path).is_relative_to(weights_folder())]
    files = [job.plan.source.path, job.plan.output.path, *weights]
    found = {job.folder.parent, *(Path(file).absolute().parent for file in files)}
    return sorted(p for p in found if not any(p != q and p.is_relative_to(q) for q in found))
