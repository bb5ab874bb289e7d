"""Giving a finished result its name, over whatever has it."""

from pathlib import Path

from vsrpp_cli.runs.durable import fsync_path
from vsrpp_cli.runs.workfolder import remove


def publish(temporary: Path, output: Path) -> None:
    """Rename `temporary`, beside `output` and durable already, to `output`.

    A file replaces a file in one step. Folders cannot be replaced in one, so an old one is moved
    aside first and removed afterwards; if a crash falls in between, `aside(output)` is the old one.
    """
    if output.is_dir() and not output.is_symlink():
        old = aside(output)
        remove(old)
        output.rename(old)
        temporary.rename(output)
        fsync_path(output.absolute().parent)
        remove(old)
    else:
        temporary.replace(output)
        fsync_path(output.absolute().parent)


def aside(output: Path) -> Path:
    """Return where the old folder of frames stands while the new one takes its place."""
    return output.with_name(f".{output.name}.vsrpp-old")
