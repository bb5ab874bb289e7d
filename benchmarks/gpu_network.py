"""Parts of gpu.py: the network against the reference, tiles together, and torch's compiler."""

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from math import isnan, log10
from typing import Any

import torch
from torch import Tensor

from gpu_setting import Setting, attempt, peak, reset_peak
from reference import moving_clip, reference_network, set_weights
from vsrpp_cli.backends.compiled import CompiledStages
from vsrpp_cli.backends.select import Kernels, prepare
from vsrpp_cli.network.basicvsrpp import BasicVSRPP
from vsrpp_cli.network.config import NetworkConfig
from vsrpp_cli.streaming.chunk_run import ChunkRun

Run = Callable[[Tensor], Iterable[Tensor]]
"""A network, ready: frames of a clip (T, 3, H, W), or (T, N, 3, H, W)."""
ENOUGH = 4.0
"""Seconds of computing a clip after which it is not computed again."""

DTYPES = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}


@dataclass(frozen=True)
class Candidate:
    """An implementation to measure."""

    label: str
    make: Callable[[], Run]
    batch: int = 1
    """Clips computed together."""


def reference(setting: Setting, dtype: str) -> Run:
    """Return the reference on the device."""
    kind = DTYPES[dtype]
    network = reference_network(setting.blocks).to(setting.device, kind)

    def run(clip: Tensor) -> Tensor:
        with torch.inference_mode():
            return network(clip[None].to(kind))[0]

    return run


def ours(
    setting: Setting, dtype: str, backend: str | None = None, kernels: Kernels = "library"
) -> Run:
    """Return this project's network on the device, through a backend of torch's compiler or not."""
    network = our_network(setting)
    stages: Any = prepare(network, device=setting.device, dtype=DTYPES[dtype], kernels=kernels)
    if backend:
        stages = CompiledStages(network, backend)
    return lambda clip: ChunkRun(stages, clip)


def our_network(setting: Setting) -> BasicVSRPP:
    """Return a network of the reference's size, with the reference's weights."""
    network = BasicVSRPP(NetworkConfig(blocks=setting.blocks))
    set_weights(network)
    return network


def eager(setting: Setting) -> Iterator[list[str]]:
    """Yield the rows without torch's compiler, the reference's first."""
    half = setting.half
    yield from network_rows(
        setting,
        [
            Candidate("reference, fp32", lambda: reference(setting, "fp32")),
            # torchvision's deformable convolution takes no bfloat16 on a CPU.
            *[Candidate(f"reference, {half}", lambda: reference(setting, half))] * setting.on_gpu,
            Candidate("fp32", lambda: ours(setting, "fp32")),
            Candidate(half, lambda: ours(setting, half)),
            Candidate(f"{half}, graphs", lambda: ours(setting, half, kernels="graphed")),
            *(
                Candidate(f"{half}, {n} together", lambda: ours(setting, half), n)
                for n in setting.batches
            ),
        ],
    )


def compiled(setting: Setting) -> Iterator[list[str]]:
    """Yield the rows with torch's compiler, next to those without."""
    half, backend = setting.half, "eager" if setting.quick else "inductor"
    yield from network_rows(
        setting,
        [
            Candidate(half, lambda: ours(setting, half)),
            Candidate(f"{half}, compiled", lambda: ours(setting, half, backend)),
        ],
    )


def network_rows(setting: Setting, candidates: list[Candidate]) -> Iterator[list[str]]:
    """Yield a row for each size and candidate."""
    for width, height in setting.sizes:
        series = Series(setting, width, height)
        for candidate in candidates:
            label = f"{width}x{height}, {candidate.label}"
            yield attempt(label, partial(series.row, candidate))


class Series:
    """Measures candidates on one clip; the others are compared with the first that works."""

    def __init__(self, setting: Setting, width: int, height: int) -> None:
        self._setting = setting
        self._clip = moving_clip(setting.frames(width), width, height).to(setting.device)
        self._expected: Tensor | None = None
        self._milliseconds: float | None = None

    def row(self, candidate: Candidate) -> list[str]:
        """Return milliseconds per frame, speed-up, PSNR against the first, and memory."""
        clip, count = self._clip, candidate.batch
        if count > 1:
            clip = clip[:, None].repeat(1, count, 1, 1, 1)
        run = candidate.make()
        reset_peak(self._setting)
        seen = glimpse(run(clip), batched=count > 1)
        spent = 1000 * best(self._setting, run, clip) / len(clip) / count
        if self._expected is None or self._milliseconds is None:
            self._expected, self._milliseconds = seen, spent
        cells = [f"{spent:.1f}", f"{self._milliseconds / spent:.2f}x"]
        return [*cells, closeness(seen, self._expected), peak(self._setting)]


def glimpse(frames: Iterable[Tensor], *, batched: bool) -> Tensor:
    """Return the even frames, of the first of several clips, on the CPU."""
    return torch.stack(
        [
            (frame[0] if batched else frame).float().cpu()
            for i, frame in enumerate(frames)
            if i % 2 == 0
        ]
    )


def best(setting: Setting, run: Run, clip: Tensor) -> float:
    """Return the smallest time of a clip in seconds, of three runs or of one slow one."""
    found = [seconds(setting, run, clip)]
    while not setting.quick and len(found) < 3 and sum(found) < ENOUGH:
        found.append(seconds(setting, run, clip))
    return min(found)


def seconds(setting: Setting, run: Run, clip: Tensor) -> float:
    """Return the seconds until the last frame of a clip is computed."""
    synchronize(setting)
    begin = time.perf_counter()
    for _ in run(clip):
        pass
    synchronize(setting)
    return time.perf_counter() - begin


def synchronize(setting: Setting) -> None:
    """Wait until the device has finished all queued work."""
    if setting.on_gpu:
        torch.cuda.synchronize(setting.device)


def closeness(result: Tensor, expected: Tensor) -> str:
    """Return the PSNR in dB of pictures in [0, 1]."""
    error = float((result - expected).square().mean())
    if isnan(error):
        raise RuntimeError("the result is not a number")
    return f"{-10 * log10(error):.1f} dB" if error else "same bits"
