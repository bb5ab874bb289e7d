"""Finds the files of a plan that have moved: another mount, another machine, a copied folder.

A plan has the path and the fingerprint of each file. A file is searched for where the user says, at
its old path, and at the same path relative to the work folder; models also in this machine's cache.
A file that was found must have the same content.
"""

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from vsrpp_cli.checkpoints.cache import place_of
from vsrpp_cli.checkpoints.registry import find_by_digest
from vsrpp_cli.errors import InputError, ModelUnavailableError, ResumeRefusedError
from vsrpp_cli.runs.path_map import PathMap, mapped
from vsrpp_cli.runs.plans.plan import ModelRecord, Plan

HINT = "give `maps` OLD=NEW if it is elsewhere"


def relocated(plan: Plan, folder: Path, maps: Sequence[PathMap] = ()) -> Plan:
    """Return a plan with this machine's paths, as far as its files are found.

    Args:
        plan: as it was read.
        folder: the work folder from which it was read.
        maps: where folders of the plan are on this machine.
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
    """The paths at which a file of a plan may be found."""

    def __init__(self, work: str, folder: Path, maps: Sequence[PathMap]) -> None:
        self._work, self._folder, self._maps = work, folder, maps

    def of(self, path: str) -> list[str]:
        """Return them, the most likely first; only the mapped path if a map applies."""
        if (told := mapped(path, self._maps)) is not None:
            return [told]
        seen = self._seen(path)
        if seen is None or seen == path:
            return [path]
        # Files next to the work folder were probably moved or copied together with it.
        together = Path(seen).is_relative_to(self._folder.parent)
        return [seen, path] if together else [path, seen]

    def first(self, path: str) -> str:
        """Return the first path that exists, or the one for messages if none does."""
        places = self.of(path)
        return next((place for place in places if Path(place).exists()), _named(path, places))

    def _seen(self, path: str) -> str | None:
        """Return the path with the same position relative to the work folder's current place."""
        if not self._work:
            return None
        try:
            way = os.path.relpath(path, self._work)
        except ValueError:  # on another drive of Windows
            return None
        return os.path.normpath(self._folder / way)


def _named(path: str, places: list[str]) -> str:
    """Return the path to name in messages about a file that was not found."""
    return path if path in places else places[0]


def _source(plan: Plan, places: _Places) -> str:
    path = plan.source.path
    there = [place for place in places.of(path) if Path(place).exists()]
    if len(there) < 2:
        return places.first(path)
    return next((place for place in there if plan.was_made_for(Path(place))), there[0])


def _model(model: ModelRecord, places: _Places) -> str:
    """Return the path of a model; its SHA-256 is checked when it is loaded."""
    path = places.first(model.path)
    row = find_by_digest(model.sha256)
    if Path(path).exists() or row is None:
        return path
    own = place_of(row)
    return str(own) if own.exists() else path


def check_source(plan: Plan) -> None:
    """Check that the source exists and is the file for which the plan was made.

    Raises:
        InputError: it does not exist.
        ResumeRefusedError: it is another file, or cannot be read.
    """
    path = plan.source.path
    if not Path(path).exists():
        raise InputError(f"{path}: no such file or folder; {HINT}")
    if not plan.was_made_for(Path(path)):
        raise ResumeRefusedError(f"{path} is not the file that the plan was made for; {HINT}")


def check_models(plan: Plan) -> None:
    """Check that the files of the models exist.

    Raises:
        ModelUnavailableError: one does not.
    """
    for model in plan.models:
        if not Path(model.path).exists():
            raise ModelUnavailableError(
                f"{model.path}: the weights of {model.name} are not here; {HINT}, or fetch them "
                f"with vsrpp models download {model.name}"
            )
