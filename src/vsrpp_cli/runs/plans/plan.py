"""The plan: everything a run decides, decided before the first frame is computed, and written down.

A plan never changes once it stands in the work folder. Workers and the joiner read nothing else, so
that a run gives the same frames wherever and however often it is interrupted.
"""

import json
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

from vsrpp_cli.durable import write_durably
from vsrpp_cli.errors import ResumeRefusedError
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
    """One network of the chain, and the file it is loaded from."""

    name: str
    path: str
    sha256: str
    scale: int
    why: str = ""
    """What about the source made the choice, where it was made by itself."""


@dataclass(frozen=True, kw_only=True)
class Decoding:
    """How the source is opened, everywhere."""

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
    """What trying out the run beforehand has shown."""

    findings: tuple[str, ...] = ()
    """What cannot be kept, one sentence each."""
    seconds: float = 0.0
    """Wall time it took."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """One run, decided."""

    version: int
    software: dict[str, str]
    """Versions and instruction set the promise of identical frames holds for."""
    options: dict[str, str]
    """The user's options that decide the content, as text, to name what changed."""
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
    """The work folder when the plan was made, to find the other paths if all have moved."""
    rehearsed: Rehearsed | None = None
    """None for a plan that is only shown: nothing is written for that."""

    @property
    def notes(self) -> tuple[str, ...]:
        """What the user should know: what was odd, guessed, or will be lost."""
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

    @property
    def scale(self) -> int:
        """What the chain of networks multiplies width and height by."""
        scale = 1
        for model in self.models:
            scale *= model.scale
        return scale

    def write(self, path: Path) -> None:
        """Write the plan atomically."""
        write_durably(path, json.dumps(to_json(self), separators=(",", ":")).encode())

    @classmethod
    def read(cls, path: Path) -> "Plan":
        """Read a plan.

        Raises:
            ResumeRefusedError: the file is none, or of another version of this program.
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


def software_changes(plan: Plan, now: dict[str, str]) -> list[str]:
    """Return what of the software and the machine differs from the plan's, one phrase each."""
    return [
        f"{name} was {plan.software.get(name)}, is {value}"
        for name, value in now.items()
        if plan.software.get(name) != value
    ]


def changes(plan: Plan, options: dict[str, str], fingerprint: dict[str, Any]) -> list[str]:
    """Return what differs between a plan and the command given now, one phrase each."""
    found = [
        f"`{name}` was {plan.options.get(name)}, is {value}"
        for name, value in options.items()
        if plan.options.get(name) != value
    ]
    # Through JSON, as the plan's own copy went: tuples become lists.
    now = json.loads(json.dumps(to_json(fingerprint)))
    if now != plan.source_fingerprint:
        differing = [k for k in now if now[k] != plan.source_fingerprint.get(k)]
        found.append(f"the input is another one ({', '.join(differing) or 'fewer facts'})")
    return found
