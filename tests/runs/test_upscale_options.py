"""Options of `vsrpp upscale` that change how a run goes: each is seen at work."""

import hashlib
import json
from itertools import pairwise

import pytest

from support.clips import tiny_checkpoint, write_clip
from support.commands import assert_one_line, ffprobe, frame_hashes, vsrpp
from vsrpp_cli.media.compression import compression_of
from vsrpp_cli.media.source import open_source


@pytest.fixture(scope="module")
def parts(tmp_path_factory):
    """A clip and a tiny network."""
    folder = tmp_path_factory.mktemp("parts")
    return write_clip(folder / "in.mp4", 6), tiny_checkpoint(folder / "tiny.pth")


@pytest.fixture(scope="module")
def command(parts):
    """Return the arguments of a run into a folder."""
    clip, model = parts
    return lambda folder: ("upscale", clip, folder / "out.mp4", "--model", model, "--threads", 1)


@pytest.mark.parametrize(("given", "precision"), [(("--fp16",), "fp16"), ((), "bf16")])
def test_fp16_computes_in_float16_and_says_that_this_is_slow(command, tmp_path, given, precision):
    report = tmp_path / "report.json"
    options = given or ("--precision", precision)
    vsrpp(*command(tmp_path), "--device", "cpu", *options, "--report", report, check=0)
    account = json.loads(report.read_text())
    assert account["precision"] == precision
    assert ("float16 is slow on a CPU" in account["events"]) == (precision == "fp16")


def test_kernels_are_planned_where_they_are_asked_for_and_only_there(command, tmp_path):
    for given, kernels in (("--compile",), "compiled"), (("--graphs",), "graphed"), ((), None):
        plan = vsrpp("plan", *command(tmp_path)[1:], *given, "--json", check=0).stdout
        assert json.loads(plan)["compute"]["kernels"] == kernels


def test_two_ways_to_compute_exclude_each_other(command, tmp_path):
    failed = vsrpp(*command(tmp_path), "--compile", "--graphs", check=2)
    assert "--compile and --graphs exclude each other" in assert_one_line(failed)


def test_memory_limit_makes_the_geometry_smaller_and_keeps_to_it(parts, tmp_path):
    clip, report = write_clip(tmp_path / "wide.mp4", 15, size=(320, 180)), tmp_path / "report.json"
    run = (clip, tmp_path / "out.mp4", "--model", parts[1], "--overlap", 2, "--threads", 1)
    plain = json.loads(vsrpp("plan", *run, "--json", check=0).stdout)["geometry"]
    assert plain["chunk"] == 15
    assert plain["tile_w"] is None
    limit = plain["memory"] - (30 << 20)
    vsrpp("upscale", *run, "--memory-limit", limit, "--report", report, check=0)
    geometry = json.loads(report.read_text())["geometry"]
    assert geometry["memory"] <= limit
    assert geometry["chunk"] < 15 or geometry["tile_w"] is not None
    assert len(frame_hashes(tmp_path / "out.mp4")) == 15


def test_a_memory_limit_below_everything_ends_with_5_and_the_size_needed(command, tmp_path):
    failed = vsrpp(*command(tmp_path), "--memory-limit", "256M", check=5)
    assert "need" in assert_one_line(failed)


def test_quiet_says_nothing_and_verbose_more_than_usual(command, tmp_path):
    said = []
    for options in (("-q",), (), ("-v",)):
        done = vsrpp(*command(tmp_path), "-y", *options, check=0)
        assert done.stdout == ""
        said.append(done.stderr.splitlines())
    assert said[0] == []
    assert all(len(less) < len(more) for less, more in pairwise(said))
    for word in ("segments:", "tiles:", "memory:", "time: scan"):
        assert any(line.startswith(word) for line in said[2])
        assert not any(line.startswith(word) for line in said[1])


def test_quiet_still_says_why_a_run_failed_and_twice_verbose_where(command, tmp_path):
    (tmp_path / "out.mp4").write_text("here already")
    assert_one_line(vsrpp(*command(tmp_path), "-q", check=2))
    failed = vsrpp(*command(tmp_path), "-vv", check=2)
    assert "Traceback" in failed.stderr
    assert "OutputExistsError" in failed.stderr


def spoil(folder):
    """Damage a picture inside the last segment, and let its mark say that it is right."""
    mark = max((folder / "segments").glob("*.done"))
    record = json.loads(mark.read_text())
    segment = folder / "segments" / record["name"]
    packet = max(ffprobe(segment, "-show_packets")["packets"], key=lambda p: int(p["size"]))
    data = bytearray(segment.read_bytes())
    start, size = int(packet["pos"]), int(packet["size"])
    data[start + size // 2 : start + size - 8] = b"\xff" * (size - 8 - size // 2)
    segment.write_bytes(data)
    digest = hashlib.blake2b(data, digest_size=16).hexdigest()
    mark.write_text(json.dumps({**record, "digest": digest}))


def test_no_verify_leaves_out_decoding_the_result_and_nothing_else_finds_damage(command, tmp_path):
    run = (*command(tmp_path), "--segment", 3, "--crf", 1)
    run = (*run[:2], tmp_path / "out.mkv", *run[3:])
    folder = tmp_path / "out.mkv.vsrpp"
    vsrpp("plan", *run[1:], "--write", check=0)
    vsrpp("worker", folder, 0, 1, check=0)
    spoil(folder)
    failed = assert_one_line(vsrpp(*run, check=6))
    assert "out.unverified.mkv" in failed
    assert not (tmp_path / "out.mkv").exists()
    vsrpp(*run, "--no-verify", check=0)
    assert ffprobe(tmp_path / "out.mkv", "-count_packets", "-show_streams")["streams"][0][
        "nb_read_packets"
    ] == "6"  # fmt: skip


@pytest.mark.parametrize(("qp", "name"), [(35, "compact-web"), (8, "compact")])
def test_the_first_line_and_the_plan_say_which_model_and_why(tmp_path, qp, name):
    clip = write_clip(tmp_path / "a.mkv", 2, (32, 32), options={"qp": str(qp)})
    why = compression_of(open_source(clip).info).text
    more = ("--device", "cpu", "--threads", 1)
    assert f"{name} ({why})" in vsrpp("plan", clip, *more, check=0).stdout
    done = vsrpp("upscale", clip, tmp_path / "b.mkv", *more, check=0)
    assert done.stderr.splitlines()[0] == f"{why}, {name}"
    chosen = vsrpp("plan", clip, *more, "--model", "compact", check=0).stdout
    assert "mean quantiser" not in chosen
