"""Paths of weight files on this machine, and their checksums."""

import os
from functools import lru_cache
from pathlib import Path

import platformdirs

from vsrpp_cli.checkpoints.registry import ModelRow
from vsrpp_cli.checkpoints.transfer import file_digest

_PACKAGE = Path(__file__).resolve().parents[1]


def cache_root() -> Path:
    """Return the cache folder: `VSRPP_CACHE` if set, else the platform's cache folder."""
    if chosen := os.environ.get("VSRPP_CACHE"):
        return Path(chosen).expanduser()
    return platformdirs.user_cache_path("vsrpp", appauthor=False)


def models_folder() -> Path:
    """Return the folder of downloaded models; it need not exist."""
    return cache_root() / "models"


def weights_folder() -> Path:
    """Return the folder of the embedded models.

    In an installed wheel it is inside the package; in a checkout or an unpacked sdist (editable
    installs, too) it is `weights/` beside `src/`.
    """
    inside = _PACKAGE / "weights"
    return inside if inside.is_dir() else _PACKAGE.parents[1] / "weights"


def place_of(row: ModelRow) -> Path:
    """Return the path of the row's file; it need not exist."""
    return (weights_folder() if row.embedded else models_folder()) / row.file


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file's content, 64 hex digits.

    Raises:
        OSError: the file cannot be read.
    """
    status = path.stat()
    return _sha256(path, status.st_size, status.st_mtime_ns, status.st_ino)


@lru_cache(maxsize=64)
def _sha256(path: Path, *_unchanged_while_equal: int) -> str:
    return file_digest(path)
