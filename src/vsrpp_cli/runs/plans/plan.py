"""The plan: all decisions of a run, made before the first frame is computed, and written to a file.

A plan never changes once it is in the work folder. Workers and `join` depend on it alone, so that a
run gives the same frames wherever and however often it is interrupted.
"""

import json
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

from vsrpp_cli.durable import write_durably
from vsrpp_cli.errors import ResumeRefusedError, VsrppError
from vsrpp_cli.inference.session import ComputeSpec
from vsrpp_cli.media.source import FrameSource, open_source
from vsrpp_cli.media.types import OutputPlan, Scan, SourceInfo
from vsrpp_cli.options import Deinterlace
from vsrpp_cli.planning.budget import Geometry
from vsrpp_cli.planning.chunks import Segment
from vsrpp_cli.records import from_json, to_json

VERSION = 2


@dataclass(frozen=True, kw_only=True)
class ModelRecord:
    """One network of the chain, and its file."""

    name: str
    path: str
    sha256: str
    scale: int
    why: str = ""
    """Why it was chosen automatically; empty if it was named."""


@dataclass(frozen=True, kw_only=True)
class Decoding:
    """How the source is opened."""

    video_track: int | None
    fps: Fraction | None
    deinterlace: Deinterlace

    def open(self, path: Path) -> FrameSource:
        """Open the source.

        Raises:
            InputError: it cannot be read.
        """
        return open_source(
            path, video_track=self.video_track, fps=self.fps, deinterlace=self.deinterlace
        )


@dataclass(frozen=True, kw_only=True)
class Rehearsed:
    """The results of the rehearsal, see `rehearsal`."""

    findings: tuple[str, ...] = ()
    """Sentences on what cannot be kept."""
    seconds: float = 0.0
    """Wall time it took."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """All decisions of one run."""

    version: int
    software: dict[str, str]
    """Versions and instruction set with which frames are identical."""
    options: dict[str, str]
    """The user's options that affect the content, as text, for messages about changes."""
    source: SourceInfo
    source_fingerprint: dict[str, Any]
    scan: Scan
    models: tuple[ModelRecord, ...]
    compute: ComputeSpec
    geometry: Geometry
    segments: tuple[Segment, ...]
    output: OutputPlan
    decoding: Decoding
    work: str = ""
    """The work folder when the plan was made; paths relative to it are tried if files moved."""
    rehearsed: Rehearsed | None = None
    """None for a plan that is only shown."""

    @property
    def notes(self) -> tuple[str, ...]:
        """Sentences for the user on what was unusual or guessed, or will be lost."""
        encode = self.output.encode
        reasons = (choice.reason for choice in self.output.streams if choice.reason)
        losses = (loss.text for loss in (*self.source.losses, *encode.losses))
        own = (
            *self.source.notes,
            *self.scan.notes,
            *self.compute.notes,
            *self.geometry.notes,
        )
        found = self.rehearsed.findings if self.rehearsed else ()
        return tuple(dict.fromkeys((*own, *encode.notes, *losses, *reasons, *found)))

    @property
    def frames(self) -> int:
        """Frames of the output."""
        return self.scan.frames

    def was_made_for(self, path: Path) -> bool:
        """Return whether the file or folder at `path` has the content of the plan's source."""
        try:
            found = self.decoding.open(path).fingerprint()
        except (VsrppError, OSError):
            return False
        return _as_read(found) == self.source_fingerprint

    def write(self, path: Path) -> None:
        """Write the plan atomically."""
        write_durably(path, json.dumps(to_json(self), separators=(",", ":")).encode())

    @classmethod
    def read(cls, path: Path) -> "Plan":
        """Read a plan.

        Raises:
            ResumeRefusedError: the file is not a plan, or one of another format version.
        """
        try:
            data = json.loads(path.read_bytes())
            if data.get("version") != VERSION:
                raise ResumeRefusedError(
                    f"{path} is of version {data.get('version')}, this program writes {VERSION}: "
                    "start anew with `resume='restart'`"
                )
            return from_json(cls, data)
        except (ValueError, AttributeError) as error:
            raise ResumeRefusedError(
                f"{path} is no plan ({error}): start anew with `resume='restart'`"
            ) from error


def _as_read(fingerprint: dict[str, Any]) -> dict[str, Any]:
    """Return a fingerprint as it is read from a plan's file: JSON turns tuples into lists."""
    read: dict[str, Any] = json.loads(json.dumps(to_json(fingerprint)))
    return read


def software_changes(plan: Plan, now: dict[str, str]) -> list[str]:
    """Return the differences between the plan's software and machine and these, a phrase each."""
    return [
        f"{name} was {plan.software.get(name)}, is {value}"
        for name, value in now.items()
        if plan.software.get(name) != value
    ]


def changes(plan: Plan, options: dict[str, str], fingerprint: dict[str, Any]) -> list[str]:
    """Return the differences between a plan and the current command, a phrase each."""
    found = [
        f"`{name}` was {plan.options.get(name)}, is {value}"
        for name, value in options.items()
        if plan.options.get(name) != value
    ]
    now = _as_read(fingerprint)
    if now != plan.source_fingerprint:
        differing = [k for k in now if now[k] != plan.source_fingerprint.get(k)]
        found.append(f"the input is another one ({', '.join(differing) or 'fewer facts'})")
    return found
