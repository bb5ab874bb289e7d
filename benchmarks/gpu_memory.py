"""The part of gpu.py that measures memory against what the planner predicts."""

from collections.abc import Iterator
from dataclasses import replace
from functools import partial

import numpy as np
import torch

from gpu_setting import Setting, attempt, peak_bytes, reset_peak
from memory import Row, chunks_of
from vsrpp_cli.checkpoints.load import new_network
from vsrpp_cli.inference.engine import Engine
from vsrpp_cli.planning.memory_model import predict_engine


def memory(setting: Setting) -> Iterator[list[str]]:
    """Yield rows of chunks, with measured and predicted memory."""
    for row, batch in chunks(setting):
        yield attempt(name_of(row, batch), partial(cells, setting, row, batch))


def name_of(row: Row, batch: int) -> str:
    """Return the label of a row computed with so many tiles together."""
    tiles = f", {batch} of {row.tile[0]}x{row.tile[1]} together" if row.tile else ""
    return f"{row.network}, {row.precision}, {row.width}x{row.height}, {row.frames} frames{tiles}"


def chunks(setting: Setting) -> list[tuple[Row, int]]:
    """Return what is computed, and how many tiles together.

    On a CPU a single row: there the peak of the whole process is measured.
    """
    half = setting.half
    if not setting.on_gpu:
        size = setting.sizes[0]
        return [(Row("compact", half, *size, 3), 1)]
    whole = [
        Row("64 channels", half, 320, 180, 4),
        Row("64 channels", half, 320, 180, 20),
        Row("64 channels", "fp32", 320, 180, 8),
        Row("64 channels", half, 640, 360, 8),
        Row("compact", half, 640, 360, 8),
        Row("64 channels, same size", half, 640, 360, 8),
        Row("real-basicvsr", half, 320, 180, 8),
        Row("64 channels", half, 1280, 720, 8),
    ]
    tiled = Row("64 channels", half, 640, 360, 8, (344, 204))
    if setting.quick:
        return [(whole[0], 1), (tiled, 4)]
    return [*((row, 1) for row in whole), *((tiled, batch) for batch in (1, 2, 4))]


def cells(setting: Setting, row: Row, batch: int) -> list[str]:
    """Compute a chunk; return bytes predicted and measured, the error, and what torch reserved."""
    own = torch.cuda.get_device_properties(setting.device).total_memory if setting.on_gpu else None
    work = replace(row.work, device_memory=own)
    need = predict_engine(work, row.frames, row.tile, row.overlap, batch)
    predicted = need.device if setting.on_gpu else need.host
    reset_peak(setting)
    compute_chunks(setting, row, batch)
    measured = peak_bytes(setting)
    error = f"{100 * (predicted / measured - 1):+.0f} %"
    figures = [f"{predicted / 1e6:.0f} MB", f"{measured / 1e6:.0f} MB", error]
    if setting.on_gpu:  # torch takes more from the device than it hands out
        figures.append(f"{torch.cuda.max_memory_reserved(setting.device) / 1e6:.0f} MB")
    return figures


def compute_chunks(setting: Setting, row: Row, batch: int) -> None:
    """Compute a row's chunk as a run would."""
    engine = Engine(
        [new_network(config) for config in row.work.networks], device=torch.device(setting.device),
        precision=row.precision, tile=row.tile, tile_overlap=row.overlap, batch=batch,
    )  # fmt: skip
    noise, shape = np.random.default_rng(1), (3, row.height, row.width)
    computed = chunks_of(row)
    frames = (noise.random(shape, dtype=np.float32) for _ in range(computed[-1].stop))
    for _ in engine.upscale(frames, computed):
        pass
    if retreats := [event.text for event in engine.events if event.kind == "memory"]:
        raise RuntimeError(retreats[0])
