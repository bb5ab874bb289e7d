"""What paths of a plan are called on another machine."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from vsrpp_cli.errors import UsageError


@dataclass(frozen=True)
class PathMap:
    """A folder of the machine that planned, and what it is here."""

    old: Path
    new: Path


def parse_path_map(option: str, text: str) -> PathMap:
    """Return what `OLD=NEW` means; a relative NEW is below the current folder.

    Raises:
        UsageError: it means nothing, or there is no NEW here.
    """
    old, _, new = text.partition("=")
    if not old or not new:
        raise UsageError(f"{option} {text!r}: must be OLD=NEW, two folders or files")
    if not Path(new).exists():
        raise UsageError(f"{option} {text}: {new} is not here")
    return PathMap(Path(os.path.normpath(old)), Path(new).absolute())


def mapped(path: str, maps: Sequence[PathMap]) -> str | None:
    """Return what a path is called here, by the map that says most about it; None if none does."""
    fitting = [one for one in maps if Path(path).is_relative_to(one.old)]
    if not fitting:
        return None
    best = max(fitting, key=lambda one: len(one.old.parts))
    return str(best.new / Path(path).relative_to(best.old))
