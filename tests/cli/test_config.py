"""`--config`, contradictions on the command line, and `-v` in every place."""

import json

import click
import pytest

from support.clips import tiny_checkpoint, write_clip
from vsrpp_cli.cli import main as cli
from vsrpp_cli.cli.main import execute


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    return write_clip(tmp_path_factory.mktemp("config") / "in.mp4", 2, size=(98, 64))


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return tiny_checkpoint(tmp_path_factory.mktemp("model") / "tiny.pth")


@pytest.fixture
def parsed(monkeypatch, clip, tmp_path):
    """Return what `make_options` gets from a config file and further arguments."""
    seen = {}

    def keep(values):
        seen.update(values)
        raise SystemExit

    monkeypatch.setattr("vsrpp_cli.cli.params.make_options", keep)

    def parse(text, *args):
        (tmp_path / "c.toml").write_text(text, encoding="utf-8")
        command = ["upscale", clip, tmp_path / "out.mp4", "--config", tmp_path / "c.toml", *args]
        with pytest.raises(SystemExit):
            execute(list(map(str, command)))
        return dict(seen)

    parse.seen = seen
    return parse


@pytest.mark.parametrize(
    ("line", "name", "value"),
    [
        ("no-audio = true", "audio", False),
        ("no-audio = false", "audio", True),
        ("audio = false", "audio", False),
        ("no_verify = true", "verify", False),
        ("fp16 = true", "precision", "fp16"),
        ("fp16 = false", "precision", "auto"),
        ("restart = true", "resume", "restart"),
        ("resume = true", "resume", "must"),
        ("y = true", "overwrite", True),
        ("m = 'x.pth'", "model", "x.pth"),
        ("tile = 256", "tile", "256"),
        ("guard = false", "guard", False),
        ("no-guard = true", "guard", False),
        ("scenes = false", "scenes", "off"),
        ("no-scenes = true", "scenes", "off"),
        ("yes = true", "overwrite", True),
        ("crf = 18", "crf", 18.0),
        ("scale = 1.5", "scale", 1.5),
        ("memory-limit = '4G'", "memory_limit", 4 << 30),
        ("encoder-option = ['a=1', 'b=2']", "encoder_options", (("a", "1"), ("b", "2"))),
        ("encoder-option = 'a=1'", "encoder_options", (("a", "1"),)),
        ("[encoder-option]\na = 1", "encoder_options", (("a", "1"),)),
    ],
)
def test_keys_of_a_config_are_named_as_the_options_are(parsed, line, name, value):
    assert parsed(line)[name] == value


@pytest.mark.parametrize(
    ("text", "args", "expected"),
    [
        ("height = 128", ["--scale", "2"], {"height": None, "scale": 2}),
        ("scale = 2", ["--height", "128"], {"height": 128, "scale": None}),
        ("scale = 2", ["--width", "128"], {"width": 128, "scale": None}),
        ("fp16 = true", ["--precision", "fp32"], {"precision": "fp32"}),
        ("restart = true", ["--resume"], {"resume": "must"}),
        ("crf = 20", ["--crf", "3"], {"crf": 3}),
    ],
)
def test_the_command_line_beats_the_config(parsed, text, args, expected):
    values = parsed(text, *args)
    assert {name: values[name] for name in expected} == expected


PRESET = """
crf = 20
height = 128
[presets.small]
scale = 2
no-audio = true
[presets.odd]
no-such = 1
"""


def test_a_preset_changes_the_config_and_the_command_line_changes_both(parsed):
    values = parsed(PRESET)
    assert (values["crf"], values["height"], values["scale"]) == (20, 128, None)
    values = parsed(PRESET, "--use", "small")
    assert (values["crf"], values["height"], values["scale"]) == (20, None, 2)
    assert values["audio"] is False
    values = parsed(PRESET, "--use", "small", "--scale", "3", "--crf", "9")
    assert (values["crf"], values["scale"]) == (9, 3)


def test_a_preset_may_be_named_before_the_file(parsed, tmp_path):
    (tmp_path / "c.toml").write_text(PRESET)
    with pytest.raises(SystemExit):
        execute(["upscale", "--use", "small", "--config", str(tmp_path / "c.toml"), "a", "b"])
    assert (parsed.seen["crf"], parsed.seen["scale"]) == (20, 2)


def test_a_file_named_by_the_environment_serves_every_command(parsed, monkeypatch, tmp_path, clip):
    (tmp_path / "e.toml").write_text("codec = 'ffv1'\nchunk = 9\n[presets.mine]\ncrf = 7")
    monkeypatch.setenv("VSRPP_CONFIG", str(tmp_path / "e.toml"))
    for name in ("upscale", "plan", "degrade"):
        command = [name, "--use", "mine", "--dry-run"][: 4 if name == "upscale" else 3]
        with pytest.raises(SystemExit):
            execute([*command, str(clip), str(tmp_path / "out.mkv")])
        assert parsed.seen["codec"] == "ffv1"
        assert parsed.seen["crf"] == 7


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["--use", "none"], "--use none: there is no such preset; the config file has small, odd"),
        (["--use", "odd"], "preset odd: unknown option no-such"),
    ],
)
def test_a_preset_that_is_not_there_or_says_too_much_is_refused(tmp_path, capsys, args, said):
    (tmp_path / "c.toml").write_text(PRESET)
    for order in ([*args, "--config", "c.toml"], ["--config", "c.toml", *args]):
        words = [str(tmp_path / w) if w == "c.toml" else w for w in order]
        assert execute(["upscale", "a", "b", *words]) == 2
        assert said in capsys.readouterr().err


