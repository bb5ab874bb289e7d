"""The page of messages: every class of errors has its place, and what is quoted is real."""

import ast
import inspect
import re
from collections import defaultdict
from functools import cache

import pytest

from support.places import ROOT
from vsrpp_cli import errors

PAGE = (ROOT / "docs" / "troubleshooting.md").read_text()
CLASSES = {
    name: kind
    for name, kind in vars(errors).items()
    if inspect.isclass(kind) and issubclass(kind, errors.VsrppError)
}
SECTIONS = dict(re.findall(r"^### (\w+)\n(.*?)(?=^##|\Z)", PAGE, re.DOTALL | re.MULTILINE))
GROUPS = re.findall(r"^## (.*?)\n(.*?)(?=^## |\Z)", PAGE, re.DOTALL | re.MULTILINE)


def template(node):
    """Return a text in the source with `...` for whatever is put in."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join(v.value if isinstance(v, ast.Constant) else "..." for v in node.values)
    return "..."


def plain(text):
    """Return a message without what is put in, and without names of options and parameters."""
    text = re.sub(r"`\w+(=[^`]*)?`|(?<!\w)--?[a-z][\w-]*", "...", text)
    return re.sub(r"(\.\.\.)+", "...", text)


@cache
def messages():
    """Return all messages in the source, by the class of error that they are given to."""
    found = defaultdict(set)
    for path in (ROOT / "src").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            name = getattr(getattr(node, "func", None), "id", None)
            if isinstance(node, ast.Call) and name in CLASSES and node.args:
                found[name].add(plain(template(node.args[0])))
    return found


def quotes(section):
    return [line.removeprefix("> ") for line in section.splitlines() if line.startswith("> ")]


def test_every_class_of_errors_has_its_place_on_the_page():
    assert SECTIONS.keys() == CLASSES.keys()


@pytest.mark.parametrize("name", CLASSES)
def test_a_class_stands_under_its_exit_code(name):
    (group,) = [title for title, text in GROUPS if f"### {name}\n" in text]
    codes = {int(code) for code in re.findall(r"\d+", group)}
    assert CLASSES[name].exit_code in codes or name == "VsrppError"


@pytest.mark.parametrize("name", CLASSES)
def test_messages_that_are_quoted_are_those_of_the_source(name):
    known = messages()[name]
    for quote in quotes(SECTIONS[name]):
        wanted = re.sub(r"^\.\.\.:? ?|:? ?\.\.\.$", "", plain(quote)).strip(" :(")
        assert any(wanted in text for text in known), quote


@pytest.mark.parametrize("name", CLASSES)
def test_a_class_that_is_raised_with_words_of_its_own_is_quoted(name):
    if any(re.search(r"\w{3}", text) for text in messages()[name]):
        assert quotes(SECTIONS[name])
