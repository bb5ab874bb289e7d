"""Write the reference in docs/options.md, below its marker, from what `--help` is made of.

python docs/make_options.py
"""

from collections.abc import Iterator
from pathlib import Path

import click

from vsrpp_cli.cli.command import Command
from vsrpp_cli.cli.main import main

PAGE = Path(__file__).with_name("options.md")
MARKER = "<!-- What follows is written by docs/make_options.py. -->\n"


def page(text: str) -> str:
    """Return the page whose own words are those of `text`, with the reference as it is now."""
    return text.partition(MARKER)[0] + MARKER + "".join(f"{line}\n" for line in reference())


def reference() -> Iterator[str]:
    """Yield the lines of the reference of all commands."""
    for path, command in commands(main, ("vsrpp",)):
        context = click.Context(command, info_name=" ".join(path))
        usage = " ".join([*path, *command.collect_usage_pieces(context)])
        yield from ("", f"## {' '.join(path)}", "", "```", usage, "```", "")
        yield from help_text(command)
        yield from sections(command, context)
        if command.examples:
            yield from ("", "```", *command.examples, "```")


def commands(
    group: click.Group, path: tuple[str, ...]
) -> Iterator[tuple[tuple[str, ...], Command]]:
    """Yield the words and the object of each command that is no group."""
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if isinstance(command, click.Group):
            yield from commands(command, (*path, name))
        elif isinstance(command, Command):
            yield (*path, name), command


def help_text(command: Command) -> Iterator[str]:
    """Yield the lines of a command's help, without the marks that click understands."""
    for line in (command.help or "").strip().splitlines():
        if line.strip() != "\b":
            yield line.strip()


def sections(command: Command, context: click.Context) -> Iterator[str]:
    """Yield a table for each heading of a command's options."""
    for heading, options in command.sections(context).items():
        records = [
            r for p in options if "--help" not in p.opts and (r := p.get_help_record(context))
        ]
        if not records:
            continue
        yield from ("", f"| {heading} | |", "|---|---|")
        for names, text in records:
            yield f"| `{cell(names)}` | {cell(text)} |"


def cell(text: str) -> str:
    """Return text for a table's cell."""
    return " ".join(text.replace("|", "\\|").split())


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
