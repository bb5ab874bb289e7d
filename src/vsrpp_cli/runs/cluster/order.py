"""The records that the driver and workers on other nodes exchange."""

import hashlib
import json
from dataclasses import dataclass

from vsrpp_cli.runs.plans.plan import Plan, software_changes


@dataclass(frozen=True)
class Order:
    """A run of which a worker computes segments; sent to each worker once."""

    key: str
    """Identifies the run on the cluster."""
    plan: Plan
    folder: str
    """The work folder, as the driver sees it."""
    marker: str
    """Name and content of a file in the segments folder; a worker that finds it sees the folder."""


@dataclass(frozen=True)
class Facts:
    """Host, software and device of a worker."""

    host: str
    software: dict[str, str]
    """As in a plan: the versions that identical frames depend on."""
    device: str
    """Name of the device."""


@dataclass(frozen=True)
class Accepted:
    """A worker's answer to an order."""

    lacking: tuple[str, ...]
    """Paths of the plan that it neither sees nor has received; it cannot begin without them."""
    sees_folder: bool
    """Whether it sees the driver's work folder, and writes segments into it."""


def source_key(plan: Plan) -> str:
    """Return a key for the content of the plan's input."""
    text = json.dumps(plan.source_fingerprint, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def differences(plan: Plan, device: str, facts: Facts) -> str:
    """Return how a worker differs from the plan's machine so that frames may; empty if it does not.

    Args:
        plan: the run.
        device: name of the driver's own device; empty where it has none of the plan's kind.
        facts: of the worker.
    """
    found = software_changes(plan, facts.software)
    # For processors only the instruction set matters, which is part of the software.
    if device and facts.device != device and not plan.compute.device.startswith("cpu"):
        found.append(f"the GPU was {device}, is {facts.device}")
    return "; ".join(found)
