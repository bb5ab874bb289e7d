"""What the driver and its workers on other nodes tell each other."""

from dataclasses import dataclass

from vsrpp_cli.runs.plan import Plan


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
