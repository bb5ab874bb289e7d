"""Measures a machine's speed: each model at each size, in its own process.

Speed does not depend on weights, so a model that is not in the cache runs with random ones. Frames
are noise. Only the networks are measured, not decoding and encoding.
"""

import multiprocessing
import platform
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import psutil
import torch

from vsrpp_cli.checkpoints.cache import place_of
from vsrpp_cli.checkpoints.download import is_cached
from vsrpp_cli.checkpoints.load import load_network, new_network
from vsrpp_cli.checkpoints.registry import ModelRow, lookup
from vsrpp_cli.errors import VsrppError
from vsrpp_cli.inference.engine import Engine
from vsrpp_cli.inference.machine.device import device_name
from vsrpp_cli.inference.session import compute_spec, make_engine, plan_geometry
from vsrpp_cli.inference.window import Picture
from vsrpp_cli.network.base import VideoNetwork
from vsrpp_cli.options import UpscaleOptions
from vsrpp_cli.planning.chunks import Chunk

if sys.platform != "win32":
    import resource

Size = tuple[int, int]

FIRST_FRAMES = 4
"""Frames of the first pass, in which kernels are compiled, and of the second, which estimates how
many frames fit into the time."""
MOST_FRAMES = 60
"""Most frames of the last pass."""
DIFFERENT = 4
"""Different frames, which are repeated, so that the input takes little memory."""


@dataclass(frozen=True, kw_only=True)
class Result:
    """One model at one size."""

    model: str
    width: int
    height: int
    device: str = ""
    precision: str = ""
    threads: int = 0
    random_weights: bool = False
    frames: int = 0
    seconds: float = 0.0
    """Time to compute `frames`."""
    memory: int = 0
    """Peak of the process's resident memory in bytes."""
    device_memory: int = 0
    """Peak of memory allocated on a GPU in bytes."""
    skipped: str = ""
    """Why it was not measured; empty if it was."""

    @property
    def fps(self) -> float:
        """Frames a second."""
        return self.frames / self.seconds if self.seconds else 0.0


def run_bench(
    models: Sequence[str], sizes: Sequence[Size], options: UpscaleOptions, seconds: float
) -> Iterator[Result]:
    """Yield a result for each model and size as soon as it is measured.

    Args:
        models: names in the registry.
        sizes: widths and heights in pixels, the smallest first.
        options: device, precision, threads and other options of computing.
        seconds: the time for all measurements. Those that would take too long are skipped.

    Raises:
        UsageError: no such model or device, or an option is wrong.
    """
    rows = [lookup(name) for name in models]
    compute_spec(options)
    end = time.monotonic() + seconds
    left = len(rows) * len(sizes)
    for row in rows:
        pace = 0.0
        for size in sizes:
            budget = (end - time.monotonic()) / left
            left -= 1
            if 2 * FIRST_FRAMES * pace * size[0] * size[1] > budget:
                yield _skipped(row, size, "would take too long, see `seconds`")
                continue
            result = _in_a_process(row, size, options, budget)
            pace = result.seconds / result.frames / (size[0] * size[1]) if result.frames else 0.0
            yield result


def _skipped(row: ModelRow, size: Size, why: str) -> Result:
    return Result(model=row.name, width=size[0], height=size[1], skipped=why)


def _in_a_process(row: ModelRow, size: Size, options: UpscaleOptions, budget: float) -> Result:
    """Measure in a new process, so that the peak of memory is that of this measurement."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        try:
            return pool.submit(measure, row.name, size, options, budget).result()
        except BrokenProcessPool:
            return _skipped(row, size, "the process was killed, probably for want of memory")
        except VsrppError as error:
            return _skipped(row, size, str(error))


def measure(name: str, size: Size, options: UpscaleOptions, budget: float) -> Result:
    """Measure one model at one size for about `budget` seconds, at least two short passes.

    Raises:
        VsrppError: the network cannot run here.
    """
    started, row = time.monotonic(), lookup(name)
    network, compute = _network(row), compute_spec(options)
    geometry = plan_geometry([], [network.config], size, compute, options, longest=MOST_FRAMES)
    engine = make_engine([network], compute, geometry)
    _seconds(engine, size, FIRST_FRAMES)
    frames, seconds = FIRST_FRAMES, _seconds(engine, size, FIRST_FRAMES)
    fitting = int((budget - (time.monotonic() - started)) / (seconds / frames))
    more = min(fitting, geometry.chunk, MOST_FRAMES)
    if more > frames:
        frames, seconds = more, _seconds(engine, size, more)
    on_gpu = torch.device(compute.device).type == "cuda"
    return Result(
        model=row.name,
        width=size[0],
        height=size[1],
        device=compute.device,
        precision=compute.precision,
        threads=compute.threads,
        random_weights=not is_cached(row),
        frames=frames,
        seconds=round(seconds, 3),
        memory=peak_memory(),
        device_memory=torch.cuda.max_memory_allocated() if on_gpu else 0,
    )


def _network(row: ModelRow) -> VideoNetwork:
    if is_cached(row):
        return load_network(place_of(row))
    return new_network(row.config).eval().requires_grad_(requires_grad=False)


def _seconds(engine: Engine, size: Size, count: int) -> float:
    """Compute `count` frames as one chunk; return how long it took."""
    frames = _frames(size, count)
    started = time.perf_counter()
    for _ in engine.upscale(frames, [Chunk(0, count, 0, count)]):
        pass
    return time.perf_counter() - started


def _frames(size: Size, count: int) -> list[Picture]:
    rng = np.random.default_rng(1)
    made = rng.random((DIFFERENT, 3, size[1], size[0]), dtype=np.float32)
    return [made[index % DIFFERENT] for index in range(count)]


def peak_memory() -> int:
    """Return the largest resident size of this process so far, in bytes."""
    if sys.platform == "win32":
        return int(psutil.Process().memory_info().peak_wset)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def processor_name(device: str) -> str:
    """Return the name of the processor or GPU, by its maker if that is known."""
    if device.startswith("cuda"):
        return device_name(torch.device(device))
    lines = Path("/proc/cpuinfo")
    if lines.is_file():
        for line in lines.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
