"""The documentation names commands, options and files that exist."""

import re
import shlex

import click
import pytest

from support.places import ROOT
from vsrpp_cli.cli.main import main

PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), *ROOT.glob("examples/*.md")])
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


def code_of(text):
    """Return the pieces of code of a page: blocks' lines and what stands in backticks."""
    blocks = re.findall(r"^```\w*\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    rest = re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE)
    joined = (block.replace("\\\n", " ") for block in blocks)
    return [line for block in joined for line in block.splitlines()] + re.findall("`([^`]+)`", rest)


def calls_of(code):
    """Return the words of every call of `vsrpp` in a piece of code, without comments."""
    found = []
    for part in re.split(r"&&|;|\|", code):
        words = part.split("  ")[0] if part.startswith("vsrpp") else part
        try:
            words = shlex.split(words, comments=True)
        except ValueError:
            continue
        if words[:1] == ["vsrpp"] and len(words) > 1:
            found.append(words)
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
