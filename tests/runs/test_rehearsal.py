"""What cannot be done shows before the first frame; what was computed gets its name."""

import json
from pathlib import Path

import av
import pytest

from support.clips import tiny_checkpoint, write_clip
from support.joining import STREAMS, encode, scan_of
from support.kinds import write_kind
from vsrpp_cli.cli.main import execute
from vsrpp_cli.errors import EncoderError, StrictError, UsageError, VerificationError
from vsrpp_cli.media.decode.probe import probe
from vsrpp_cli.media.encode.selection import resolve
from vsrpp_cli.media.mux.joined import Portion
from vsrpp_cli.media.mux.stream_copy import Copier
from vsrpp_cli.media.mux.stream_selection import plan_streams
from vsrpp_cli.media.output.assembly import Assembly
from vsrpp_cli.media.types import OutputPlan
from vsrpp_cli.options import UpscaleOptions
from vsrpp_cli.runs.names import temporary_output, unverified_output
from vsrpp_cli.runs.plans.rehearsal import Resizing
from vsrpp_cli.runs.run import upscale, write_plan
from vsrpp_cli.runs.workers import serial

EVERYTHING = STREAMS / "everything.mkv"


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return str(tiny_checkpoint(tmp_path_factory.mktemp("models") / "tiny.pth"))


@pytest.fixture
def clip(tmp_path):
    return write_clip(tmp_path / "in.mkv", 8, (32, 32), audio=True)


@pytest.fixture
def run(model, monkeypatch):
    """Run, resizing instead of computing; returns the report and the phases it went through."""
    monkeypatch.setattr(serial, "load_engine", lambda _: Resizing())

    def go(source, output, **options):
        said = []
        chosen = UpscaleOptions(
            model=model, precision="fp32", threads=1, segment=4, **{**encoding(output), **options}
        )
        report = upscale(source, output, chosen, on_progress=said.append)
        return report, said

    return go


def encoding(output):
    return {"preset": "ultrafast"} if output.suffix else {}


def failing(monkeypatch, kind, *, times):
    """Let copying streams of a kind fail, from a join on: 1 is the rehearsal's first."""
    original, joins = Copier.__init__, []

    def fail(self, source, *args, **options):
        joins.append(source.type)
        if source.type == kind and joins.count(kind) >= times:
            raise ValueError("nothing to be made of it")
        original(self, source, *args, **options)

    monkeypatch.setattr(Copier, "__init__", fail)


def kinds(path):
    with av.open(str(path)) as file:
        return [stream.type for stream in file.streams]


def test_a_stream_that_cannot_be_carried_is_said_before_the_work(run, clip, tmp_path, monkeypatch):
    failing(monkeypatch, "audio", times=1)
    report, said = run(clip, tmp_path / "out.mkv")
    assert kinds(tmp_path / "out.mkv") == ["video"]
    (finding,) = report.rehearsal
    assert "audio track 1 (aac) is left out: nothing to be made of it" in finding
    phases = [p.phase for p in said]
    assert phases.index("note") < phases.index("compute")
    assert report.notes.count(finding) == 1


def test_strictly_it_is_refused_before_the_work(run, clip, tmp_path, monkeypatch):
    failing(monkeypatch, "audio", times=1)
    with pytest.raises(StrictError, match="audio track 1"):
        run(clip, tmp_path / "out.mkv", strict=True)
    assert list(tmp_path.iterdir()) == [clip]


def test_a_stream_that_fails_at_the_end_is_left_out_and_said(run, clip, tmp_path, monkeypatch):
    failing(monkeypatch, "audio", times=2)
    report, _ = run(clip, tmp_path / "out.mkv")
    assert kinds(tmp_path / "out.mkv") == ["video"]
    assert report.rehearsal == []
    assert any("audio track 1" in note for note in report.notes)


def test_strictly_what_fails_at_the_end_keeps_the_result(run, clip, tmp_path, monkeypatch):
    failing(monkeypatch, "audio", times=2)
    with pytest.raises(VerificationError, match=r"kept as .*out\.unverified\.mkv"):
        run(clip, tmp_path / "out.mkv", strict=True)
    assert kinds(tmp_path / "out.unverified.mkv") == ["video"]
    assert len(list((tmp_path / "out.mkv.vsrpp" / "segments").iterdir())) == 2
    report, _ = run(clip, tmp_path / "out.mkv")
    assert report.segments_reused == 2


@pytest.mark.parametrize("broken", ["one", "all"])
def test_an_error_that_names_no_stream_costs_as_few_as_possible(run, tmp_path, monkeypatch, broken):
    original = Assembly._joined

    def fail(self, streams, *rest):
        kept = [c for c in streams if c.action != "drop"]
        if any(c.kind == "attachment" for c in kept) or (broken == "all" and kept):
            raise EncoderError("the muxer refuses")
        return original(self, streams, *rest)

    monkeypatch.setattr(Assembly, "_joined", fail)
    report, _ = run(EVERYTHING, tmp_path / "out.mkv")
    found = kinds(tmp_path / "out.mkv")
    assert "attachment" not in found
    assert ("audio" in found) == (broken == "one")
    assert any("the muxer refuses" in text for text in report.rehearsal)


