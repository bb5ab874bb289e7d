"""The command group, and the one place where errors become messages and exit codes."""

import gc
import io
import logging
import os
import re
import sys
import traceback
from collections.abc import Sequence
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import NoReturn

import click

from vsrpp_cli.cli.command import HELP_WIDTH
from vsrpp_cli.cli.events import Session, asked_for, write_error
from vsrpp_cli.cli.text import echo
from vsrpp_cli.cli.usage import usage_text
from vsrpp_cli.errors import Interrupted, PipeClosed, VsrppError
from vsrpp_cli.version import __version__

COMMANDS = {
    "upscale": "Upscale a video, a folder of frames or an image.",
    "plan": "Show what upscale would do: frames, chunks, tiles, memory, disk.",
    "worker": "Compute one segment of a plan (for job schedulers).",
    "join": "Join the segments of a plan into the output.",
    "batch": "Upscale every video and folder of frames below a folder.",
    "models": "List, inspect, download and verify models.",
    "evaluate": "Measure models on a dataset as the paper does.",
    "degrade": "Make low-resolution input from ground truth (BI, BD or web).",
    "compare": "Compare two videos: PSNR, SSIM, a picture side by side.",
    "train": "Train or fine-tune a model from ordinary videos.",
    "doctor": "Show versions, devices, encoders and caches.",
    "bench": "Measure how fast this machine is.",
    "completion": "Print or install completion for bash, zsh or fish.",
}
"""Commands and their short help; each lives in a module of its name and is imported when run."""

SPINS = 1000
"""How often an idle thread of OpenMP looks for work before it sleeps, if nobody said; read by the
library when torch is imported. Its default, milliseconds' worth, takes a core from our kernels'
threads and from every other program: on two cores a frame took three times as long."""

OBJECTS = 100_000
"""How many more objects there must be before Python looks for circles of them that nobody needs.
Imports make a million and leave no such circles; looking for them after every few hundred, as is
the default, takes an eighth of the time until the first frame is computed."""

VERBOSE = 2
"""At this many `-v` errors come with their traceback."""


class LazyGroup(click.Group):
    """A group that imports a command's module only when that command runs."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        """Return the names in the order of the table."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """Import the command."""
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = import_module(f"vsrpp_cli.cli.commands.{cmd_name}").command
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command; an unknown name raises an error that suggests a similar one.

        Raises:
            click.UsageError: there is no such command.
        """
        try:
            return super().resolve_command(ctx, args)
        except click.NoSuchCommand as error:
            if Path(error.command_name).exists():
                text = f"{error.command_name} is no command: `vsrpp upscale INPUT OUTPUT`"
                raise click.UsageError(text, ctx) from None
            raise click.NoSuchCommand(args[0], possibilities=COMMANDS, ctx=ctx) from None

    def invoke(self, ctx: click.Context) -> object:
        """Run the command; on Ctrl-C click would print an empty line, even between events."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt as error:
            raise click.Abort from error

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """Write the table of commands without importing any."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


HELP = """Video super-resolution with BasicVSR++: four times the size, sound and timing intact.

\b
  vsrpp upscale in.mp4 out.mp4

`vsrpp COMMAND --help` lists a command's options and shows examples.
"""


SETTINGS = {"help_option_names": ["-h", "--help"], "max_content_width": HELP_WIDTH}


@click.group(cls=LazyGroup, help=HELP, context_settings=SETTINGS)
@click.version_option(__version__, "-V", "--version", prog_name="vsrpp")
@click.option("-v", "--verbose", count=True, help="Given twice: print tracebacks of errors.")
def main(verbose: int) -> None:
    """Hold the commands."""


def run(args: Sequence[str] | None = None) -> NoReturn:
    """Run the command line and exit with the code the design's table gives."""
    gc.set_threshold(OBJECTS, *gc.get_threshold()[1:])
    sys.exit(execute(sys.argv[1:] if args is None else list(args)))


def execute(args: Sequence[str]) -> int:
    """Run the command line and return its exit code."""
    logging.getLogger("libav").setLevel(logging.CRITICAL)
    os.environ.setdefault("GOMP_SPINCOUNT", str(SPINS))
    _never_fail_to_print()
    session = Session(events=asked_for(args))
    try:
        result = main.main(list(args), prog_name="vsrpp", standalone_mode=False, obj=session)
    except click.exceptions.Exit as stop:
        return stop.exit_code
    except BrokenPipeError:
        # Nobody reads what would still be flushed at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return _failed(PipeClosed("nobody reads the output"), "", session)
    except Exception as error:
        trace = traceback.format_exc() if _verbosity(args) >= VERBOSE else ""
        return _failed(error, trace, session)
    return result if isinstance(result, int) else 0


def _never_fail_to_print() -> None:
    """Escape what a console's encoding lacks, and names that are no text at all."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            with suppress(OSError):  # a pipe that was opened for reading too cannot be changed
                stream.reconfigure(errors="backslashreplace")


def _failed(error: Exception, trace: str, session: Session) -> int:
    """Print an error, with a traceback if `-vv` was given."""
    text, code = _message(error)
    if session.events:
        write_error(error, text, code, trace)
        return code
    for line in trace.splitlines():
        echo(line, err=True)
    if isinstance(error, click.exceptions.NoArgsIsHelpError):
        error.show()
    elif not isinstance(error, PipeClosed):  # like `cat`, which ends without a word
        echo(f"vsrpp: {text}", err=True)
    return code


def _message(error: Exception) -> tuple[str, int]:
    """Return what to say of an error, and the exit code."""
    if isinstance(error, click.ClickException):
        return usage_text(error), error.exit_code
    if isinstance(error, click.Abort):
        return "interrupted", Interrupted.exit_code
    if isinstance(error, VsrppError):
        return str(error), error.exit_code
    if isinstance(error, OSError):
        place = f"{error.filename}: " if error.filename else ""
        return f"{place}{error.strerror or error}", VsrppError.exit_code
    text = f"unexpected {type(error).__name__}: {error} (a bug; vsrpp -vv COMMAND shows where)"
    return text, VsrppError.exit_code


def _verbosity(args: Sequence[str]) -> int:
    """Return how often `-v` was given, also where no command came to read it."""
    options = list(args[: args.index("--")] if "--" in args else args)
    short = [text for text in options if re.fullmatch("-[qvy]+", text)]
    return options.count("--verbose") + sum(text.count("v") for text in short)
