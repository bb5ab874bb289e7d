"""Names and tags cannot command the terminal."""

import json
import os
import re
from pathlib import Path

import pytest

import vsrpp_cli.cli
from support.clips import tiny_checkpoint, write_clip
from vsrpp_cli.cli.main import execute
from vsrpp_cli.cli.text import printable

EVIL = "a\x1b[31mb\x9b\u202ec\nd"
SHOWN = r"a\x1b[31mb\x9b\u202ec\nd"


def test_controls_are_escaped_and_all_else_stays():
    assert printable(EVIL) == SHOWN
    assert printable("\x00\t\x7f\u2028\u2066") == r"\x00\t\x7f\u2028\u2066"
    plain = "Grüße, 漢字 e\u0301 👩\u200d🚀 \u00a0"
    assert printable(plain) == plain


def test_every_command_prints_through_the_one_function():
    for path in Path(vsrpp_cli.cli.__file__).parent.glob("*.py"):
        text = path.read_text(encoding="utf-8")
        if path.name != "text.py":
            assert set(re.findall(r"click\.echo\((\w+)", text)) <= {"json"}, path.name
        if path.name != "events.py":
            assert "sys.stderr.write" not in text, path.name


def assert_tame(text, lines=None):
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e]", text)
    assert lines is None or len(text.splitlines()) == lines


@pytest.mark.parametrize("args", [[EVIL, "out"], ["in", "out", "-m", EVIL], ["in", "out", EVIL]])
def test_messages_stay_one_line_of_plain_text(args, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert execute(["upscale", *args]) != 0
    said = capsys.readouterr().err
    assert_tame(said)
    assert sum(line.startswith("vsrpp: ") for line in said.splitlines()) == 1
    assert said.endswith("\n")


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such names")
def test_a_run_on_such_names_shows_them_escaped_and_reports_them_whole(tmp_path, capsys):
    clip = write_clip(tmp_path / "in.mp4", 2).rename(tmp_path / f"{EVIL}.mp4")
    model = tiny_checkpoint(tmp_path / "x.pth").rename(tmp_path / f"{EVIL}.pth")
    target, report = tmp_path / f"{EVIL}_out.mkv", tmp_path / "r.json"
    command = ["upscale", clip, target, "-m", model, "--threads", "1", "--report", report]
    assert execute([*map(str, command), "--dry-run"]) == 0
    assert execute([*map(str, command), "-v"]) == 0
    said = capsys.readouterr()
    for text in (said.out, said.err):
        assert SHOWN in text
        assert_tame(text)
    assert_tame(report.read_text(encoding="utf-8"))
    assert json.loads(report.read_text(encoding="utf-8"))["output"] == str(target)