def test_a_config_file_that_is_missing_is_named_once(tmp_path, capsys):
    assert execute(["upscale", "a", "b", "--config", str(tmp_path / "none.toml")]) == 2
    said = capsys.readouterr().err
    assert f" --config: {tmp_path}/none.toml: no such file or directory;" in said
    assert said.count("\n") == 1


def test_without_a_config_file_there_are_no_presets(capsys):
    assert execute(["upscale", "a", "b", "--use", "x"]) == 2
    assert "--use x: there is no such preset; --config has none" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("no-such = 1", "unknown option no-such"),
        ("fp16 = true\nprecision = 'fp32'", "fp16 and precision exclude each other"),
        ("no-audio = 'yes'", "must be true or false"),
        ("scale = [1]", "scale: must be one value"),
        ("presets = 3", "presets: must be tables [presets.NAME]"),
    ],
)
def test_what_a_config_cannot_say_is_named(clip, tmp_path, capsys, text, said):
    (tmp_path / "c.toml").write_text(text)
    command = ["upscale", clip, tmp_path / "out.mp4", "--config", tmp_path / "c.toml"]
    assert execute(list(map(str, command))) == 2
    assert said in capsys.readouterr().err


@pytest.mark.parametrize(
    ("args", "name", "value"),
    [
        ([], "guard", True),
        (["--guard", "on"], "guard", True),
        (["--guard", "off"], "guard", False),
        (["--no-guard"], "guard", False),
        ([], "scenes", "auto"),
        (["--scenes", "auto"], "scenes", "auto"),
        (["--scenes", "off"], "scenes", "off"),
        (["--no-scenes"], "scenes", "off"),
        (["--yes"], "overwrite", True),
    ],
)
def test_switches_and_how_they_were_written_before(parsed, args, name, value):
    assert parsed("", *args)[name] == value


@pytest.mark.parametrize(
    "pair",
    [("--resume", "--restart"), ("--fp16", "--precision fp32"), ("--no-guard", "--guard off")],
)
def test_contradictions_are_refused_and_both_options_named(clip, tmp_path, capsys, pair):
    words = [word for option in pair for word in option.split()]
    assert execute(["upscale", str(clip), str(tmp_path / "out.mp4"), *words]) == 2
    said = capsys.readouterr().err
    assert all(option.split()[0] in said for option in pair)


def test_an_odd_width_that_becomes_even_is_said(clip, model, tmp_path, capsys):
    command = ["plan", clip, tmp_path / "o.mp4", "-m", model, "--width", "301", "--json"]
    assert execute(list(map(str, command))) == 0
    notes = json.loads(capsys.readouterr().out)["output"]["encode"]["notes"]
    assert "width 301 becomes 302: this pixel format needs even sizes" in notes


@pytest.mark.parametrize(
    "args",
    [
        ["-vv", "upscale", "in", "out"],
        ["upscale", "in", "out", "-vvv"],
        ["upscale", "-v", "in", "out", "-v"],
        ["-v", "upscale", "in", "out", "-qv"],
        ["-vv", "doctor"],
        ["-vv", "models", "list"],
        ["--verbose", "--verbose", "join", "."],
    ],
)
def test_twice_verbose_shows_where_for_every_command_and_in_every_place(args, monkeypatch, capsys):
    def fail(*_args, **_kwargs):
        raise RuntimeError("unforeseen")

    monkeypatch.setattr(cli.LazyGroup, "get_command", fail)
    assert execute(args) == 1
    said = capsys.readouterr().err
    assert "Traceback" in said
    assert "unforeseen (a bug; vsrpp -vv COMMAND shows where)" in said


@pytest.mark.parametrize("args", [["-v", "doctor"], ["upscale", "in", "-mvv"], ["doctor"]])
def test_less_than_twice_verbose_shows_one_line(args, monkeypatch, capsys):
    def fail(*_args, **_kwargs):
        raise RuntimeError("unforeseen")

    monkeypatch.setattr(cli.LazyGroup, "get_command", fail)
    assert execute(args) == 1
    assert "Traceback" not in capsys.readouterr().err


def test_verbose_before_the_command_counts_for_the_command():
    context = click.Context(cli.main)
    context.params["verbose"] = 2
    command = cli.main.get_command(context, "upscale")
    values = command.make_context("upscale", ["in", "out", "-v"], parent=context).params
    assert values["verbose"] == 3
