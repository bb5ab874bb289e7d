"""Several inputs in one command, and outputs that are there already."""

import json

import pytest

from support.clips import tiny_checkpoint, write_clip
from vsrpp_cli.cli.main import execute


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return tiny_checkpoint(tmp_path_factory.mktemp("model") / "tiny.pth")


@pytest.fixture
def run(model, tmp_path, capsys):
    """Return a function that runs a command and gives exit code and stderr."""

    def call(name, *args):
        code = execute([name, *map(str, args), "-m", str(model), "--threads", "1"])
        return code, capsys.readouterr().err

    return call


def test_several_inputs_go_into_a_folder_with_names_from_a_template(run, tmp_path):
    inputs = [write_clip(tmp_path / name, 2) for name in ("a.mp4", "b.mkv")]
    out, report = tmp_path / "out", tmp_path / "r.json"
    command = ("upscale", *inputs, "--output-dir", out, "--name", "big_{stem}.mkv")
    code, _ = run(*command, "--report", report)
    assert code == 0
    assert sorted(p.name for p in out.glob("*.mkv")) == ["big_a.mkv", "big_b.mkv"]
    items = json.loads(report.read_text())["items"]
    assert [(i["input"], i["status"]) for i in items] == [("a.mp4", "done"), ("b.mkv", "done")]
    code, _ = run(*command, "--report", report)
    assert {i["status"] for i in json.loads(report.read_text())["items"]} == {"skipped"}


def test_one_bad_input_does_not_stop_the_others(run, tmp_path):
    (tmp_path / "bad.mp4").write_text("no video")
    good = write_clip(tmp_path / "good.mp4", 2)
    code, said = run("upscale", tmp_path / "bad.mp4", good, "--output-dir", tmp_path / "out")
    assert code == 7
    assert (tmp_path / "out" / "good_x4.mp4").exists()
    assert "1 of 2 items failed" in said


@pytest.mark.parametrize(
    ("args", "code", "said"),
    [
        (["a.mp4"], 2, "missing argument 'OUTPUT'"),
        ([], 2, "missing argument 'INPUT'"),
        (["--output-dir", "out"], 2, "missing argument 'INPUT'"),
        (["a.mp4", "b.mp4", "c.mp4"], 2, "several inputs need --output-dir FOLDER"),
        (["https://a.b/c.mp4", "o.mp4"], 3, "addresses are not read: fetch the file first"),
        (["a.mp4", "o.mp4", "--memory-limit", "8"], 2, "at least 256 MiB, e.g. 8G"),
        (["a.mp4", "b.mp4", "--name", "x"], 2, "--name needs --output-dir"),
        (["a.mp4", "--output-dir", "out", "--name", "x.mp4"], 2, "must be a file's name with"),
        (["a.mp4", "--output-dir", "a.mp4"], 2, "a.mp4 is no folder"),
        (["a.mp4", "none.mp4", "--output-dir", "out"], 3, "none.mp4: no such file or folder"),
        (["a.mp4", "b.mp4", "-y", "--skip-existing"], 2, "exclude each other"),
    ],
)
def test_what_does_not_go_together_is_refused(run, tmp_path, monkeypatch, args, code, said):
    monkeypatch.chdir(tmp_path)
    write_clip(tmp_path / "a.mp4", 2)
    found, text = run("upscale", *args)
    assert (found, text.count("\n")) == (code, 1)
    assert said in text
    assert not (tmp_path / "out").exists()


def test_an_output_that_exists_is_skipped_on_request(run, tmp_path):
    clip, out, report = write_clip(tmp_path / "in.mp4", 2), tmp_path / "o.mkv", tmp_path / "r.json"
    out.write_text("here already")
    command = ("upscale", clip, out, "--report", report)
    assert run(*command)[0] == 2
    code, said = run(*command, "--skip-existing")
    assert (code, said) == (0, f"{out} exists: skipped\n")
    assert json.loads(report.read_text())["status"] == "skipped"
    assert out.read_text() == "here already"
    out.unlink()
    assert run(*command, "--skip-existing")[0] == 0
    assert json.loads(report.read_text())["status"] == "done"


def test_a_batch_skips_outputs_of_others_on_request(run, tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "out").mkdir()
    write_clip(tmp_path / "in" / "a.mp4", 2)
    (tmp_path / "out" / "a_x4.mp4").write_text("of others")
    command = ("batch", tmp_path / "in", tmp_path / "out")
    assert run(*command)[0] == 7
    assert run(*command, "--skip-existing")[0] == 0
    assert (tmp_path / "out" / "a_x4.mp4").read_text() == "of others"
