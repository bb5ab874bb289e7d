"""Makes a plan from a command: looks at input, models and machine, and decides everything."""

import platform
from collections.abc import Callable
from dataclasses import replace
from importlib.metadata import version as installed
from itertools import pairwise
from math import prod
from pathlib import Path

from vsrpp_cli.checkpoints.download import AUTO, ResolvedModel, asks_for_auto, resolve_chain
from vsrpp_cli.checkpoints.load import read_config
from vsrpp_cli.checkpoints.transfer import OnProgress as OnDownload
from vsrpp_cli.inference.machine.device import cpu_capability
from vsrpp_cli.inference.session import compute_spec, plan_geometry
from vsrpp_cli.media.compression import compression_of
from vsrpp_cli.media.encode.encoder_memory import encoder_ways
from vsrpp_cli.media.encode.selection import resolve
from vsrpp_cli.media.mux.stream_selection import scan_and_plan_streams
from vsrpp_cli.media.output.protocol import output_of
from vsrpp_cli.media.source import FrameSource
from vsrpp_cli.media.types import OutputPlan, Scan, SourceInfo
from vsrpp_cli.network.config import AnyConfig
from vsrpp_cli.options import UpscaleOptions
from vsrpp_cli.planning.budget import segment_frames
from vsrpp_cli.planning.chunks import plan_segments
from vsrpp_cli.planning.memory_model import Writing
from vsrpp_cli.runs.destination import check_input, output_name, resolve_output
from vsrpp_cli.runs.plans.plan import VERSION, Decoding, ModelRecord, Plan
from vsrpp_cli.runs.plans.speed import seconds_per_frame
from vsrpp_cli.version import __version__

OnScan = Callable[[int, int | None], None]
"""Called with frames scanned and the estimated total."""


def open_input(path: Path, options: UpscaleOptions) -> FrameSource:
    """Open the input of a run as the options say."""
    return _decoding(options).open(path)


def _decoding(options: UpscaleOptions) -> Decoding:
    return Decoding(
        video_track=options.video_track, fps=options.fps, deinterlace=options.deinterlace
    )


def make_plan(
    source: FrameSource,
    output: Path,
    options: UpscaleOptions,
    *,
    models: list[ResolvedModel] | None = None,
    on_scan: OnScan | None = None,
) -> Plan:
    """Decide a whole run; reads the input once from end to end, computes nothing.

    Raises:
        VsrppError: the input, the models or the machine do not allow what the options ask.
    """
    compute = compute_spec(options)
    models = models if models is not None else resolve_models(options, compute.device, source.info)
    configs = [read_config(model.path) for model in models]
    scale = prod(config.scale for config in configs)
    settings = resolve(source.info, options, output, scale=scale, threads=compute.threads)
    scan, streams = scan_and_plan_streams(
        source, settings, options, scenes=options.scenes == "auto", on_progress=on_scan
    )
    target = OutputPlan(path=str(output.absolute()), encode=settings, streams=streams)
    output_of(target).check(scan.frames)
    ways = encoder_ways(settings, free=not options.encoder_options)
    geometry = plan_geometry(
        models,
        configs,
        (source.info.width, source.info.height),
        compute,
        options,
        longest=longest_scene(scan),
        writing=Writing(
            width=settings.width,
            height=settings.height,
            encoders=tuple(way.memory for way in ways),
        ),
    )
    return Plan(
        version=VERSION,
        software=software(),
        options=options.content(),
        source=source.info,
        source_fingerprint=source.fingerprint(),
        scan=scan,
        models=tuple(_record(m, c) for m, c in zip(models, configs, strict=True)),
        compute=compute,
        geometry=geometry,
        segments=plan_segments(
            scan.frames,
            scan.cuts,
            chunk=geometry.chunk,
            overlap=geometry.overlap,
            segment=options.segment
            or segment_frames(geometry, seconds_per_frame(source.info, configs, compute)),
        ),
        output=replace(target, encode=ways[geometry.encoder].settings),
        decoding=_decoding(options),
    )


def plan_only(input: str, output: str | None, options: UpscaleOptions) -> Plan:
    """Plan a run without leaving anything behind.

    Raises:
        VsrppError: as `make_plan`, or the names mean nothing.
    """
    source = check_input(input)
    target = resolve_output(output or output_name(source), source)
    return make_plan(open_input(source, options), target, options)


def resolve_models(
    options: UpscaleOptions,
    device: str,
    info: SourceInfo | None = None,
    on_progress: OnDownload | None = None,
) -> list[ResolvedModel]:
    """Find, and where needed fetch, the files of the chain of models.

    Args:
        options: what the user asked for.
        device: where the networks run.
        info: the source, which decides what `auto` means; without one it counts as clean.
        on_progress: told of downloads.
    """
    compression = None
    if info is not None and asks_for_auto(options.model):
        compression = compression_of(info)
    models = resolve_chain(
        options.model,
        device_kind=device.partition(":")[0],
        compressed=compression is not None and compression.strong,
        offline=options.offline,
        on_progress=on_progress,
    )
    if compression is None:
        return models
    names = options.model.split(",")
    return [
        replace(model, why=compression.text) if name.strip() == AUTO else model
        for name, model in zip(names, models, strict=True)
    ]


def longest_scene(scan: Scan) -> int:
    """Return the frames of the longest scene."""
    return max(stop - start for start, stop in pairwise([0, *scan.cuts, scan.frames]))


def _record(model: ResolvedModel, config: AnyConfig) -> ModelRecord:
    return ModelRecord(
        name=model.name,
        path=str(model.path),
        sha256=model.sha256,
        scale=config.scale,
        why=model.why,
    )


def software() -> dict[str, str]:
    """Return the versions and the machine that identical frames depend on."""
    packages = ("torch", "torchvision", "av", "numpy", "numba")
    return {
        "vsrpp": __version__,
        **{name: installed(name) for name in packages},
        "machine": platform.machine(),
        "cpu": cpu_capability(),
    }
