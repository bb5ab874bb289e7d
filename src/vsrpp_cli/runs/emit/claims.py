"""Kubernetes volumes that contain a plan's files."""

import re
from dataclasses import dataclass
from pathlib import Path

from vsrpp_cli.errors import UsageError


@dataclass(frozen=True, kw_only=True)
class Claim:
    """A volume claim, and the folder at which it is mounted for the planner and for pods."""

    name: str
    folder: Path


def parse_claim(option: str, text: str) -> Claim:
    """Return the claim that `NAME=FOLDER` means.

    Raises:
        UsageError: it means none.
    """
    name, _, folder = text.partition("=")
    if not re.fullmatch("[a-z0-9]([-a-z0-9.]*[a-z0-9])?", name) or not folder.startswith("/"):
        raise UsageError(f"{option} {text!r}: must be NAME=FOLDER, a claim and an absolute path")
    return Claim(name=name, folder=Path(folder))
