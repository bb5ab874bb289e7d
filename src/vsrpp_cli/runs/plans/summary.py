"""A plan in a few lines for people."""

from pathlib import Path

from vsrpp_cli.checkpoints.load import read_config
from vsrpp_cli.options import UpscaleOptions
from vsrpp_cli.planning.chunks import computed_per_kept
from vsrpp_cli.runs.plans.plan import ModelRecord, Plan
from vsrpp_cli.runs.plans.speed import seconds_per_frame
from vsrpp_cli.runs.work.disk import needed
from vsrpp_cli.runs.work.workfolder import WorkFolder


def outline(plan: Plan, options: UpscaleOptions) -> list[tuple[str, str]]:
    """Return names and texts of what a plan decides."""
    source, encode, geometry = plan.source, plan.output.encode, plan.geometry
    chunks = sum(len(segment.chunks) for segment in plan.segments)
    tile = f"{geometry.tile_w}x{geometry.tile_h}" if geometry.tile_w else "none"
    together = f", {geometry.batch} at a time" if geometry.batch > 1 else ""
    output = Path(plan.output.path)
    work = WorkFolder.of(output, options.work_dir).path
    room = needed(plan, work=work, output=output)
    configs = [read_config(Path(model.path)) for model in plan.models]
    seconds = seconds_per_frame(source, configs, plan.compute) * computed_per_kept(plan.segments)
    lines = [
        ("input", f"{source.path}: {source.codec} {source.width}x{source.height} {source.pix_fmt}"),
        ("frames", f"{plan.frames} in {len(plan.scan.cuts) + 1} scenes"),
        ("output", f"{output}: {encode.codec} {encode.width}x{encode.height} {encode.pix_fmt}"),
        ("model", ", ".join(map(_named, plan.models))),
        (
            "device",
            f"{plan.compute.device}, {plan.compute.precision}, {plan.compute.threads} threads",
        ),
        (
            "segments",
            f"{len(plan.segments)} with {chunks} chunks of at most {geometry.chunk} frames",
        ),
        ("computed", f"{computed_per_kept(plan.segments):.3f} frames for each one kept"),
        ("tiles", f"{tile}, overlap {geometry.tile_overlap}{together}"),
        ("memory", f"{geometry.memory / 2**30:.1f} GiB at most"),
        ("disk", ", ".join(f"{size / 1e6:.0f} MB at {place}" for place, size in room.items())),
        ("time", f"about {_duration(seconds * plan.frames)}, a rough guess"),
    ]
    return lines + [("note", note) for note in plan.notes]


def _named(model: ModelRecord) -> str:
    return f"{model.name} ({model.why})" if model.why else model.name


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"
