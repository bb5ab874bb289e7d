"""What `--progress json`, `--report`, `--dry-run` and `plan --json` give to programs."""

import json

import pytest

from support.clips import tiny_checkpoint, write_clip
from support.events import OPEN, assert_events, events_of
from vsrpp_cli.cli import main as cli
from vsrpp_cli.cli.main import execute


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return tiny_checkpoint(tmp_path_factory.mktemp("model") / "tiny.pth")


@pytest.fixture
def run(model, tmp_path, capsys):
    """Return a function that runs a command and gives exit code, stdout and events."""
    write_clip(tmp_path / "in.mp4", 3)

    def call(name, *args, events=True):
        given = [tmp_path / "in.mp4", *args] if name != "batch" else args
        command = [name, *given, "-m", model, "--threads", 1]
        command += ["--progress", "json"] if events else []
        code = execute(list(map(str, command)))
        said = capsys.readouterr()
        return (
            code,
            said.out,
            events_of(said.err) if events else said.err,
        )

    return call


def test_a_run_says_events_only_and_ends_with_its_result(run, tmp_path):
    code, out, events = run("upscale", tmp_path / "out.mp4", "--report", tmp_path / "r.json")
    assert (code, out) == (0, "")
    assert_events(events, "result")
    assert events[0]["command"] == "upscale"
    assert {e["phase"] for e in events if e["event"] == "progress"} >= {"scan", "compute", "verify"}
    assert {"kind": "source"}.items() <= next(e for e in events if e["event"] == "note").items()
    assert events[-1]["output"] == str(tmp_path / "out.mp4")
    assert events[-1]["exit_code"] == 0
    assert events[-1]["report"] == json.loads((tmp_path / "r.json").read_text())


def test_progress_tells_segment_speed_and_the_time_left(run, tmp_path):
    _, _, events = run("upscale", tmp_path / "out.mp4", "--segment", 1, "--scenes", "off")
    steps = [e for e in events if e.get("phase") == "compute"]
    assert [(e["done"], e["segment"]) for e in steps[:1]] == [(0, 0)]
    assert (steps[0]["fps"], steps[0]["eta"]) == (None, None)
    assert (steps[-1]["done"], steps[-1]["segment"]) == (3, 2)
    assert steps[-1]["fps"] > 0
    assert steps[-1]["eta"] == 0


def test_the_schema_lets_readers_meet_what_they_do_not_know():
    event = {"schema": 1, "event": "note", "kind": "source", "text": "x"}
    assert OPEN.is_valid({**event, "new": 1})
    assert not OPEN.is_valid({**event, "schema": 2})
    assert not OPEN.is_valid({**event, "event": "message"})
    assert not OPEN.is_valid({k: v for k, v in event.items() if k != "kind"})


@pytest.mark.parametrize(
    ("args", "kind"),
    [
        (["here.mp4"], "OutputExistsError"),
        (["out.mp4", "--crf"], "UsageError"),
        (["out.mp4", "--chunk", "1"], "UsageError"),
        (["out.mp4", "--resume", "--restart"], "UsageError"),
        (["out.mp4", "--resume"], "ResumeRefusedError"),
    ],
)
def test_reasons_with_one_exit_code_differ_by_kind(run, tmp_path, monkeypatch, args, kind):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "here.mp4").write_text("here already")
    code, _, events = run("upscale", *args)
    assert code == 2
    assert_events(events, "error")
    assert (events[-1]["kind"], events[-1]["exit_code"]) == (kind, 2)
    assert "\n" not in events[-1]["message"]


def test_a_bug_and_an_interruption_end_with_an_event_too(monkeypatch, capsys):
    for error, kind, code in (
        (RuntimeError("x"), "RuntimeError", 1),
        (KeyboardInterrupt(), "Interrupted", 130),
    ):

        def fail(*_args, error=error):
            raise error

        monkeypatch.setattr(cli.LazyGroup, "get_command", fail)
        assert execute(["upscale", "--progress=json", "-vv"]) == code
        (event,) = events_of(capsys.readouterr().err)
        assert event["kind"] == kind
        assert "Traceback" in event["traceback"]


