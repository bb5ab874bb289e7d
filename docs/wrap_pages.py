"""Wrap the prose of all Markdown pages at 100 columns.

python docs/wrap_pages.py

Tables, code blocks, quotes, headings, pictures and what `make_options.py` writes do not change.
Links and inline code are not broken.
"""

import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]

WIDTH = 100

FIXED = re.compile(r"\s*(\||>|#|<|!\[|---|$)")
"""Starts of lines that do not change: tables, quotes, headings, HTML, pictures, blank lines."""

ITEM = re.compile(r"\s*(?:[-*]|\d+\.) +")

WORD = re.compile(r"(?:`[^`]+`|\[[^]]*\]\([^)]*\)|\S)+")
"""Text without a possible line break."""

SPECIAL = re.compile(r"(?:[-+*>#=|]+|\d+[.)])$|[>#|<]|```")
"""Words that would have another meaning at the beginning of a line."""


def pages() -> list[Path]:
    """Return all pages of the repository."""
    folders = "", "docs", "examples", "weights", "tests/data", "tests/data/streams"
    return sorted(page for folder in folders for page in (ROOT / folder).glob("*.md"))


def wrapped(text: str) -> str:
    """Return a page with its prose wrapped."""
    return "".join(f"{line}\n" for line in lines_of(text.splitlines()))


def lines_of(lines: list[str]) -> Iterator[str]:
    """Yield the lines of a page, with its prose wrapped."""
    prose: list[str] = []
    closing = None
    for line in lines:
        inside, closing = closing, next_closing(closing, line)
        fixed = bool(inside or closing or FIXED.match(line))
        if fixed or ITEM.match(line):
            yield from fill(prose)
            prose = []
        if fixed:
            yield line
        else:
            prose.append(line)
    yield from fill(prose)


def next_closing(closing: str | None, line: str) -> str | None:
    """Return what ends the unchanged part that goes on after a line; None for prose."""
    if closing is not None:
        return None if re.match(closing, line) else closing
    return opened(line)


def opened(line: str) -> str | None:
    """Return what ends the unchanged part that a line opens; None for prose."""
    if re.match(r"\s*```", line):
        return r"\s*```\s*$"
    return r"(?!)" if re.match(r"<!-- What follows", line) else None


def fill(block: list[str]) -> Iterator[str]:
    """Yield the lines of a paragraph or item, filled up to `WIDTH`."""
    if not block:
        return
    item = ITEM.match(block[0])
    prefix = item.group() if item else block[0][: len(block[0]) - len(block[0].lstrip())]
    first, *words = pieces(" ".join([block[0][len(prefix) :], *block[1:]]))
    line, indent = prefix + first, " " * len(prefix)
    for word in words:
        if len(line) + 1 + len(word) > WIDTH:
            yield line
            line = indent + word
        else:
            line += f" {word}"
    yield line


def pieces(text: str) -> list[str]:
    """Return the words of a paragraph, together with those that must not begin a line."""
    found: list[str] = []
    for word in WORD.findall(text):
        if found and SPECIAL.match(word):
            found[-1] += f" {word}"
        else:
            found.append(word)
    return found


if __name__ == "__main__":
    for page in pages():
        page.write_text(wrapped(page.read_text(encoding="utf-8")), encoding="utf-8")
