"""Maps paths of a plan to paths on this machine."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from vsrpp_cli.errors import UsageError


@dataclass(frozen=True)
class PathMap:
    """A folder on the machine that planned, and the same folder on this one."""

    old: Path
    new: Path


def parse_path_map(option: str, text: str) -> PathMap:
    """Return what `OLD=NEW` means; a relative NEW is below the current folder.

    Raises:
        UsageError: the text has another form, or NEW does not exist.
    """
    old, _, new = text.partition("=")
    if not old or not new:
        raise UsageError(f"{option} {text!r}: must be OLD=NEW, two folders or files")
    if not Path(new).exists():
        raise UsageError(f"{option} {text}: {new} is not here")
    return PathMap(Path(os.path.normpath(old)), Path(new).absolute())


def mapped(path: str, maps: Sequence[PathMap]) -> str | None:
    """Return a path mapped by the most specific map that applies; None if none does."""
    fitting = [one for one in maps if Path(path).is_relative_to(one.old)]
    if not fitting:
        return None
    best = max(fitting, key=lambda one: len(one.old.parts))
    return str(best.new / Path(path).relative_to(best.old))
