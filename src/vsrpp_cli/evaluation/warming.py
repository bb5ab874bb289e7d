"""Compiles in advance what a run on the CPU would compile at first use, by small runs of each kind.

Numba compiles a loop for the types of its arguments: the precision of the network, and the bit
depth of input and output. It caches the results on disk until the sources of the loops, numba or
the processor change. They do not depend on the model or on the size of frames.
"""

import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numba.core.event
import numpy as np
import torch

from vsrpp_cli.inference.machine.device import resolve_precision
from vsrpp_cli.options import Precision, UpscaleOptions
from vsrpp_cli.runs.run import upscale

SIZE = (128, 64)
TILE = "96"
"""Smaller than the frame: frames from tiles are passed to the encoder as integers."""
FRAMES = 3
DEPTHS = {"420mpeg2": 8, "420p10": 10}
"""Bits of Y4M's colour spaces; loops are compiled separately for values of one and of two bytes."""


@dataclass(frozen=True, kw_only=True)
class Warmed:
    """What was compiled."""

    functions: tuple[str, ...]
    """Names in order, once for each combination of types; empty if everything was in the cache."""
    folders: tuple[Path, ...]
    """Where the results are cached; empty if there is no writable folder."""
    seconds: float
    """Time it took."""


def warm() -> Warmed:
    """Compile what is not in the cache for the included model, 8 and 10 bits, on this processor.

    Raises:
        VsrppError: a run failed.
    """
    started, found = time.perf_counter(), []
    with (
        tempfile.TemporaryDirectory() as folder,
        numba.core.event.install_recorder("numba:compile") as recorder,
    ):
        for colours, depth in DEPTHS.items():
            clip = _clip(Path(folder, f"{depth}.y4m"), colours, depth)
            for number, (precision, tile) in enumerate(_ways()):
                _run(clip, Path(folder, f"{depth}_{number}.mkv"), precision, tile)
    for _, event in recorder.buffer:
        dispatcher = event.data["dispatcher"]
        if event.is_start and dispatcher.py_func.__module__.startswith("vsrpp_cli"):
            found.append(dispatcher)
    return Warmed(
        functions=tuple(dispatcher.py_func.__name__ for dispatcher in found),
        folders=tuple(sorted({Path(path) for d in found if (path := d.stats.cache_path)})),
        seconds=time.perf_counter() - started,
    )


def _ways() -> list[tuple[Precision, str]]:
    """Return precisions and tiles: those that runs here choose or are often given."""
    usual = resolve_precision("auto", torch.device("cpu"))
    whole: list[tuple[Precision, str]] = [(usual, "off"), (usual, TILE)]
    return whole if usual == "fp32" else [*whole, ("fp32", "off")]


def _clip(path: Path, colours: str, depth: int) -> Path:
    """Write moving noise as Y4M; independent noise in each frame would be a scene each."""
    width, height = SIZE
    rng = np.random.default_rng(0)
    planes = [
        rng.integers(0, 1 << depth, shape, np.uint16).astype("<u2" if depth > 8 else np.uint8)
        for shape in ((height, width), *[(height // 2, width // 2)] * 2)
    ]
    with path.open("wb") as file:
        file.write(f"YUV4MPEG2 W{width} H{height} F25:1 Ip C{colours}\n".encode())
        for shift in range(FRAMES):
            file.write(b"FRAME\n")
            file.writelines(np.roll(plane, shift, axis=1).tobytes() for plane in planes)
    return path


def _run(clip: Path, output: Path, precision: Precision, tile: str) -> None:
    options = UpscaleOptions(
        model="compact", device="cpu", precision=precision, tile=tile, offline=True, codec="ffv1"
    )
    upscale(clip, output, options)
