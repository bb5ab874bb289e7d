"""Time codes, and that what is said about them is true."""

import subprocess

import pytest

from support.commands import ffprobe, vsrpp

DROPPING = "01:00:00;00"


def film(path, *options, rate="25", code="01:00:00:00"):
    """Write half a second with a time code; `options` are ffmpeg's."""
    picture = f"testsrc2=s=64x48:r={rate}:d=0.5"
    command = ["ffmpeg", "-v", "error", "-f", "lavfi", "-i", picture, "-c:v", "mpeg4", *options]
    subprocess.run([*command, *(["-timecode", code] if code else []), path], check=True)
    return path


def degraded(source, output, *options):
    """Return the time code that players find, whether it is a track, and what was said of it."""
    said = vsrpp("degrade", source, output, "--factor", "2", *options, check=0).stderr
    streams = ffprobe(output, "-show_streams")["streams"]
    tags = [v for s in streams for k, v in s.get("tags", {}).items() if k.lower() == "timecode"]
    track = any(s["codec_type"] == "data" for s in streams)
    return tags[0] if tags else None, track, [x for x in said.splitlines() if "time code" in x]


@pytest.mark.parametrize("suffix", [".mov", ".mp4"])
def test_a_time_code_track_is_written_anew(tmp_path, suffix):
    code, track, said = degraded(film(tmp_path / "in.mov"), tmp_path / f"o{suffix}", "--strict")
    assert (code, track) == ("01:00:00:00", True)
    assert said == ["note: the time code track is written anew"]


def test_a_dropping_time_code_survives_a_variable_frame_rate(tmp_path):
    options = ["-vf", "select='mod(n,5)'", "-vsync", "vfr"]
    source = film(tmp_path / "in.mov", *options, rate="30000/1001", code=DROPPING)
    code, track, said = degraded(source, tmp_path / "o.mov", "--strict")
    assert (code, track) == (DROPPING, True)
    assert said == ["note: the time code track is written anew"]


def test_matroska_keeps_it_as_a_tag(tmp_path):
    code, track, said = degraded(film(tmp_path / "in.mov"), tmp_path / "o.mkv", "--strict")
    assert (code, track) == ("01:00:00:00", False)
    assert said == ["note: the time code track becomes a tag: Matroska has no such tracks"]
    again = degraded(tmp_path / "o.mkv", tmp_path / "again.mkv")
    assert again == ("01:00:00:00", False, [])


def test_one_that_the_container_cannot_hold_is_a_loss_named_beforehand(tmp_path):
    source = film(tmp_path / "in.mkv", "-metadata:s:v", f"timecode={DROPPING}", code=None)
    code, track, said = degraded(source, tmp_path / "o.mp4")
    assert (code, track) == (None, False)
    assert said == [f"note: the time code {DROPPING} is dropped: MP4 has none at this rate"]
    refused = vsrpp("degrade", source, tmp_path / "s.mp4", "--factor", "2", "--strict", check=6)
    assert DROPPING in refused.stderr


def test_a_cut_beginning_takes_it_along_and_a_cut_end_does_not(tmp_path):
    source = film(tmp_path / "in.mov")
    code, track, said = degraded(source, tmp_path / "o.mov", "--start", "0.2")
    assert (code, track) == (None, False)
    assert said == ["note: the time code is left out: it names the first frame, which is cut off"]
    assert degraded(source, tmp_path / "e.mov", "--end", "0.2")[:2] == ("01:00:00:00", True)


@pytest.mark.parametrize("suffix", [".mov", ".mkv"])
def test_nothing_is_said_where_there_is_none(tmp_path, suffix):
    source = film(tmp_path / "in.mov", code=None)
    assert degraded(source, tmp_path / f"o{suffix}") == (None, False, [])