def test_events_may_be_asked_for_in_a_config(run, tmp_path):
    (tmp_path / "c.toml").write_text("progress = 'json'")
    _, _, said = run("upscale", tmp_path, "--config", tmp_path / "c.toml", "--resume", events=False)
    assert events_of(said)[-1]["kind"] == "ResumeRefusedError"


@pytest.mark.parametrize(
    ("args", "kind", "code"),
    [
        (["here.mp4"], "OutputExistsError", 2),
        (["out.mp4", "--chunk", "1"], "UsageError", 2),
        (["out.mp4", "--start", "99"], "UsageError", 2),
        (["out.mp4", "--device", "cuda:77"], "DeviceError", 2),
        (["out.mp4", "--codec", "no-such"], "UnknownNameError", 2),
    ],
)
def test_the_report_of_a_failed_run_says_why(run, tmp_path, monkeypatch, args, kind, code):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "here.mp4").write_text("here already")
    report = tmp_path / "r.json"
    done, _, said = run("upscale", *args, "--report", report, events=False)
    account = json.loads(report.read_text())
    assert (account["error_kind"], account["exit_code"], done) == (kind, code, code)
    assert account["status"] == "failed"
    assert said.endswith(f"vsrpp: {account['error']}\n")


def test_a_dry_run_prints_on_stdout_and_its_report_is_planned(run, tmp_path):
    report = tmp_path / "r.json"
    code, out, said = run(
        "upscale", tmp_path / "o.mp4", "--dry-run", "--report", report, events=False
    )
    assert (code, said) == (0, "")
    assert "segments" in out
    account = json.loads(report.read_text())
    assert (account["status"], account["frames"], account["size"]) == ("planned", 3, [256, 256])
    assert not (tmp_path / "o.mp4").exists()


def test_a_batch_says_events_only_and_reports_failures(run, tmp_path):
    folder = tmp_path / "films"
    folder.mkdir()
    write_clip(folder / "a.mp4", 2)
    report, batch = (
        tmp_path / "r.json",
        ("batch", folder, tmp_path / "out", "--report", tmp_path / "r.json"),
    )
    code, out, events = run(*batch, "--dry-run")
    assert (code, json.loads(report.read_text())["status"]) == (0, "planned")
    assert "a_x4.mp4" in out
    assert_events(events, "result")
    (folder / "b.mp4").write_text("no video")
    code, out, events = run(*batch)
    assert (code, out) == (7, "")
    assert_events(events, "error")
    account = json.loads(report.read_text())
    assert events[-1]["report"] == account
    assert (account["error_kind"], account["exit_code"]) == ("BatchError", 7)
    assert [i["error_kind"] for i in account["items"]] == ["", "InputError"]
    (folder / "b.mp4").unlink()
    code, _, events = run(*batch)
    assert_events(events, "result")
    assert events[-1]["report"]["skipped"] == 1
    assert run("batch", tmp_path / "none", tmp_path / "out", "--report", report)[0] == 3
    assert json.loads(report.read_text())["error_kind"] == "InputError"


def test_plan_json_holds_values_of_their_own_types_also_when_it_is_written(run, tmp_path):
    target = tmp_path / "o.mp4"
    code, out, _ = run("plan", target, "--json", "--crf", 3, events=False)
    options = json.loads(out)["options"]
    assert code == 0
    assert (options["height"], options["audio"], options["crf"]) == (None, True, 3.0)
    code, out, said = run("plan", target, "--json", "--write", "--crf", 3, events=False)
    assert json.loads(out)["options"] == options
    assert "segments 0 to 0" in said
    # What it keeps is compared with the command when the run goes on.
    assert run("upscale", target, "--crf", 3, "--resume")[0] == 0


@pytest.mark.parametrize("suffix", [".avi", ".ts", ".mkv", ".mp4"])
def test_an_output_nobody_named_has_a_container_that_can_be(model, tmp_path, capsys, suffix):
    clip = write_clip(tmp_path / f"in{suffix}", 2)
    assert execute(["plan", str(clip), "-m", str(model), "--json"]) == 0
    path = json.loads(capsys.readouterr().out)["output"]["path"]
    assert path.endswith("in_x4.mp4" if suffix == ".mp4" else "in_x4.mkv")
