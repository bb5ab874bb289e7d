"""The report of a run: filled in while it runs, shown at its end, and written to a file."""

import os
from collections.abc import Collection
from dataclasses import asdict, dataclass, field
from typing import Any

from vsrpp_cli.planning.chunks import computed_per_kept
from vsrpp_cli.records import to_json
from vsrpp_cli.runs.account import Account
from vsrpp_cli.runs.amounts import counted, size
from vsrpp_cli.runs.plans.plan import Plan


@dataclass(kw_only=True)
class Report(Account):
    """The report of one run; plain values only, so that it can be written as JSON."""

    input: str
    output: str
    frames: int = 0
    size: tuple[int, int] = (0, 0)
    """Width and height of the output in pixels."""
    model: str = ""
    device: str = ""
    precision: str = ""
    threads: int = 0
    kernels: str = ""
    geometry: dict[str, Any] = field(default_factory=dict)
    segments: int = 0
    segments_reused: int = 0
    frames_computed: int = 0
    """Kept frames that were computed this time; the others were finished before."""
    computed_per_kept: float = 0.0
    seconds: dict[str, float] = field(default_factory=dict)
    """Wall time of `scan`, `rehearse`, `connect`, `load`, `compute`, `join` and `verify`."""
    rehearsal: list[str] = field(default_factory=list)
    """What the rehearsal found that cannot be kept; also among the notes."""
    chunks_recomputed: int = 0
    """How often the guard had something recomputed in float32."""
    events: list[str] = field(default_factory=list)
    """Slow paths taken, retries, warnings: one sentence each."""
    notes: list[str] = field(default_factory=list)
    """What was guessed, repaired, changed or dropped of the source: one sentence each."""
    output_bytes: int = 0

    @property
    def made(self) -> str:
        """The output's absolute path; `-` for standard output."""
        return self.output if self.output == "-" else os.path.abspath(self.output)  # noqa: PTH100 - a text, which may hold `..`

    @property
    def fps(self) -> float:
        """Frames computed a second of computing."""
        seconds = self.seconds.get("compute", 0.0)
        return self.frames_computed / seconds if seconds else 0.0

    def describe(self, plan: Plan) -> None:
        """Fill in what the plan determines."""
        encode = plan.output.encode
        self.frames = plan.frames
        self.size = (encode.width, encode.height)
        self.model = ",".join(model.name for model in plan.models)
        self.device, self.precision = plan.compute.device, plan.compute.precision
        self.threads = plan.compute.threads
        self.geometry = to_json(plan.geometry)
        self.segments = len(plan.segments)
        self.computed_per_kept = round(computed_per_kept(plan.segments), 3)
        self.notes += plan.notes
        if plan.rehearsed is not None:
            self.rehearsal = list(plan.rehearsed.findings)

    def record(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return {**asdict(self), "fps": round(self.fps, 3)}

    def summary(self, told: Collection[str] = ()) -> list[str]:
        """Return the lines shown at the end of a run, without the notes `told` before."""
        if self.status == "skipped":
            return [f"{self.output} exists: skipped"]
        width, height = self.size
        total = sum(self.seconds.values())
        lines = [
            f"{self.output}: {counted(self.frames, 'frame')}, {width}x{height}, "
            f"{size(self.output_bytes)}, {total:.1f} s"
            + (f" ({self.fps:.2f} frames/s while computing)" if self.frames_computed else ""),
            ", ".join(
                filter(None, (f"{self.model} on {self.device}", self.precision, self.kernels))
            ),
        ]
        if self.segments_reused:
            lines.append(f"{self.segments_reused} of {self.segments} segments were there already")
        lines += [f"note: {text}" for text in (*self.notes, *self.events) if text not in told]
        return lines

    def details(self) -> list[str]:
        """Return the lines that `-v` adds: segments, chunks, tiles, memory and time of phases."""
        geometry = self.geometry
        tile = f"{geometry['tile_w']}x{geometry['tile_h']}" if geometry.get("tile_w") else "none"
        spent = ", ".join(f"{phase} {seconds:.1f} s" for phase, seconds in self.seconds.items())
        return [
            f"segments: {self.segments}, {self.segments_reused} from before",
            f"chunks: at most {geometry.get('chunk')} frames, overlap {geometry.get('overlap')}",
            f"tiles: {tile}, overlap {geometry.get('tile_overlap')}",
            f"threads: {self.threads}",
            f"memory: {geometry.get('memory', 0) / 2**30:.1f} GiB predicted",
            f"rehearsal: {'; '.join(self.rehearsal) or 'nothing that cannot be kept'}",
            f"time: {spent or 'none'}",
        ]
