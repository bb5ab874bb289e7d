"""Text for people: what names and tags hold cannot command a terminal, nor break a line."""

import re

import click

_CONTROLS = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")
"""C0, delete, C1, ends of lines and of paragraphs, and what turns the direction of text."""


def printable(text: str) -> str:
    """Return `text` on one line, with control characters as Python writes them."""
    return _CONTROLS.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def echo(text: object, *, err: bool = False) -> None:
    """Print a line of text on stdout or stderr."""
    click.echo(printable(str(text)), err=err)
