"""A plan whose files are elsewhere: another mount, another machine, a copy of the whole folder.

A plan names files by where they were, and knows them by their content. Each is looked for where the
user says, where it was, and at the same place as seen from the work folder; models also where this
machine keeps its own. What is found counts if it is the same file.
"""

import json
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from vsrpp_cli.checkpoints.cache import place_of
from vsrpp_cli.checkpoints.registry import find_by_digest
from vsrpp_cli.errors import InputError, ModelUnavailableError, ResumeRefusedError, VsrppError
from vsrpp_cli.records import to_json
from vsrpp_cli.runs.path_map import PathMap, mapped
from vsrpp_cli.runs.plans.plan import ModelRecord, Plan

HINT = "give `maps` OLD=NEW if it is elsewhere"


def relocated(plan: Plan, folder: Path, maps: Sequence[PathMap] = ()) -> Plan:
    """Return a plan whose paths hold on this machine, as far as its files can be found.

    Args:
        plan: as it was read.
        folder: the work folder it was read from.
        maps: what folders are called here.
    """
    places = _Places(plan.work, folder.absolute(), maps)
    output = Path(plan.output.path)
    parent = places.first(str(output.parent))
    return replace(
        plan,
        source=replace(plan.source, path=_source(plan, places)),
        models=tuple(replace(m, path=_model(m, places)) for m in plan.models),
        output=replace(plan.output, path=str(Path(parent) / output.name)),
    )


class _Places:
    """Where a file of a plan may be found."""

    def __init__(self, work: str, folder: Path, maps: Sequence[PathMap]) -> None:
        self._work, self._folder, self._maps = work, folder, maps

    def of(self, path: str) -> list[str]:
        """Return them, the most likely first; where the user says counts alone."""
        if (told := mapped(path, self._maps)) is not None:
            return [told]
        seen = self._seen(path)
        if seen is None or seen == path:
            return [path]
        # What stood in one folder with the work folder has moved with it, or was copied with it.
        together = Path(seen).is_relative_to(self._folder.parent)
        return [seen, path] if together else [path, seen]

    def first(self, path: str) -> str:
        """Return the first that is there; the plan's own or the user's if none is."""
        places = self.of(path)
        return next((place for place in places if Path(place).exists()), _named(path, places))

    def _seen(self, path: str) -> str | None:
        """Return the place that has the plan's way from the work folder, where that is now."""
        if not self._work:
            return None
        try:
            way = os.path.relpath(path, self._work)
        except ValueError:  # on another drive of Windows
            return None
        return os.path.normpath(self._folder / way)


def _named(path: str, places: list[str]) -> str:
    """Return what to call a file that is nowhere."""
    return path if path in places else places[0]


def _source(plan: Plan, places: _Places) -> str:
    path = plan.source.path
    there = [place for place in places.of(path) if Path(place).exists()]
    if len(there) < 2:
        return places.first(path)
    return next((place for place in there if _is_source(plan, place)), there[0])


def _model(model: ModelRecord, places: _Places) -> str:
    """Return where a model is; its SHA-256 is looked at when it is loaded."""
    path = places.first(model.path)
    row = find_by_digest(model.sha256)
    if Path(path).exists() or row is None:
        return path
    own = place_of(row)
    return str(own) if own.exists() else path


def check_source(plan: Plan) -> None:
    """Make sure that the source is there and is what the plan was made for.

    Raises:
        InputError: it is not there or cannot be read.
        ResumeRefusedError: it is another file.
    """
    path = plan.source.path
    if not Path(path).exists():
        raise InputError(f"{path}: no such file or folder; {HINT}")
    if not _is_source(plan, path):
        raise ResumeRefusedError(f"{path} is not the file that the plan was made for; {HINT}")


def check_models(plan: Plan) -> None:
    """Make sure that the files of the models are there.

    Raises:
        ModelUnavailableError: one is not.
    """
    for model in plan.models:
        if not Path(model.path).exists():
            raise ModelUnavailableError(
                f"{model.path}: the weights of {model.name} are not here; {HINT}, or fetch them "
                f"with vsrpp models download {model.name}"
            )


def _is_source(plan: Plan, path: str) -> bool:
    try:
        fingerprint = plan.decoding.open(Path(path)).fingerprint()
    except VsrppError:
        return False
    # Through JSON, as the plan's own copy went: tuples become lists.
    return bool(json.loads(json.dumps(to_json(fingerprint))) == plan.source_fingerprint)
