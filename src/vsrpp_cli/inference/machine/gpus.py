"""Finds out why PyTorch has no GPU to compute on, as far as this process can see."""

import os
from collections.abc import Iterator, Mapping
from pathlib import Path

import torch

NVIDIA = "0x10de"
"""NVIDIA's PCI vendor ID."""
HIDING = ("CUDA_VISIBLE_DEVICES", "NVIDIA_VISIBLE_DEVICES")


def why_no_gpu(root: Path = Path("/"), environment: Mapping[str, str] = os.environ) -> list[str]:
    """Return the reasons, most likely first; none if there is a GPU that PyTorch can use.

    Args:
        root: the folder that contains `sys`, `proc` and `dev`.
        environment: of this process.
    """
    if torch.cuda.is_available() or torch.backends.mps.is_available():
        return []
    return [*_hidden(environment), *_machine(root), *_build()]


def _hidden(environment: Mapping[str, str]) -> Iterator[str]:
    for name in HIDING:
        if environment.get(name, "unset") in ("", "-1", "none", "void"):
            yield f"{name}={environment[name]} in the environment hides all GPUs"


def _machine(root: Path) -> Iterator[str]:
    """Look for an NVIDIA GPU, its driver, and its device files, which containers lack."""
    bus = root / "sys/bus/pci/devices"
    driver = (root / "proc/driver/nvidia/version").exists()
    if bus.is_dir() and not driver and not any(map(_is_nvidia_gpu, bus.iterdir())):
        yield "there is no NVIDIA GPU on the PCI bus"
    elif bus.is_dir() and not driver:
        yield "there is an NVIDIA GPU, but its driver is not loaded"
    elif driver and not any((root / "dev").glob("nvidia[0-9]*")):
        yield "there is an NVIDIA driver, but no /dev/nvidia0: start the container with --gpus all"


def _is_nvidia_gpu(device: Path) -> bool:
    try:
        kind = (device / "class").read_text()
        return (device / "vendor").read_text().strip() == NVIDIA and kind.startswith("0x03")
    except OSError:
        return False


def _build() -> Iterator[str]:
    """Yield what PyTorch was built for, or its error when asked for a GPU."""
    if torch.version.cuda is None:
        yield f"PyTorch {torch.__version__} is built for CPUs only: install a build with CUDA"
        return
    try:
        torch.zeros(1, device="cuda")
    except (RuntimeError, AssertionError) as error:
        yield f"PyTorch {torch.__version__} says: {_sentence(str(error))}"


def _sentence(text: str) -> str:
    return text.splitlines()[0].partition(". ")[0]
