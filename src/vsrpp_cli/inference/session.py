"""Makes engines from models, options and a machine; no other module does.

Runs plan first and build engines later, often in another process; they use the functions. The
Python API and evaluation do both at once, for frames of any size; they use `Session`.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import prod

import torch

from vsrpp_cli.backends.select import Kernels
from vsrpp_cli.checkpoints.download import ResolvedModel
from vsrpp_cli.checkpoints.load import load_network
from vsrpp_cli.checkpoints.registry import DEFAULT_FRAME_CAP, DEFAULT_OVERLAP
from vsrpp_cli.inference.engine import Engine
from vsrpp_cli.inference.events import Event
from vsrpp_cli.inference.machine.device import (
    available_cores,
    default_threads,
    device_memory,
    resolve_devices,
    resolve_precision,
)
from vsrpp_cli.inference.machine.memory import default_limit
from vsrpp_cli.network.base import VideoNetwork
from vsrpp_cli.network.config import AnyConfig
from vsrpp_cli.options import Precision, UpscaleOptions
from vsrpp_cli.planning.budget import Geometry, Wishes, choose_geometry
from vsrpp_cli.planning.memory_model import Work, Writing


@dataclass(frozen=True, kw_only=True)
class ComputeSpec:
    """The device, and how the networks are computed on it."""

    device: str
    precision: Precision
    threads: int
    ensemble: bool = False
    guard: bool = True
    kernels: Kernels | None = None
    """Who computes the networks, where that was asked for."""
    notes: tuple[str, ...] = ()
    """Sentences about what was requested but is not available."""


def compute_spec(options: UpscaleOptions) -> ComputeSpec:
    """Return the device (the first of several), precision and threads to compute with.

    Raises:
        UsageError, DeviceError: see `inference.machine.device`.
    """
    device = resolve_devices(options.device)[0]
    threads, cores = options.threads or default_threads(), available_cores()
    notes = [f"{threads} threads were asked for, {cores} cores are there"] * (threads > cores)
    return ComputeSpec(
        device=str(device),
        precision=resolve_precision(options.precision, device),
        threads=min(threads, cores),
        ensemble=options.ensemble,
        guard=options.guard,
        kernels="compiled" if options.compile else "graphed" if options.graphs else None,
        notes=tuple(notes),
    )


def plan_geometry(
    models: Sequence[ResolvedModel],
    configs: Sequence[AnyConfig],
    size: tuple[int, int],
    compute: ComputeSpec,
    options: UpscaleOptions,
    *,
    longest: int | None = None,
    writing: Writing | None = None,
) -> Geometry:
    """Decide how frames are cut in time and space.

    Args:
        models: the chain.
        configs: the configurations of their networks.
        size: width and height of the input frames in pixels.
        compute: how they are computed.
        options: chunk, overlap, tile, memory limit, devices and workers that were asked for.
        longest: frames of the longest scene; None if not known.
        writing: the output; None where frames are returned to the caller.

    Raises:
        OutOfMemoryError: nothing fits.
        UsageError: the options are impossible.
    """
    width, height = size
    devices = resolve_devices(options.device)
    work = Work(
        width=width,
        height=height,
        networks=tuple(configs),
        precision=compute.precision,
        weights=sum(model.path.stat().st_size for model in models),
        ensemble=compute.ensemble,
        longest=longest,
        device_memory=device_memory(*devices, workers=options.workers or len(devices)),
        writing=writing,
        graphs=compute.kernels == "graphed",
    )
    return choose_geometry(work, _wishes(models, options), options.memory_limit or default_limit())


def _wishes(models: Iterable[ResolvedModel], options: UpscaleOptions) -> Wishes:
    """Return what the options ask of the geometry, completed by what the models need."""
    rows = [model.row for model in models if model.row is not None]
    overlap = options.overlap
    if overlap is None:
        overlap = max((row.overlap for row in rows), default=DEFAULT_OVERLAP)
    return Wishes(
        overlap=overlap,
        overlap_given=options.overlap is not None,
        cap=min((row.frame_cap for row in rows), default=DEFAULT_FRAME_CAP),
        chunk=options.chunk,
        tile=options.tile,
        tile_overlap=options.tile_overlap,
    )


def make_engine(
    networks: Sequence[VideoNetwork], compute: ComputeSpec, geometry: Geometry | None
) -> Engine:
    """Return an engine; without a geometry it computes whole frames."""
    return Engine(
        networks,
        device=torch.device(compute.device),
        precision=compute.precision,
        threads=compute.threads,
        ensemble=compute.ensemble,
        guard=compute.guard,
        kernels=compute.kernels,
        tile=None if geometry is None else geometry.tile,
        tile_overlap=0 if geometry is None else geometry.tile_overlap,
        batch=1 if geometry is None else geometry.batch,
    )


class Session:
    """A chain of models on a machine, for frames of any size.

    Args:
        models: the chain; their files are on this machine.
        options: what the user asked for.
        compute: as `compute_spec` returns it.
    """

    def __init__(
        self, models: Sequence[ResolvedModel], options: UpscaleOptions, compute: ComputeSpec
    ) -> None:
        self.models = list(models)
        self.compute = compute
        self._options = options
        self._engines: dict[Geometry | None, Engine] = {}

    @cached_property
    def networks(self) -> list[VideoNetwork]:
        """The networks, in float32, on the CPU; loaded on first use.

        Raises:
            CheckpointError: a file cannot be loaded.
        """
        return [load_network(model.path) for model in self.models]

    @property
    def scale(self) -> int:
        """Output size over input size."""
        return prod(network.config.scale for network in self.networks)

    @property
    def events(self) -> list[Event]:
        """What the user should know about the computation so far."""
        return [event for engine in self._engines.values() for event in engine.events]

    def geometry(self, width: int, height: int, longest: int | None = None) -> Geometry:
        """Return how frames of a size in pixels are cut; see `plan_geometry`."""
        configs = [network.config for network in self.networks]
        return plan_geometry(
            self.models, configs, (width, height), self.compute, self._options, longest=longest
        )

    def engine(self, geometry: Geometry | None) -> Engine:
        """Return the engine for a geometry, None for whole frames; made on first use."""
        if geometry not in self._engines:
            self._engines[geometry] = make_engine(self.networks, self.compute, geometry)
        return self._engines[geometry]
