"""Messages of the library name parameters; the command line shows the flags that they are there."""

import ast
import json
import re
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

import vsrpp_cli
from support.clips import tiny_checkpoint, write_clip
from vsrpp_cli.cli.main import COMMANDS, execute, main
from vsrpp_cli.cli.text import as_flags, with_flags
from vsrpp_cli.errors import UsageError
from vsrpp_cli.options import UpscaleOptions

ROOT = Path(vsrpp_cli.__file__).parent
BELOW = [path for path in sorted(ROOT.rglob("*.py")) if path.relative_to(ROOT).parts[0] != "cli"]
"""All modules but those of the command line."""

SCRIPTS = ROOT / "runs" / "emit"
"""Where jobs are written for schedulers: command lines."""

FLAG = re.compile(r"(?<![\w-])--(?!gpus)[a-z]")
"""A flag; `--gpus` is one of Docker's."""


@pytest.mark.parametrize(
    ("message", "shown"),
    [
        ("`chunk=4` leaves nothing", "--chunk 4 leaves nothing"),
        ("raise `memory_limit`, or less", "raise --memory-limit, or less"),
        ("`guard=False` keeps it", "--no-guard keeps it"),
        ("`compile`: not here", "--compile: not here"),
        ("`codec='hevc'` or \"av1\"", '--codec hevc or "av1"'),
        ("give `overwrite=True`", "give -y"),
        ("`resume='restart'` begins anew", "--restart begins anew"),
        ("`codec='a b'`: not known", "--codec 'a b': not known"),
        ("`codec='a`b'`: not known", "--codec 'a`b': not known"),
        ('`codec="it\'s"`: no', "--codec 'it'\"'\"'s': no"),
        ("`vsrpp models list` shows all", "`vsrpp models list` shows all"),
        ("a`b`c.mp4`", "a--bc.mp4`"),
    ],
)
def test_parameters_become_flags(message, shown):
    assert as_flags(message) == shown


def test_in_records_only_what_is_for_people_is_changed():
    record = {"output": "`crf`.mp4", "notes": ["`crf`"], "items": [{"error": "`crf`", "n": 1}]}
    assert with_flags(record) == {
        "output": "`crf`.mp4", "notes": ["--crf"], "items": [{"error": "--crf", "n": 1}]
    }  # fmt: skip


def _literals(path: Path) -> Iterator[tuple[int, str]]:
    """Yield texts in the code, docstrings excepted; what is filled in later is a zero byte."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    passed: set[int] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            passed.add(id(node.value))
        elif isinstance(node, ast.JoinedStr):
            passed |= {id(part) for part in node.values}
            parts = (p.value if isinstance(p, ast.Constant) else "\0" for p in node.values)
            yield node.lineno, "".join(map(str, parts))
        elif isinstance(node, ast.Constant) and id(node) not in passed:
            yield node.lineno, str(node.value)


@pytest.mark.parametrize(
    "path",
    [path for path in BELOW if path.parent != SCRIPTS],
    ids=lambda path: path.relative_to(ROOT).as_posix(),
)
def test_no_message_below_the_command_line_speaks_of_flags(path):
    assert not [found for found in _literals(path) if FLAG.search(found[1])]


def _all_flags(command: click.Command, context: click.Context) -> Iterator[str]:
    for parameter in command.params:
        yield from (*parameter.opts, *parameter.secondary_opts)
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            inner = command.get_command(context, name)
            assert inner is not None
            yield from _all_flags(inner, context)


def test_every_parameter_that_a_message_names_is_a_flag_of_some_command():
    known = set(_all_flags(main, click.Context(main)))
    assert len(known) > len(COMMANDS)
    named = re.compile("`([a-z][a-z0-9_]*)(=[^`]*)?`")
    for path in BELOW:
        for line, text in _literals(path):
            for found in named.finditer(text):
                flag = as_flags(found[0].replace("\0", "0")).split()[0]
                assert flag in known, f"{path}:{line}: {found[0]}"


def test_the_python_api_speaks_of_parameters():
    with pytest.raises(UsageError, match=r"^`chunk=4` leaves no frame between overlaps of 4"):
        UpscaleOptions(chunk=4, overlap=4)
    with pytest.raises(UsageError, match=r"^`precision='fp8'`: must be one of auto"):
        UpscaleOptions(precision="fp8")


def test_errors_notes_and_reports_of_the_command_line_speak_of_flags(tmp_path, capsys):
    clip = str(write_clip(tmp_path / "in.mp4", 3))
    assert execute(["upscale", clip, "o.mkv", "--chunk", "4", "--overlap", "4"]) == 2
    assert "vsrpp: --chunk 4 leaves no frame" in capsys.readouterr().err
    model, report = str(tiny_checkpoint(tmp_path / "x.pth")), tmp_path / "r.json"
    command = ["upscale", clip, str(tmp_path / "o.mkv"), "-m", model, "--threads", "1"]
    command += ["--no-metadata", "--report", str(report)]
    assert execute([*command, "--progress", "json"]) == 0
    events = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    notes = [event["text"] for event in events if event["event"] == "note"]
    wanted = "left out as asked (--no-metadata)"
    assert wanted in notes
    assert wanted in events[-1]["report"]["notes"]
    assert wanted in json.loads(report.read_text(encoding="utf-8"))["notes"]
    assert execute([*command, "--quiet"]) == 2
    assert "give -y to replace it" in capsys.readouterr().err