def test_a_join_that_cannot_be_is_found_before_the_work(run, clip, tmp_path, monkeypatch):
    monkeypatch.setattr("vsrpp_cli.media.mux.join.decoding_times", lambda *_: [])
    with pytest.raises(EncoderError, match="found by rehearsing"):
        run(clip, tmp_path / "out.mkv")
    assert list(tmp_path.iterdir()) == [clip]


def test_a_track_without_packets_is_no_loss(run, tmp_path):
    source = write_kind(tmp_path, "announced")
    assert [s.kind for s in probe(str(source)).streams] == ["audio"]
    report, _ = run(source, tmp_path / "out.mp4", strict=True)
    assert report.rehearsal == []
    assert kinds(tmp_path / "out.mp4") == ["video"]


def test_the_rehearsal_is_in_the_report_and_not_repeated(run, clip, model, tmp_path, capsys):
    output, account = tmp_path / "out.mkv", tmp_path / "report.json"
    report, _ = run(clip, output)
    assert report.seconds["rehearse"] > 0
    options = ["--model", model, "--precision", "fp32", "--report", account, "-v", "-y"]
    command = [str(word) for word in ("upscale", clip, output, *options, "--preset", "ultrafast")]
    assert execute(["plan", *command[1:5], "--precision", "fp32", "--write",
                    "--restart", "-y", "--preset", "ultrafast"]) == 0  # fmt: skip
    assert execute(command) == 0
    assert "rehearse" not in json.loads(account.read_text("utf-8"))["seconds"]
    assert "rehearsal: nothing that cannot be kept" in capsys.readouterr().err


def test_a_plan_for_workers_is_rehearsed(model, clip, tmp_path, monkeypatch):
    failing(monkeypatch, "audio", times=1)
    options = UpscaleOptions(model=model, precision="fp32", strict=True)
    with pytest.raises(StrictError):
        write_plan(clip, tmp_path / "out.mkv", options)
    assert list(tmp_path.iterdir()) == [clip]


def test_a_portion_of_a_long_stream_is_enough(tmp_path):
    source = write_clip(tmp_path / "in.mp4", 30 * 24, (32, 32), audio=True)
    info, scan = probe(str(source)), scan_of(source, 0, 6)
    options, output = UpscaleOptions(preset="ultrafast"), tmp_path / "out.mkv"
    settings = resolve(info, options, output, scale=1, threads=1)
    plan = OutputPlan(
        path=str(output), encode=settings, streams=plan_streams(info, settings, options)
    )
    segments = encode(tmp_path, scan, settings)
    portion = Portion(packets=20, seconds=60)
    made = Assembly(segments, scan, info, plan, output, decode=True, portion=portion).run()
    assert made.streams == plan.streams
    with av.open(str(output)) as file:
        assert 15 <= sum(packet.size > 0 for packet in file.demux(audio=0)) <= 21


@pytest.mark.parametrize("name", [f"{'n' * 243}.mkv", f"{'ü' * 121}.mkv"])
def test_names_of_the_longest_kind(run, clip, tmp_path, name):
    assert len(name.encode()) >= 246
    run(clip, tmp_path / name)
    assert [p.name for p in tmp_path.iterdir() if p != clip] == [name]


def test_names_beside_the_output_differ_where_they_are_cut():
    one, two = Path(f"{'n' * 249}1.mkv"), Path(f"{'n' * 249}2.mkv")
    for naming in (temporary_output, unverified_output):
        assert naming(one) != naming(two)
        assert len(naming(one).name.encode()) <= 255
        assert naming(one).suffix == ".mkv"


def test_frames_are_rehearsed_with_their_longest_name(run, tmp_path):
    frames = tmp_path / "frames"
    frames.mkdir()
    for name in ("a", "b", "n" * 251):
        picture = av.VideoFrame(16, 16, "rgb24")
        picture.planes[0].update(bytes(picture.planes[0].buffer_size))
        codec = av.CodecContext.create("bmp", "w")
        codec.width, codec.height, codec.pix_fmt = 16, 16, "bgr24"
        codec.time_base = 1
        (frames / f"{name}.bmp").write_bytes(
            bytes(codec.encode(picture.reformat(format="bgr24"))[0])
        )
    with pytest.raises(UsageError, match=r"n\.webp: the name is too long.*found by rehearsing"):
        run(frames, tmp_path / "out", codec="webp")
    assert not (tmp_path / "out").exists()
    report, _ = run(frames, tmp_path / "out")
    assert report.frames == 3
