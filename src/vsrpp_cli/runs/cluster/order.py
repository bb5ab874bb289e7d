"""What the driver and its workers on other nodes tell each other."""

import hashlib
import json
from dataclasses import dataclass

from vsrpp_cli.runs.plans.plan import Plan, software_changes


@dataclass(frozen=True)
class Order:
    """A run that a worker is to compute segments of; sent to each worker once."""

    key: str
    """Names the run among those of a cluster."""
    plan: Plan
    folder: str
    """The work folder, as the driver sees it."""
    marker: str
    """Name and content of a file in the folder's segments: who finds it sees the same folder."""


@dataclass(frozen=True)
class Facts:
    """What a worker is."""

    host: str
    software: dict[str, str]
    """As in a plan: what the promise of identical frames depends on."""
    device: str
    """What the device is called."""


@dataclass(frozen=True)
class Accepted:
    """What a worker says to an order."""

    lacking: tuple[str, ...]
    """Paths of the plan that it neither sees nor has received: it cannot begin without them."""
    sees_folder: bool
    """Whether it writes segments into the driver's work folder itself."""


def source_key(plan: Plan) -> str:
    """Return what names the content of the plan's input."""
    text = json.dumps(plan.source_fingerprint, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def differences(plan: Plan, device: str, facts: Facts) -> str:
    """Return in what a worker differs from what promises the plan's frames; empty for nothing.

    Args:
        plan: the run.
        device: what the driver's own device is called; empty where it has none of the plan's kind.
        facts: of the worker.
    """
    found = software_changes(plan, facts.software)
    # Of a processor, the instruction set that counts is among the software.
    if device and facts.device != device and not plan.compute.device.startswith("cpu"):
        found.append(f"the GPU was {device}, is {facts.device}")
    return "; ".join(found)
