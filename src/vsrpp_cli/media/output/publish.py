"""Renaming a finished output, a file or a folder, to its final name."""

import os
import shutil
from pathlib import Path

from vsrpp_cli.durable import beside, fsync_path
from vsrpp_cli.media.images.source import is_frame


def publish(temporary: Path, output: Path) -> None:
    """Rename `temporary`, which is complete and on disk, to `output` in the same folder.

    An existing file is replaced atomically. An existing folder is renamed first and removed
    afterwards; its files other than frames are kept. May be called again after a crash.

    Raises:
        OSError: renaming fails.
    """
    if not temporary.is_dir():
        temporary.replace(output)
        fsync_path(output.parent)
        return
    aside = replaced(output)
    if output.exists() and os.path.lexists(aside):
        finish_publishing(output)
    if os.path.lexists(output):
        output.rename(aside)
    temporary.rename(output)
    fsync_path(output.parent)
    finish_publishing(output)


def replaced(output: Path) -> Path:
    """Return the temporary name of the old `output` folder while it is being replaced."""
    return beside(output, ".", output.name, ".vsrpp-replaced")


def finish_publishing(output: Path) -> None:
    """Remove the old folder that `output` has replaced; its files other than frames are kept."""
    aside = replaced(output)
    if not os.path.lexists(aside):
        return
    if aside.is_symlink() or not aside.is_dir():
        aside.unlink()
        return
    for child in aside.iterdir():
        if not is_frame(child) and not os.path.lexists(output / child.name):
            child.rename(output / child.name)
    shutil.rmtree(aside)
    fsync_path(output.parent)
