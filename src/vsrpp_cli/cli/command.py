"""Commands whose help shows options under headings, and examples at its end."""

import re
from collections.abc import Callable, Sequence
from enum import StrEnum
from typing import Any, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])

HELP_WIDTH = 120
"""Help texts are as wide as the terminal, up to this many columns."""

_NUMBERS = (type(click.INT), type(click.FLOAT))

_COLUMN = 30
"""The widest that names of options make their column; click's own limit."""


class Heading(StrEnum):
    """Headings of options, in the order in which help texts and `docs/options.md` show them."""

    OPTIONS = "Options"
    MODEL = "Model"
    SIZE = "Size"
    OUTPUT = "Output"
    INPUT = "Input"
    COMPUTING = "Computing"
    MACHINES = "Many machines"
    RUN = "Run"
    MESSAGES = "Messages"


class Option(click.Option):
    """An option that is listed under a heading; a number is called N unless it has a name."""

    def __init__(self, *args: Any, heading: Heading = Heading.OPTIONS, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.heading = heading
        if self.metavar is None and isinstance(self.type, _NUMBERS):
            self.metavar = "N"


def option(*names: str, heading: Heading = Heading.OPTIONS, **facts: Any) -> Callable[[F], F]:
    """Return `click.option(*names, **facts)` whose option stands under `heading`."""
    return click.option(*names, cls=Option, heading=heading, **facts)


class Command(click.Command):
    """A command with options under headings, examples, and answers to one-dash mistakes.

    Args:
        examples: lines shown as they are at the end of the help text.
        facts: see `click.Command`.
    """

    def __init__(self, *args: Any, examples: str = "", **facts: Any) -> None:
        super().__init__(*args, **facts)
        self.examples = examples.strip("\n").splitlines()

    def sections(self, ctx: click.Context) -> dict[Heading, list[click.Parameter]]:
        """Return the options to show, by heading; click's own `--help` comes last."""
        found: dict[Heading, list[click.Parameter]] = {heading: [] for heading in Heading}
        for parameter in self.get_params(ctx):
            if parameter.get_help_record(ctx) and not isinstance(parameter, click.Argument):
                found[self._heading(parameter, found)].append(parameter)
        return {heading: options for heading, options in found.items() if options}

    @staticmethod
    def _heading(
        parameter: click.Parameter, before: dict[Heading, list[click.Parameter]]
    ) -> Heading:
        if "--help" in parameter.opts and before[Heading.MESSAGES]:
            return Heading.MESSAGES
        return getattr(parameter, "heading", Heading.OPTIONS)

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the options in sections whose columns stand below each other."""
        records = {
            heading: [record for p in options if (record := p.get_help_record(ctx))]
            for heading, options in self.sections(ctx).items()
        }
        names = [len(name) for rows in records.values() for name, _ in rows]
        width = min(max(names), _COLUMN)
        for heading, rows in records.items():
            with formatter.section(heading):
                formatter.write_dl([(f"{name:<{width}}", text) for name, text in rows])

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the examples."""
        super().format_epilog(ctx, formatter)
        if self.examples:
            with formatter.section("Examples"):
                for line in self.examples:
                    formatter.write(f"  {line}\n")

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse, and refuse long options that have only one dash.

        Raises:
            click.NoSuchOption: `-crf` for `--crf`, which would be read as `-c rf`.
        """
        self._refuse_single_dashes(ctx, args)
        return super().parse_args(ctx, args)

    def _refuse_single_dashes(self, ctx: click.Context, args: Sequence[str]) -> None:
        known = {name for p in self.get_params(ctx) for name in (*p.opts, *p.secondary_opts)}
        for word in args[: args.index("--")] if "--" in args else args:
            name = f"-{word.partition('=')[0]}"
            if re.fullmatch("-[a-z][a-z0-9-]+", name[1:]) and name in known:
                raise click.NoSuchOption(word, possibilities=[name], ctx=ctx)
