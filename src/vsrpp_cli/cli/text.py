"""Text for people: what names and tags hold cannot command a terminal, nor break a line.

Messages from below the command line name options as parameters, in backticks, as those who call the
library know them: `chunk`, `guard=False`, `codec='hevc'`. Here these become flags.
"""

import re
import shlex
from ast import literal_eval
from typing import Any

import click

_CONTROLS = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")
"""C0, delete, C1, ends of lines and of paragraphs, and what turns the direction of text."""

_PARAMETER = re.compile(
    r"`([a-z][a-z0-9_]*)(?:=('(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\"|[^`'\"]*))?`"
)

_FLAGS = {
    "overwrite=True": "-y",
    "resume='must'": "--resume",
    "resume='restart'": "--restart",
    "encoder_options": "--encoder-option",
    "claims": "--claim",
    "labels": "--label",
    "low": "--input",
    "maps": "--path-map",
}
"""Parameters, alone or with a value, whose flags are not called after them."""


def as_flags(text: str) -> str:
    """Return `text` with the parameters in it as options of the command line."""
    return _PARAMETER.sub(_flag, text)


def _flag(found: re.Match[str]) -> str:
    name, value = found.groups()
    if whole := _FLAGS.get(f"{name}={value}"):
        return whole
    if value == "False":
        return f"--no-{name.replace('_', '-')}"
    flag = _FLAGS.get(name, f"--{name.replace('_', '-')}")
    return flag if value in (None, "True") else f"{flag} {_word(value)}"


def _word(value: str) -> str:
    """Return a value as a shell takes it; texts stand in Python's quotes."""
    return shlex.quote(str(literal_eval(value)) if value[:1] in ("'", '"') else value)


_SPOKEN = {"text", "message", "error", "skipped", "notes", "events", "rehearsal", "findings",
           "reason"}  # fmt: skip
"""Fields of JSON records that are for people; names of files and all else stay as they are."""


def with_flags(value: Any, *, spoken: bool = False) -> Any:
    """Return JSON values with the parameters in messages as options of the command line.

    Args:
        value: of any depth.
        spoken: whether it is a message, or holds nothing else.
    """
    if isinstance(value, str):
        return as_flags(value) if spoken else value
    if isinstance(value, list | tuple):
        return [with_flags(item, spoken=spoken) for item in value]
    if isinstance(value, dict):
        return {k: with_flags(item, spoken=spoken or k in _SPOKEN) for k, item in value.items()}
    return value


def printable(text: str) -> str:
    """Return `text` on one line, with control characters as Python writes them."""
    return _CONTROLS.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def shown(text: str) -> str:
    """Return a message as it is shown: on one line, with flags."""
    return printable(as_flags(text))


def echo(text: object, *, err: bool = False) -> None:
    """Print a line of text on stdout or stderr."""
    click.echo(shown(str(text)), err=err)
