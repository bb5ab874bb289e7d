"""Join and verify: streams that prevent the output from being written are left out.

What was computed must get its output. So where one of the source's other streams makes joining or
reading back fail, the file is made without it, and where that cannot be found out, without all.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from vsrpp_cli.errors import EncoderError, PictureError, VerificationError
from vsrpp_cli.media.mux.joined import Joined, Portion, StreamRefusedError
from vsrpp_cli.media.mux.stream_selection import named
from vsrpp_cli.media.output.protocol import output_of
from vsrpp_cli.media.types import OutputPlan, Scan, SourceInfo, StreamChoice

OnPhase = Callable[[Literal["join", "verify"]], None]
"""Called with `join` and `verify` where they begin."""

Streams = tuple[StreamChoice, ...]

CARRIED = ("audio", "subtitle", "data", "attachment", "cover", "chapters", "metadata")
"""Kinds that can be left out, each by itself."""


@dataclass(frozen=True, kw_only=True)
class Assembled:
    """A file that is complete and has been looked at."""

    streams: Streams
    """What finally happened to everything except the picture."""
    deviations: tuple[str, ...] = ()
    """How the file differs from the plan, one sentence each."""
    notes: tuple[str, ...] = ()
    """What else the user should know."""

    def left_out(self, planned: Streams) -> tuple[StreamChoice, ...]:
        """Return the choices that could not be kept to."""
        return tuple(c for c in self.streams if c not in planned)


class Assembly:
    """Makes the output out of finished segments.

    Args:
        segments: in their order; together they hold exactly the scan's frames.
        scan: the run's frames.
        source: the input.
        output: from the plan.
        temporary: the file (or folder of frames) to write, replaced where it exists.
        decode: whether the whole picture is decoded again.
        portion: how much to carry over of the source's other streams; None for all.
        on_phase: told what is being done.
    """

    def __init__(
        self,
        segments: Sequence[Path],
        scan: Scan,
        source: SourceInfo,
        output: OutputPlan,
        temporary: Path,
        *,
        decode: bool,
        portion: Portion | None = None,
        on_phase: OnPhase = lambda _: None,
    ) -> None:
        self._segments, self._scan, self._source = segments, scan, source
        self._output, self._temporary = output, temporary
        self._decode, self._portion, self._on_phase = decode, portion, on_phase

    def run(self) -> Assembled:
        """Write and check the file, leaving out the streams that make this fail.

        Raises:
            EncoderError: it cannot be written even without any other stream.
            VerificationError: pictures are missing or damaged, or nothing can be read back.
            DiskFullError: there is no room for it.
        """
        streams, unseen = self._output.streams, frozenset[int]()
        while True:
            try:
                joined = self._joined(streams, unseen)
            except StreamRefusedError as error:
                streams = self._without(streams, error.index, error.reason)
                continue
            except EncoderError as error:
                return self._without_culprit(streams, error)
            if joined.empty or joined.unseen:
                unseen |= joined.unseen
                for index in joined.empty:
                    streams = self._without(streams, index, NOTHING_CAME)
                continue
            try:
                return self._verified(streams, unseen, joined)
            except PictureError:
                raise
            except VerificationError as error:
                return self._without_culprit(streams, error)

    def _joined(self, streams: Streams, unseen: frozenset[int] = frozenset()) -> Joined:
        self._on_phase("join")
        output = output_of(self._tried(streams, unseen))
        return output.join(
            self._segments, self._scan, self._source, self._temporary, portion=self._portion
        )

    def _tried(self, streams: Streams, unseen: frozenset[int]) -> OutputPlan:
        """Return the output without the streams of which a portion of the source shows nothing."""
        tried = tuple(replace(c, action="drop") if c.source_index in unseen else c for c in streams)
        return replace(self._output, streams=tried)

    def _verified(self, streams: Streams, unseen: frozenset[int], joined: Joined) -> Assembled:
        self._on_phase("verify")
        output = output_of(self._tried(streams, unseen))
        deviations = output.verify(self._temporary, self._scan, self._source, decode=self._decode)
        return Assembled(streams=streams, deviations=tuple(deviations), notes=tuple(joined.notes))

    def _without(self, streams: Streams, index: int, reason: str) -> Streams:
        """Return the choices with one stream of the source left out."""
        stream = next(s for s in self._source.streams if s.index == index)
        text = f"{named(stream)} is left out: {reason}"
        return tuple(
            replace(c, action="drop", reason=text, loss=True) if c.source_index == index else c
            for c in streams
        )

    def _without_culprit(
        self, streams: Streams, error: EncoderError | VerificationError
    ) -> Assembled:
        """Leave out what makes an error that names no stream: one if that helps, or else all."""
        carried = [c for c in streams if c.kind in CARRIED and c.action != "drop"]
        if not carried:
            raise error
        alone = [tuple(_dropped(c, error) if c is one else c for c in streams) for one in carried]
        bare = tuple(_dropped(c, error) if c in carried else c for c in streams)
        for choices in (*(alone if len(carried) > 1 else ()), bare):
            try:
                joined = self._joined(choices)
                return self._verified(choices, frozenset(), joined)
            except (EncoderError, VerificationError):
                continue
        raise error


NOTHING_CAME = "nothing of it could be carried over"


def _dropped(choice: StreamChoice, error: Exception) -> StreamChoice:
    track = "" if choice.source_index is None else f" (track {choice.source_index})"
    reason = f"{choice.kind}{track} is left out, with it: {error}"
    return replace(choice, action="drop", reason=reason, loss=True)
