"""The part of gpu.py that measures whole runs, and decoding and encoding alone."""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import torch

from gpu_network import our_network
from gpu_setting import Setting, attempt
from vsrpp_cli.media.encode.selection import resolve
from vsrpp_cli.media.encode.writer import SegmentWriter
from vsrpp_cli.media.source import open_source
from vsrpp_cli.media.types import Frame
from vsrpp_cli.options import UpscaleOptions

FRAMES = 60
"""The most frames of a clip: those that are encoded again are held in memory."""


def whole(setting: Setting) -> Iterator[list[str]]:
    """Yield a row for each of two models, with and without CUDA graphs."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        models = [("compact", "compact")]
        if not setting.quick:
            models.append(("64 channels", str(checkpoint(setting, folder))))
        for label, model in models:
            yield attempt(label, partial(cells, setting, model, folder))
            graphs = partial(cells, setting, model, folder, "--graphs")
            yield attempt(f"{label}, --graphs", graphs)


def checkpoint(setting: Setting, folder: Path) -> Path:
    """Write a network of the reference's size and return the path."""
    path = folder / "64.pth"
    state = our_network(setting).state_dict()
    torch.save({"state_dict": {f"generator.{name}": value for name, value in state.items()}}, path)
    return path


def cells(setting: Setting, model: str, folder: Path, *options: str) -> list[str]:
    """Return frames, seconds by phase, and how long reading and encoding take by themselves."""
    made, report = folder / "out.mp4", folder / "report.json"
    command = [sys.executable, "-m", "vsrpp_cli", "upscale", setting.clip, made, "-m", model, "-y",
               "--device", setting.device, "--report", report, "-q", *options,
               "--frames", 3 if setting.quick else FRAMES]  # fmt: skip
    done = subprocess.run([*map(str, command)], check=False, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(done.stderr.strip().splitlines()[-1])
    told = json.loads(report.read_text())
    phases = told["seconds"]
    computing = phases["compute"]
    decoding, _ = reading(setting.clip, told["frames"])
    encoding = writing(made, told["frames"])
    return [
        str(told["frames"]), f"{sum(phases.values()):.2f}", f"{computing:.2f}",
        *(f"{spent:.2f} ({100 * spent / computing:.0f} %)" for spent in (decoding, encoding)),
    ]  # fmt: skip


def reading(clip: Path, count: int) -> tuple[float, list[Any]]:
    """Return the seconds of decoding and converting frames, and the frames."""
    source = open_source(clip)
    scan = source.scan(scenes=False, frames=count)
    begin = time.perf_counter()
    frames = [frame.rgb for frame in source.read(scan, 0, scan.frames)]
    return time.perf_counter() - begin, frames


def writing(made: Path, count: int) -> float:
    """Return the seconds of encoding a run's frames again, as the run does."""
    _, frames = reading(made, count)
    path, cores = made.with_name("again.mkv"), os.cpu_count() or 1
    info = open_source(made).info
    settings = resolve(info, UpscaleOptions(), made, scale=1, threads=cores)
    begin = time.perf_counter()
    with SegmentWriter(path, settings) as writer:
        for index, rgb in enumerate(frames):
            writer.write(Frame(index, rgb))
        writer.close()
    return time.perf_counter() - begin
