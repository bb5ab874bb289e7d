"""Join and verify: streams that prevent the output from being written are left out.

Upscaled frames must not be lost because of a stream that was only to be copied. If one of the
source's other streams makes joining or reading back fail, the file is written without it; if it
cannot be found out which, without any of them.
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
"""Called with `join` or `verify` when that phase begins."""

Streams = tuple[StreamChoice, ...]

CARRIED = ("audio", "subtitle", "data", "attachment", "cover", "chapters", "metadata")
"""Kinds that can be left out, one at a time."""


@dataclass(frozen=True, kw_only=True)
class Assembled:
    """The account of a complete, verified output."""

    streams: Streams
    """What was done with each of the source's other streams."""
    deviations: tuple[str, ...] = ()
    """How the file differs from the plan, one sentence each."""
    notes: tuple[str, ...] = ()
    """Other sentences for the user."""

    def left_out(self, planned: Streams) -> tuple[StreamChoice, ...]:
        """Return the choices that differ from the planned ones."""
        return tuple(c for c in self.streams if c not in planned)


class Assembly:
    """Assembles the output from finished segments.

    Args:
        segments: in order; together they hold exactly the scan's frames.
        scan: the run's frames.
        source: the input.
        output: from the plan.
        temporary: the file (or folder of frames) to write; replaced if it exists.
        decode: whether all pictures are decoded to verify them.
        portion: how much to carry over of the source's other streams; None for all.
        on_phase: called when joining or verifying begins.
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
        """Write and verify the file, without the streams that make this fail.

        Raises:
            EncoderError: it cannot be written even without any other stream.
            VerificationError: pictures are missing or damaged, or it cannot be read back.
            DiskFullError: the disk is full.
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
        """Return the output plan without the streams absent from the portion that was read."""
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
        """Handle an error that names no stream: try without each one alone, then without all."""
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
