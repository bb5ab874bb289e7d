"""Shared by the parts of gpu.py: the setting, rows that may fail, the device's memory."""

import gc
import resource
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

FAILED = "failed"
"""Beginning of a cell with an error instead of a figure."""


@dataclass(frozen=True)
class Setting:
    """The device to measure, and how thoroughly."""

    device: str
    clip: Path
    quick: bool

    @property
    def on_gpu(self) -> bool:
        """Whether the device has memory of its own."""
        return self.device.startswith("cuda")

    @property
    def half(self) -> str:
        """The half-precision type to measure on the device."""
        return "fp16" if self.on_gpu else "bf16"

    @property
    def sizes(self) -> list[tuple[int, int]]:
        """Width and height of clips."""
        return [(64, 64)] if self.quick else [(320, 180), (640, 360), (1280, 720)]

    @property
    def blocks(self) -> int:
        """Residual blocks of each branch."""
        return 1 if self.quick else 7

    @property
    def batches(self) -> tuple[int, ...]:
        """How many clips are computed together."""
        return (2,) if self.quick else (2, 4, 8)

    def frames(self, width: int) -> int:
        """Return the frames of a clip."""
        if self.quick:
            return 2
        return 5 if width > 1000 else 10


def attempt(label: str, work: Callable[[], list[str]]) -> list[str]:
    """Return a label and its cells, or the error that prevented them."""
    try:
        cells = work()
    except torch.OutOfMemoryError:
        cells = ["out of memory"]
    except SystemExit as error:  # what is only there by choice, like the reference
        cells = [f"not measured: {error}"]
    except Exception as error:
        cells = [f"{FAILED}: {str(error).partition(chr(10))[0] or type(error).__name__}"]
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    return [label, *cells]


def reset_peak(setting: Setting) -> None:
    """Start measuring the device's peak memory."""
    if setting.on_gpu:
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(setting.device)


def peak_bytes(setting: Setting) -> int:
    """Return the device's peak memory since `reset_peak`; on a CPU that of the process so far."""
    if setting.on_gpu:
        return torch.cuda.max_memory_allocated(setting.device)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def peak(setting: Setting) -> str:
    """Return `peak_bytes` for a table; empty for a CPU, where it includes earlier rows."""
    return f"{peak_bytes(setting) / 2**30:.1f} GiB" if setting.on_gpu else ""
