"""What numba keeps on disk, and for how long."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import vsrpp_cli

WARP = """
import numpy as np
from vsrpp_cli.kernels import loops
image, out = np.ones((2, 2, 16), np.float32), np.empty((2, 2, 16), np.float32)
flow = np.zeros((2, 2, 2), np.float32)
loops.warp(image[:0], image.ctypes.data, flow, 2, 2, 16, out.ctypes.data, 0, 2)
print(out.max(), *loops.warp.stats.cache_hits.values())
"""


@pytest.fixture
def copied_package(tmp_path: Path) -> Path:
    """A copy of the kernels, the only part of the package it has."""
    package = tmp_path / "vsrpp_cli"
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(
        Path(vsrpp_cli.__file__).parent / "kernels", package / "kernels", ignore=ignored
    )
    (package / "__init__.py").touch()
    return package


def warped(package: Path, cache: Path) -> list[float]:
    """Warp ones in a process of its own; return the result, and 1 if the kernel was kept."""
    places = {"NUMBA_CACHE_DIR": str(cache), "XDG_CACHE_HOME": str(cache)}
    environment = {**os.environ, **places, "PYTHONPATH": str(package.parent)}
    command = [sys.executable, "-c", WARP]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return [float(word) for word in done.stdout.split()]


def test_an_edit_of_what_is_inlined_into_a_kernel_is_noticed(
    copied_package: Path, tmp_path: Path
) -> None:
    cache = tmp_path / "cache"
    assert warped(copied_package, cache) == [1.0]
    assert warped(copied_package, cache) == [1.0, 1.0]
    simd = copied_package / "kernels" / "simd.py"
    head, blend, tail = simd.read_text().partition("def blend(")
    simd.write_text(head + blend + tail.replace("_constant(0.0)", "_constant(8.0)", 1))
    assert warped(copied_package, cache) == [9.0]
    assert warped(copied_package, cache) == [9.0, 1.0]


def test_kernels_work_where_nothing_can_be_kept(copied_package: Path, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    (copied_package / "kernels" / "__pycache__").touch()
    assert warped(copied_package, file / "cache") == [1.0]
    assert warped(copied_package, file / "cache") == [1.0]
