"""What happened while computing that a user should know."""

from dataclasses import dataclass, field
from typing import Any, Literal

EventKind = Literal["guard", "drift", "memory", "slow"]


@dataclass(frozen=True, kw_only=True)
class Event:
    """One entry of a run's report."""

    kind: EventKind
    """What it is about.

    `guard`: a chunk recomputed; `drift`: brightness or colour moved; `memory`: a smaller geometry
    after memory ran out; `slow`: a slower way taken than the machine might offer.
    """
    text: str
    """A sentence for the user."""
    chunk: tuple[int, int] | None = None
    """First kept frame of the chunk concerned, and one past its last."""
    details: dict[str, Any] = field(default_factory=dict)
    """Figures, JSON values only."""
