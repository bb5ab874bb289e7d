"""A plan whose files have moved together with its work folder: another mount, another machine."""

import json
import os
from dataclasses import replace
from pathlib import Path

from vsrpp_cli.errors import ResumeRefusedError
from vsrpp_cli.records import to_json
from vsrpp_cli.runs.plans.plan import Plan


def relocated(plan: Plan, folder: Path) -> Plan:
    """Return a plan whose paths hold where its work folder stands now.

    A file that is not where the plan says is looked for at the same place as seen from the work
    folder. Models are checked by their SHA-256 when they are loaded; the source is checked here.

    Args:
        plan: as it was read.
        folder: the work folder it was read from.

    Raises:
        ResumeRefusedError: what stands in the source's place is not the source.
    """
    source = _found(plan, plan.source.path, folder)
    output = Path(plan.output.path)
    parent = _found(plan, str(output.parent), folder)
    moved = replace(
        plan,
        source=replace(plan.source, path=source),
        models=tuple(replace(m, path=_found(plan, m.path, folder)) for m in plan.models),
        output=replace(plan.output, path=str(Path(parent) / output.name)),
    )
    if source != plan.source.path:
        _check_source(moved)
    return moved


def _found(plan: Plan, path: str, folder: Path) -> str:
    """Return `path` if it is there, else its place as seen from the folder if that is there."""
    if not plan.work or Path(path).exists():
        return path
    try:
        seen = os.path.relpath(path, plan.work)
    except ValueError:  # on another drive of Windows
        return path
    candidate = os.path.normpath(folder.absolute() / seen)
    return candidate if Path(candidate).exists() else path


def _check_source(plan: Plan) -> None:
    path = Path(plan.source.path)
    # Through JSON, as the plan's own copy went: tuples become lists.
    now = json.loads(json.dumps(to_json(plan.decoding.open(path).fingerprint())))
    if now != plan.source_fingerprint:
        raise ResumeRefusedError(f"{path} is not the file that the plan was made for")
