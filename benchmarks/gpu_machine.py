"""The first part of gpu.py: the device's properties, and the tests that need a GPU."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import torch

from gpu_setting import FAILED, Setting, attempt

ROOT = Path(__file__).parents[1]

CUDA_TESTS = ("network/test_gpu_path.py", "backends/test_graphed.py")
"""Files with tests marked `cuda`."""


def machine(setting: Setting) -> Iterator[list[str]]:
    """Yield rows of the device's properties and of the result of the tests that need a GPU."""
    name = "the CPU"
    if setting.on_gpu:
        found = torch.cuda.get_device_properties(setting.device)
        name = f"{found.name}, {found.total_memory / 2**30:.0f} GiB"
    yield ["device", name]
    yield ["software", f"torch {torch.__version__}, CUDA {torch.version.cuda or 'none'}"]
    yield attempt("tests marked `cuda`", cuda_tests)


def cuda_tests() -> list[str]:
    """Return pytest's last line; `-c` avoids the plugins that the project's settings require."""
    command = [sys.executable, "-m", "pytest", "-q", "-m", "cuda", "-c", os.devnull,
               "--rootdir", str(ROOT), "--import-mode=importlib", "-p", "no:cacheprovider",
               *(str(ROOT / "tests" / name) for name in CUDA_TESTS)]  # fmt: skip
    path = os.pathsep.join([str(ROOT / "tests"), os.getenv("PYTHONPATH", "")])
    done = subprocess.run(
        command, check=False, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": path}
    )
    outcome = (done.stdout.strip() or done.stderr.strip()).splitlines()[-1].strip("= ")
    return [outcome if done.returncode == 0 else f"{FAILED}: {outcome}"]
