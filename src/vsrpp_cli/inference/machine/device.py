"""Chooses the device, the precision, the kernels and the number of threads."""

import os
import platform
import re
from collections.abc import Iterator
from pathlib import Path

import torch

from vsrpp_cli.backends.select import Kernels
from vsrpp_cli.errors import DeviceError, UsageError
from vsrpp_cli.inference.machine.cgroups import ROOT, settings
from vsrpp_cli.network.config import AnyConfig
from vsrpp_cli.options import PRECISIONS, Precision, PrecisionWish

DTYPES = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}

_BFLOAT16_ISAS = ("BF16", "AMX", "FP16", "AVX10", "ALL", "DEFAULT")
"""Parts of oneDNN's names of instruction sets that have bfloat16."""

DEVICE_SHARE = 0.85
"""Share of a device's own memory that a run may use."""


def available_devices() -> list[str]:
    """Return the names of this machine's devices: `cpu`, `mps`, `cuda:N`."""
    found = ["cpu"]
    if torch.backends.mps.is_available():
        found.append("mps")
    return found + [f"cuda:{index}" for index in range(torch.cuda.device_count())]


def resolve_device(text: str) -> torch.device:
    """Return the device that `auto`, `cpu`, `cuda`, `cuda:N` or `mps` means here.

    Raises:
        DeviceError: this machine has no such device; the message names those it has.
        UsageError: it is none of these words.
    """
    there = available_devices()
    if not re.fullmatch(r"auto|cpu|mps|cuda(:\d+)?", text):
        raise UsageError(f"`device={text!r}`: must be auto, cpu, cuda, cuda:N or mps")
    name = "cuda:0" if text == "cuda" else text
    if text == "auto":
        name = "cuda:0" if "cuda:0" in there else there[-1]
    if name not in there:
        raise DeviceError(f"`device={text!r}`: not on this machine, which has {', '.join(there)}")
    return torch.device(name)


def resolve_devices(text: str) -> tuple[torch.device, ...]:
    """Return the devices a run may use: those named, separated by commas, or all GPUs.

    `auto` and `cuda` mean all GPUs (`auto` the best other device if there is none); any other name
    is resolved by `resolve_device`.

    Raises:
        DeviceError: this machine does not have one of them.
        UsageError: a name is invalid or repeated, or the devices are of several kinds.
    """
    if text in ("auto", "cuda"):
        best = resolve_device(text)
        count = torch.cuda.device_count() if best.type == "cuda" else 1
        return tuple(torch.device("cuda", k) for k in range(count)) if count > 1 else (best,)
    devices = tuple(resolve_device(name.strip()) for name in text.split(","))
    if len(set(devices)) < len(devices):
        raise UsageError(f"`device={text!r}`: names a device twice")
    if len({device.type for device in devices}) > 1:
        raise UsageError(f"`device={text!r}`: must be devices of one kind")
    return devices


def resolve_precision(text: PrecisionWish, device: torch.device) -> Precision:
    """Return the precision to compute in.

    `auto` is float16 on a GPU; on a CPU bfloat16 if it has instructions for it, else float32. A
    precision given by name is used even where it is slow.

    Raises:
        UsageError: `text` is not a precision, or the device cannot compute in it.
    """
    if text not in PRECISIONS:
        raise UsageError(f"`precision={text!r}`: must be one of {', '.join(PRECISIONS)}")
    if text == "bf16" and device.type == "cuda" and not torch.cuda.is_bf16_supported():
        raise UsageError(f"`precision={text!r}`: {device_name(device)} cannot, fp16 would be fast")
    if text != "auto":
        return text
    if device.type != "cpu":
        return "fp16"
    return "bf16" if has_fast_bfloat16() else "fp32"


def has_fast_bfloat16() -> bool:
    """Return whether PyTorch can use bfloat16 instructions of this CPU."""
    # These variables limit the instructions of oneDNN, which computes the convolutions.
    limit = os.environ.get("ONEDNN_MAX_CPU_ISA", os.environ.get("DNNL_MAX_CPU_ISA", ""))
    if limit and not any(word in limit.upper() for word in _BFLOAT16_ISAS):
        return False
    able = torch.cpu.get_capabilities()
    return bool(able.get("amx_bf16") or able.get("avx512_bf16") or able.get("bf16"))


def choose_kernels(device: torch.device, precision: Precision, config: AnyConfig) -> Kernels:
    """Return the fastest kernels for a network on this machine, torch's compiler left out."""
    vectors = config.channels % 16 == 0 and config.hr_channels % 16 == 0
    if device.type != "cpu" or precision == "fp16" or not vectors:
        return "library"
    able = torch.cpu.get_capabilities()
    wide = able.get("avx512_f") or (able.get("avx2") and able.get("fma3"))
    # With AMX, oneDNN is faster in bfloat16; without wide vectors "fused" is a guess.
    matrices = precision == "bf16" and able.get("amx_bf16")
    return "winograd" if wide and not matrices else "fused"


def cpu_capability() -> str:
    """Return the instruction set that results depend on, e.g. `AVX512 bf16`."""
    name = torch.backends.cpu.get_cpu_capability()
    return f"{name} bf16" if has_fast_bfloat16() else name


def available_cores(root: Path = ROOT) -> int:
    """Return how many cores this process may use by its CPU affinity and its container's quota.

    Args:
        root: the folder that contains the `proc` and `sys` of control groups.
    """
    cores = os.cpu_count() or 1
    if hasattr(os, "sched_getaffinity"):
        cores = len(os.sched_getaffinity(0))
    # Quotas are rounded to whole cores: a throttled thread costs more than it gains.
    return max(1, min([cores, *(round(quota) for quota in _cpu_quotas(root))]))


def _cpu_quotas(root: Path) -> Iterator[float]:
    """Yield the cores that each control group's quota amounts to."""
    periods = settings("cpu", "cpu.max", "cpu.cfs_period_us", root=root)
    for text, period in zip(
        settings("cpu", "cpu.max", "cpu.cfs_quota_us", root=root), periods, strict=True
    ):
        # Version 2 has quota and period in one file, version 1 in two.
        quota, length = text.split()[0], period.split()[-1]
        if quota.isdigit():  # not `max`, not -1
            yield int(quota) / int(length)


def default_threads() -> int:
    """Return the number of threads: all available cores, or fewer if `OMP_NUM_THREADS` is less."""
    cores = available_cores()
    wanted = os.environ.get("OMP_NUM_THREADS", "")
    return min(cores, int(wanted)) if wanted.isdigit() and int(wanted) else cores


def device_name(device: torch.device) -> str:
    """Return the name of a device for reports."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{platform.machine()} {cpu_capability()}" if device.type == "cpu" else device.type


def device_memory(*devices: torch.device, workers: int = 1) -> int | None:
    """Return the bytes each worker may use of its device's own memory.

    Args:
        devices: all of one kind; the one with the least memory counts.
        workers: number of workers, spread evenly over the devices.

    Returns:
        None if the devices have no memory of their own.
    """
    if devices[0].type != "cuda":
        return None
    least = min(torch.cuda.get_device_properties(device).total_memory for device in devices)
    return int(least * DEVICE_SHARE) // -(-workers // len(devices))
