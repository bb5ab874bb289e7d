"""The result of carrying a source's other streams over, and limits on how much is carried."""

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
    """A limit on how much of the other streams is carried over, for rehearsals."""

    packets: int = 100
    """The largest number of packets of each stream."""
    seconds: float
    """How long to read for the first packet of each stream, in seconds of wall time."""


@dataclass(frozen=True, kw_only=True)
class Joined:
    """What was done with the source's other streams in a joined file."""

    notes: list[str] = field(default_factory=list)
    """Sentences for the user."""
    empty: frozenset[int] = frozenset()
    """Indices of the streams without a packet in the requested part of the source."""
    unseen: frozenset[int] = frozenset()
    """Indices of the streams without a packet in the portion that was read."""


class StreamRefusedError(EncoderError):
    """One of the source's streams cannot be carried over.

    Args:
        index: index of the stream in the source.
        reason: the error message of the muxer or codec.
    """

    def __init__(self, index: int, reason: str) -> None:
        super().__init__(f"track {index} cannot be carried over: {reason}")
        self.index, self.reason = index, reason


@contextmanager
def refusing(index: int) -> Iterator[None]:
    """Turn errors raised inside into a `StreamRefusedError` that names the stream.

    Raises:
        StreamRefusedError: for every error that PyAV raises, except that the disk is full.
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
    """Counts the packets read of each stream, and tells when a portion is complete.

    Args:
        indices: indices of the streams in the source.
        line: the run's timeline.
        portion: how much to read; None for all.
    """

    def __init__(self, indices: Sequence[int], line: Timeline, portion: Portion | None) -> None:
        self._indices, self._line, self._portion = indices, line, portion
        self._fed: Counter[int] = Counter()
        self._past: set[int] = set()
        self._read = 0
        self._until = time.monotonic() + (portion.seconds if portion else 0.0)
        self.given: Counter[int] = Counter()
        """Packets written to the output, by stream."""
        self.whole = False
        """Whether the source was read to its end."""

    def wants(self, index: int, begin: Fraction | None) -> bool:
        """Count a stream's next packet and return whether to copy it.

        Args:
            index: index of the stream in the source.
            begin: time of the packet in seconds of the source; None if unknown.
        """
        self._read += 1
        if begin is None or self._line.keeps(begin):
            self._fed[index] += 1
        elif self._line.end is not None and begin >= self._line.end:
            self._past.add(index)
        return self._portion is None or self._fed[index] <= self._portion.packets

    @property
    def is_enough(self) -> bool:
        """Whether the portion is complete or its time is over."""
        if self._portion is None:
            return False
        seen = all(self._fed[index] or index in self._past for index in self._indices)
        return (seen and self._read > self._portion.packets) or time.monotonic() > self._until

    def joined(self, notes: list[str]) -> Joined:
        """Return the result, once everything that was read has been written."""
        nothing = {index for index in self._indices if not self.given[index]}
        sure = nothing if self.whole else nothing & self._past
        return Joined(notes=notes, empty=frozenset(sure), unseen=frozenset(nothing - sure))
