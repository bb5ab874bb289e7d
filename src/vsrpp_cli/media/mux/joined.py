"""What a join tells about the streams it carried over, and how much a rehearsal asks for."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from fractions import Fraction

import av.error

from vsrpp_cli.durable import FULL
from vsrpp_cli.errors import EncoderError
from vsrpp_cli.media.mux.timeline import Timeline


@dataclass(frozen=True, kw_only=True)
class Portion:
    """How much of the other streams is carried over where all of it would take too long."""

    packets: int = 100
    """Of each stream, at most."""
    seconds: float
    """How long to look for the first packet of each."""


@dataclass(frozen=True, kw_only=True)
class Joined:
    """What happened to the source's other streams in a joined file."""

    notes: list[str] = field(default_factory=list)
    """Sentences for the user."""
    empty: frozenset[int] = frozenset()
    """Streams of the source that have nothing in the part that was asked for."""
    unseen: frozenset[int] = frozenset()
    """Streams of which nothing has come so far, where only a portion was read."""


class StreamRefusedError(EncoderError):
    """One of the source's streams cannot be carried over.

    Args:
        index: of the stream in the source.
        reason: what the muxer or a codec says.
    """

    def __init__(self, index: int, reason: str) -> None:
        super().__init__(f"track {index} cannot be carried over: {reason}")
        self.index, self.reason = index, reason


@contextmanager
def refusing(index: int) -> Iterator[None]:
    """Name the stream whose packets or parameters something inside cannot take.

    Raises:
        StreamRefusedError: for whatever PyAV raises about them, but that a disk is full.
    """
    try:
        yield
    except (av.error.FFmpegError, EncoderError, *UNTAKEN) as error:
        if getattr(error, "errno", None) in FULL:
            raise
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise StreamRefusedError(index, reason) from error


UNTAKEN = (ArithmeticError, LookupError, NotImplementedError, TypeError, ValueError)
"""What PyAV raises for unusual files, besides FFmpeg's own errors."""


class Reading:
    """Counts what comes of each stream, and knows when a portion of them is complete.

    Args:
        indices: of the streams in the source.
        line: of the run.
        portion: None for all there is.
    """

    def __init__(self, indices: Sequence[int], line: Timeline, portion: Portion | None) -> None:
        self._indices, self._line, self._portion = indices, line, portion
        self._fed: Counter[int] = Counter()
        self._past: set[int] = set()
        self._read = 0
        self._until = time.monotonic() + (portion.seconds if portion else 0.0)
        self.given: Counter[int] = Counter()
        """Packets that the output got, by stream."""
        self.whole = False
        """Whether the source was read to its end."""

    def wants(self, index: int, begin: Fraction | None) -> bool:
        """Record a stream's next packet, at a time in seconds; return whether to copy it."""
        self._read += 1
        if begin is None or self._line.keeps(begin):
            self._fed[index] += 1
        elif self._line.end is not None and begin >= self._line.end:
            self._past.add(index)
        return self._portion is None or self._fed[index] <= self._portion.packets

    @property
    def is_enough(self) -> bool:
        """Whether nothing more needs to be read."""
        if self._portion is None:
            return False
        seen = all(self._fed[index] or index in self._past for index in self._indices)
        return (seen and self._read > self._portion.packets) or time.monotonic() > self._until

    def joined(self, notes: list[str]) -> Joined:
        """Return the account, when everything that was read has been written."""
        nothing = {index for index in self._indices if not self.given[index]}
        sure = nothing if self.whole else nothing & self._past
        return Joined(notes=notes, empty=frozenset(sure), unseen=frozenset(nothing - sure))
