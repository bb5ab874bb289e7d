"""Keeps track of the segments of a run: waiting, being computed, failed too often.

Uses neither Ray nor a clock; the time of each decision does not depend on the length of the run.
"""

from collections import deque
from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field
from statistics import median

TRIES = 4
"""How often a segment may fail, or crash its worker, before the run fails."""

SLOW = 1.5
"""A segment that takes this many times longer than usual may be given to a second worker."""

REMEMBERED = 101
"""Number of the last segments whose median speed is the usual one."""


@dataclass
class _Attempts:
    """The workers that compute one segment, and since when: seconds of any clock."""

    since: float
    workers: list[Hashable] = field(default_factory=list)


class Board:
    """The segments of one run.

    Args:
        frames: of each segment that is to be computed, in the order to give them out.
    """

    def __init__(self, frames: Mapping[int, int]) -> None:
        self._frames = dict(frames)
        self._waiting = deque(frames)
        self._under_way: dict[int, _Attempts] = {}
        self._failures: dict[int, int] = {}
        self._speeds: deque[float] = deque(maxlen=REMEMBERED)

    @property
    def idle(self) -> bool:
        """Whether nobody computes anything."""
        return not self._under_way

    @property
    def empty(self) -> bool:
        """Whether nothing is left to compute."""
        return self.idle and not self._waiting

    def take(self, worker: Hashable, now: float, *, slow: bool = False) -> int | None:
        """Return the next waiting segment, or with `slow` one that another worker is slow with."""
        if slow:
            index = self._slow(now)
        else:
            index = self._waiting.popleft() if self._waiting else None
        if index is not None:
            self._under_way.setdefault(index, _Attempts(now)).workers.append(worker)
        return index

    def _slow(self, now: float) -> int | None:
        """Return the segment furthest behind the usual time, unless two workers compute it."""
        if not self._speeds:
            return None
        usual = median(self._speeds)
        lags = {
            index: (now - attempts.since) / (usual * self._frames[index])
            for index, attempts in self._under_way.items()
            if len(attempts.workers) == 1
        }
        slowest = max(lags, key=lambda index: lags[index], default=None)
        return slowest if slowest is not None and lags[slowest] > SLOW else None

    def give_back(self, worker: Hashable, index: int, *, failed: bool) -> bool:
        """Record that a worker ended without a result; return whether the segment may be retried.

        Args:
            worker: who had it.
            index: of the segment.
            failed: whether the segment may be what ended the worker, as it is not when a whole
                node is lost.
        """
        attempts = self._under_way.get(index)
        if attempts is None or worker not in attempts.workers:
            return True  # somebody else has finished it
        attempts.workers.remove(worker)
        if not attempts.workers:
            del self._under_way[index]
            self._waiting.appendleft(index)
        self._failures[index] = self._failures.get(index, 0) + failed
        return self._failures[index] < TRIES

    def is_wanted(self, index: int) -> bool:
        """Whether a segment that was given out has no result yet."""
        return index in self._under_way

    def finish(self, index: int, now: float) -> list[Hashable] | None:
        """Record a result; return who else computes it, or None if there already was a result."""
        attempts = self._under_way.pop(index, None)
        if attempts is None:
            return None
        self._speeds.append(max(now - attempts.since, 1e-6) / self._frames[index])
        return attempts.workers
