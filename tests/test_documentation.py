"""The documentation names commands, options and files that exist."""

import re

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
