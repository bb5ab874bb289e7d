"""The documentation names commands, options and files that exist."""

import importlib
import re
import sys

import click
import pytest

from support.pages import PAGES, calls_of, code_of
from support.places import ROOT
from vsrpp_cli.cli.main import main

SCRIPTS = [*ROOT.glob("benchmarks/*.py"), *ROOT.glob("docs/*.py"), *ROOT.glob("tests/soak/*.py")]
SCRIPTS_OPTIONS = {o for p in SCRIPTS for o in re.findall(r'"(--[a-z-]+)"', p.read_text())}


def commands(group=main, path=("vsrpp",)):
    """Return {("vsrpp", ...): its options} of all commands."""
    context = click.Context(group)
    found = {path: {text for parameter in group.params for text in parameter.opts}}
    found[path] |= {"-h", "--help", "--version"}
    if isinstance(group, click.Group):
        for name in group.list_commands(context):
            command = group.get_command(context, name)
            assert command is not None
            found |= commands(command, (*path, name))
    return found


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_and_options_exist(page):
    known = commands()
    every = set().union(*known.values()) | SCRIPTS_OPTIONS
    for code in code_of(page.read_text()):
        for words in calls_of(code):
            named = words[1:2]
            if words[1] == "models":
                named = words[1:3]
            path = ("vsrpp", *(word for word in named if not word.startswith("-")))
            assert path in known, code
            options = {word.split("=")[0] for word in words if re.match("--?[a-z]", word)}
            assert options <= known[path], code
        if re.match(r"--[a-z]", code):
            assert code.split()[0].split("=")[0] in every, code


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_files_that_are_named_exist(page):
    text = page.read_text()
    links = re.findall(r"\]\(([^)#]+?)(?:#[^)]*)?\)", text)
    for link in links:
        if not link.startswith("http"):
            assert (page.parent / link).exists(), link
    for path in re.findall(r"`((?:tests|benchmarks|docs|src|examples)/[\w./-]+\.\w+)`", text):
        assert (ROOT / path).exists(), path


@pytest.fixture
def wrap_pages(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "docs"))
    yield importlib.import_module("wrap_pages")
    sys.modules.pop("wrap_pages")


def test_prose_is_wrapped(wrap_pages):
    texts = {page: page.read_text(encoding="utf-8") for page in wrap_pages.pages()}
    assert ROOT / "README.md" in texts
    differ = [page.name for page, text in texts.items() if wrap_pages.wrapped(text) != text]
    assert not differ, "run: python docs/wrap_pages.py"


def test_wrapping_changes_prose_only(wrap_pages):
    long = "word " * 30
    kept = f"```\n{long}\n```\n| {long}|\n> {long}\n# {long}\n"
    assert wrap_pages.wrapped(kept) == kept
    prose = "two short\nlines\n\n- an\n  item\n"
    assert wrap_pages.wrapped(prose) == "two short lines\n\n- an item\n"


def test_links_are_not_broken(wrap_pages):
    link = "[some words](page.md)"
    lines = wrap_pages.wrapped(f"- {' '.join([link] * 6)}").splitlines()
    assert lines == [f"- {link} {link} {link} {link}", f"  {link} {link}"]


def test_a_number_never_begins_a_line_and_makes_a_list(wrap_pages):
    text = "word " * 19 + "about 16. And more follows here"
    assert wrap_pages.wrapped(text).splitlines()[1].startswith("about 16. And")
