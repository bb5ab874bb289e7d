"""`docs/options.md` says what `--help` says."""

import sys

import pytest

from support.places import ROOT

DOCS = ROOT / "docs"


@pytest.fixture
def make_options(monkeypatch):
    monkeypatch.syspath_prepend(str(DOCS))
    yield __import__("make_options")
    sys.modules.pop("make_options")


def test_the_reference_is_current(make_options):
    text = (DOCS / "options.md").read_text(encoding="utf-8")
    assert text == make_options.page(text), "run: python docs/make_options.py"


def test_the_reference_has_every_command_and_every_shown_option(make_options):
    text = "\n".join(make_options.reference())
    for path, command in make_options.commands(make_options.main, ("vsrpp",)):
        part = text.partition(f"## {' '.join(path)}\n")[2].partition("\n## ")[0]
        for option in command.params:
            if getattr(option, "hidden", True) is False:
                assert option.opts[-1] in part, (path, option.opts)
