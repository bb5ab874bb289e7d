"""Help texts: headings, examples, widths; and answers to mistakes of typing."""

import os
import re
import shlex
import subprocess
import sys

import click
import pytest

from vsrpp_cli.cli.command import HELP_WIDTH, Command
from vsrpp_cli.cli.main import COMMANDS, execute, main


def leaves(group=main, path=()):
    """Yield the words and the object of every command that is no group."""
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if isinstance(command, click.Group):
            yield from leaves(command, (*path, name))
        else:
            yield (*path, name), command


LEAVES = dict(leaves())
IDS = [" ".join(path) for path in LEAVES]


def help_of(*path, columns, monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", str(columns))
    assert execute([*path, "--help"]) == 0
    return capsys.readouterr().out


@pytest.mark.parametrize("command", LEAVES.values(), ids=IDS)
def test_every_option_that_is_shown_has_a_text(command):
    assert isinstance(command, Command)
    for parameter in command.params:
        if isinstance(parameter, click.Option) and not parameter.hidden:
            assert parameter.help, parameter.opts


@pytest.mark.parametrize("path", LEAVES, ids=IDS)
def test_help_is_in_the_words_of_its_reader(path, monkeypatch, capsys):
    """No marks that only click understands, and no names of its types."""
    text = help_of(*path, columns=80, monkeypatch=monkeypatch, capsys=capsys)
    assert "\\" not in text
    assert not re.search(r"\b(TEXT|RANGE|INTEGER|FLOAT)\b", text)


@pytest.mark.parametrize("path", [[], ["models"]], ids=["vsrpp", "models"])
def test_what_a_command_does_stands_whole_in_the_list_of_commands(path, monkeypatch, capsys):
    text = help_of(*path, columns=80, monkeypatch=monkeypatch, capsys=capsys)
    lines = text.partition("Commands:\n")[2].splitlines()
    assert len(lines) > 4
    assert all(re.fullmatch(r"  [a-z]+ +[A-Z].*[\w)]\.", line) for line in lines)


@pytest.mark.parametrize("path", LEAVES, ids=IDS)
def test_texts_of_options_stand_below_each_other(path, monkeypatch, capsys):
    text = help_of(*path, columns=HELP_WIDTH, monkeypatch=monkeypatch, capsys=capsys)
    lines = text.partition("Examples:")[0].splitlines()
    columns = {found.end() for line in lines if (found := re.match(r"  -\S.*?  +(?=\S)", line))}
    assert len(columns) == 1


@pytest.mark.parametrize("command", LEAVES.values(), ids=IDS)
def test_whoever_shows_progress_can_be_quiet(command):
    names = {name for parameter in command.params for name in parameter.opts}
    assert ("--progress" in names) <= ({"-q", "--quiet"} <= names)


def test_upscale_shows_its_headings_in_order_and_ends_with_examples(monkeypatch, capsys):
    text = help_of("upscale", columns=100, monkeypatch=monkeypatch, capsys=capsys)
    headings = re.findall(r"^(\w[\w ]*):$", text, re.MULTILINE)
    expected = ["Model", "Size", "Output", "Input", "Computing", "Run", "Messages", "Examples"]
    assert [heading for heading in headings if heading in expected] == expected
    assert text.index("--height") < text.index("--codec") < text.index("--threads")
    assert "--guard" not in text


@pytest.mark.parametrize("columns", [60, 80, HELP_WIDTH, 240])
def test_help_uses_the_width_of_the_terminal(columns, monkeypatch, capsys):
    text = help_of("upscale", columns=columns, monkeypatch=monkeypatch, capsys=capsys)
    longest = max(map(len, text.partition("Examples:")[0].splitlines()))
    width = min(columns, HELP_WIDTH)
    assert width - 20 < longest <= width


@pytest.mark.parametrize("command", LEAVES.values(), ids=IDS)
def test_examples_are_commands_that_parse(command):
    for line in command.examples:
        ours = next(part for part in line.split("|") if "vsrpp" in part)
        program, *words = shlex.split(ours.partition(">")[0], comments=True)
        if program == "torchrun":
            words = words[words.index("vsrpp_cli") + 1 :]
        name, *rest = words
        found = main.get_command(click.Context(main), name)
        while isinstance(found, click.Group):
            name, *rest = rest
            found = found.get_command(click.Context(found), name)
        parser = found.make_parser(click.Context(found))
        _, left, _ = parser.parse_args(rest)
        assert not left


def test_help_imports_nothing_that_is_slow():
    code = (
        "import sys; from vsrpp_cli.cli.main import execute\n"
        f"for name in {list(COMMANDS)}: execute([name, '--help'])\n"
        "slow = {'av', 'numba', 'numpy', 'torch', 'tqdm', 'huggingface_hub'} & set(sys.modules)\n"
        "sys.exit(f'imported: {sorted(slow)}' if slow else 0)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, env=os.environ
    )
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["upscal"], "no such command upscal: did you mean upscale?"),
        (["models", "lst"], "no such command lst: did you mean list?"),
        (["upscale", "--hieght", "3"], "no such option --hieght: did you mean --height or"),
        (["upscale", "a", "b", "-crf", "18"], "no such option -crf: did you mean --crf?"),
        (["upscale", "a", "b", "-model=x"], "no such option -model=x: did you mean --model?"),
        (["upscale", "a", "--xqzw"], "no such option --xqzw; see vsrpp upscale --help"),
        (["upscale", "a"], "missing argument 'OUTPUT'; usage: vsrpp upscale [OPTIONS] INPUT"),
        (["doctor", "a"], "got unexpected extra argument (a); usage: vsrpp doctor [OPTIONS]"),
        (["upscale", "a", "b", "--crf"], "option '--crf' requires an argument"),
        (["upscale", "a", "b", "--fps", "x"], "--fps 'x': not a number; see vsrpp upscale --help"),
        (["upscale", "a", "b", "--frames", "0"], "--frames '0': must be a whole number, at least"),
        (["upscale", "a", "b", "--precision", "x"], "--precision: 'x' is not one of 'auto',"),
        (["FILM.mp4", "out.mp4"], "FILM.mp4 is no command: `vsrpp upscale INPUT OUTPUT`"),
    ],
)
def test_mistakes_are_answered_in_one_line_of_one_form(args, said, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "FILM.mp4").touch()
    assert execute(args) == 2
    text = capsys.readouterr().err
    assert text.startswith(f"vsrpp: {said}")
    assert text.count("\n") == 1
