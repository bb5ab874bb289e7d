"""What the user should know about the computation, for the report."""

from dataclasses import dataclass, field
from typing import Any, Literal

EventKind = Literal["guard", "drift", "memory", "slow"]


@dataclass(frozen=True, kw_only=True)
class Event:
    """One entry of a run's report."""

    kind: EventKind
    """What it is about.

    `guard`: frames recomputed in float32; `drift`: brightness or colour changed; `memory`: a
    smaller geometry after memory ran out; `slow`: faster settings may exist on this machine.
    """
    text: str
    """A sentence for the user."""
    chunk: tuple[int, int] | None = None
    """First kept frame of the chunk concerned, and one past its last."""
    details: dict[str, Any] = field(default_factory=dict)
    """Further details by name; JSON values only."""
