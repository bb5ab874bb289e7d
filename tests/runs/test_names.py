"""Names that Windows refuses, by its rules, wherever the test runs."""

from pathlib import Path

import pytest

from vsrpp_cli.errors import UsageError
from vsrpp_cli.runs.names import check_name, refused_by_windows


@pytest.mark.parametrize(
    "name",
    ["con", "NUL.mp4", "Com1.tar.mkv", "LPT9", "a:b.mp4", "what?.mp4", 'say "x".mkv', "a|b",
     "tab\t.mp4", "end.", "end ", "aux."],
)  # fmt: skip
def test_names_that_windows_refuses_are_known(name):
    assert refused_by_windows(name)
    with pytest.raises(UsageError, match="Windows"):
        check_name(Path("folder") / name, windows=True)


@pytest.mark.parametrize("name", ["film.mp4", "console.mkv", "com10.mp4", "é ü.mp4", ".hidden"])
def test_names_that_windows_takes_pass(name):
    assert refused_by_windows(name) is None
    check_name(Path(name), windows=True)


def test_other_systems_refuse_nothing():
    check_name(Path("a:b?.mp4"), windows=False)
