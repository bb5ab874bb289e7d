"""A plan in a few lines for people."""

from pathlib import Path

from vsrpp_cli.checkpoints.load import read_config
from vsrpp_cli.options import UpscaleOptions
from vsrpp_cli.planning.chunks import computed_per_kept
from vsrpp_cli.runs.amounts import about, counted, size
from vsrpp_cli.runs.plans.plan import ModelRecord, Plan
from vsrpp_cli.runs.plans.speed import seconds_per_frame
from vsrpp_cli.runs.work.disk import Done, needed
from vsrpp_cli.runs.work.workfolder import WorkFolder


def preamble(plan: Plan, *, work: Path, done: Done) -> list[str]:
    """Return a summary of the plan in two lines.

    Args:
        plan: the run.
        work: its work folder.
        done: what of it was done before.
    """
    source, encode, compute = plan.source, plan.output.encode, plan.compute
    output = Path(plan.output.path)
    left = _seconds(plan) * (1 - done.frames / plan.frames)
    room = max(needed(plan, work=work, output=output, done=done).values(), default=0)
    frames = f"{counted(plan.frames, 'frame')} of {source.width}x{source.height}"
    made = f"{encode.width}x{encode.height}, {encode.codec}, {encode.pix_fmt}"
    models = ",".join(model.name for model in plan.models)
    time = f"{about(left)} (a rough guess)"
    memory, disk = size(plan.geometry.memory), size(room)
    return [
        f"{Path(source.path).name}: {frames} to {output.name}: {made}",
        f"{models} on {compute.device} in {compute.precision}: {time}, {memory} RAM, {disk} disk",
    ]


def _seconds(plan: Plan) -> float:
    """Return a guess of how long it takes to compute the whole run."""
    configs = [read_config(Path(model.path)) for model in plan.models]
    pace = seconds_per_frame(plan.source, configs, plan.compute)
    return pace * computed_per_kept(plan.segments) * plan.frames


def outline(plan: Plan, options: UpscaleOptions) -> list[tuple[str, str]]:
    """Return names and texts of what a plan decides."""
    source, encode, geometry = plan.source, plan.output.encode, plan.geometry
    compute = plan.compute
    cut = counted(sum(len(segment.chunks) for segment in plan.segments), "chunk")
    frames = counted(geometry.chunk, "frame")
    tile = f"{geometry.tile_w}x{geometry.tile_h}" if geometry.tile_w else "none"
    together = f", {geometry.batch} at a time" if geometry.batch > 1 else ""
    output = Path(plan.output.path)
    work = WorkFolder.of(output, options.work_dir).path
    room = needed(plan, work=work, output=output)
    lines = [
        ("input", f"{source.path}: {source.codec} {source.width}x{source.height} {source.pix_fmt}"),
        ("frames", f"{plan.frames} in {counted(len(plan.scan.cuts) + 1, 'scene')}"),
        ("output", f"{output}: {encode.codec} {encode.width}x{encode.height} {encode.pix_fmt}"),
        ("model", ", ".join(map(_named, plan.models))),
        ("device", f"{compute.device}, {compute.precision}, {counted(compute.threads, 'thread')}"),
        ("segments", f"{len(plan.segments)} with {cut} of at most {frames}"),
        ("computed", f"{computed_per_kept(plan.segments):.3f} frames for each one kept"),
        ("tiles", f"{tile}, overlap {geometry.tile_overlap}{together}"),
        ("memory", f"{geometry.memory / 2**30:.1f} GiB at most"),
        ("disk", ", ".join(f"{size(count)} at {place}" for place, count in room.items())),
        ("time", f"{about(_seconds(plan))}, a rough guess"),
    ]
    return lines + [("note", note) for note in plan.notes]


def _named(model: ModelRecord) -> str:
    return f"{model.name} ({model.why})" if model.why else model.name
