"""`--progress json`: one JSON object a line on stderr, and nothing else there.

Each has `schema` and `event`: `start`, any number of `progress` and `note`, then one `result` or
one `error`. What is not known to a reader is to be ignored; `schema` grows when something is taken
away. `docs/json.md` says what is in them, `docs/events.schema.json` says it to programs.
"""

import json
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import click

from vsrpp_cli.cli.command import Heading, option
from vsrpp_cli.cli.text import with_flags
from vsrpp_cli.errors import Interrupted, UsageError
from vsrpp_cli.options import PROGRESS
from vsrpp_cli.records import finite
from vsrpp_cli.version import __version__

SCHEMA = 1


@dataclass
class Session:
    """What the handler of errors needs to know about the running command."""

    events: bool = False
    """Whether stderr carries events and nothing else."""


def asked_for(args: Sequence[str]) -> bool:
    """Return whether a command line wants events, also one that cannot be understood."""
    pairs = pairwise(args)
    return "--progress=json" in args or ("--progress", "json") in pairs


def write_event(event: str, **facts: Any) -> None:
    """Write one event."""
    record = with_flags(finite({"schema": SCHEMA, "event": event, **facts}))
    sys.stderr.write(json.dumps(record, allow_nan=False) + "\n")
    sys.stderr.flush()


def write_result(output: str | None, report: dict[str, Any] | None, **facts: Any) -> None:
    """Write the event that ends a command that did not fail.

    Args:
        output: the name of what was made, where it is one file or folder.
        report: the account of what was done, as `--report` has it.
        facts: more, peculiar to a command.
    """
    write_event("result", exit_code=0, output=output, report=report, **facts)


def write_error(error: BaseException, text: str, code: int, trace: str) -> None:
    """Write the event that ends a command that failed."""
    facts: dict[str, Any] = {"exit_code": code, "kind": _kind(error), "message": text}
    if trace:
        facts["traceback"] = trace
    record = getattr(getattr(error, "report", None), "record", None)
    write_event("error", **facts, report=record() if record else None)


def _kind(error: BaseException) -> str:
    """Return the name of the error's class; click's become ours."""
    if isinstance(error, click.UsageError):
        return UsageError.__name__
    return Interrupted.__name__ if isinstance(error, click.Abort) else type(error).__name__


def _noted(ctx: click.Context, _param: click.Parameter, value: str) -> str:
    """Start the events as soon as the option is known."""
    session = ctx.ensure_object(Session)
    session.events = value == "json"
    if session.events and not ctx.resilient_parsing:
        write_event("start", command=ctx.info_name, version=__version__, pid=os.getpid())
    return value


progress_option = option(
    "--progress",
    type=click.Choice(PROGRESS),
    default="auto",
    show_default=True,
    callback=_noted,
    heading=Heading.MESSAGES,
    help="How to show progress; json writes one JSON object per line to stderr.",
)
