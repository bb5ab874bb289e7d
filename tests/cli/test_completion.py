"""Completion by shells: the scripts, and what they are answered."""

import shutil
import subprocess

import pytest

from support.commands import ENVIRONMENT, VSRPP, vsrpp
from vsrpp_cli.cli.main import execute


def offered(line):
    """Return what is offered for the last word of a command line."""
    words = line.split(" ")
    env = {
        "_VSRPP_COMPLETE": "bash_complete",
        "COMP_WORDS": line,
        "COMP_CWORD": str(len(words) - 1),
    }
    return vsrpp(env=env, check=0).stdout.split()


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("vsrpp ups", ["plain,upscale"]),
        ("vsrpp models ver", ["plain,verify"]),
        ("vsrpp upscale --hei", ["plain,--height"]),
        ("vsrpp upscale -m reds", ["plain,reds4"]),
        ("vsrpp upscale -m ntire-decompress-3,reds", ["plain,ntire-decompress-3,reds4"]),
        ("vsrpp upscale -m weights/x", ["file,weights/x"]),
        ("vsrpp upscale --codec libx26", ["plain,libx264", "plain,libx265"]),
        ("vsrpp upscale --preset ultra", ["plain,ultrafast"]),
        ("vsrpp upscale --device m", ["plain,mps"]),
        ("vsrpp upscale in.m", ["file,in.m"]),
        ("vsrpp train fine", ["plain,finetune"]),
        ("vsrpp completion f", ["plain,fish"]),
    ],
)
def test_words_are_completed(line, expected):
    assert offered(line) == expected


@pytest.mark.skipif(not shutil.which("bash"), reason="no bash here")
def test_bash_completes_with_the_script_that_is_printed():
    script = (
        f'PATH="$(dirname {VSRPP}):$PATH"; eval "$(vsrpp completion bash)"; '
        "COMP_WORDS=(vsrpp upscale --codec ffv); COMP_CWORD=3; _vsrpp_completion vsrpp; "
        'echo "${COMPREPLY[@]}"'
    )
    done = subprocess.run(
        ["bash", "--norc", "-c", script], capture_output=True, text=True, check=True,
        env=ENVIRONMENT,
    )  # fmt: skip
    assert done.stdout.split() == ["ffv1"]


@pytest.mark.parametrize(
    ("shell", "place"),
    [
        ("bash", "data/bash-completion/completions/vsrpp"),
        ("zsh", "data/zsh/site-functions/_vsrpp"),
        ("fish", "config/fish/completions/vsrpp.fish"),
    ],
)
def test_scripts_are_installed_where_shells_look(shell, place, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    assert execute(["completion", shell]) == 0
    script = capsys.readouterr().out
    assert execute(["completion", shell, "--install"]) == 0
    assert (tmp_path / place).read_text() == script.rstrip("\n") + "\n" * script.endswith("\n\n")
    assert str(tmp_path / place) in capsys.readouterr().out


def test_a_place_that_cannot_be_written_is_named(tmp_path, monkeypatch, capsys):
    (tmp_path / "data").write_text("a file")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    assert execute(["completion", "bash", "--install"]) == 2
    assert "cannot be written" in capsys.readouterr().err
