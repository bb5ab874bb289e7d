"""Tracks are judged by what they have in the part that is kept, not by their announcement."""

import subprocess

import pytest

from support.commands import ffprobe, vsrpp
from support.flashes import remuxed, write_flashes


@pytest.fixture(scope="module")
def late(tmp_path_factory):
    """Return a clip whose sound and subtitles begin at about 1.2 s."""
    folder = tmp_path_factory.mktemp("late")
    clip = write_flashes(folder / "clip.mkv", codecs=("libx264", "aac"))
    (folder / "s.srt").write_text("1\n00:00:00,100 --> 00:00:00,600\nHello\n")
    late = ["-i", clip, "-itsoffset", "1.2", "-i", folder / "s.srt", "-itsoffset", "1.2"]
    maps = ["-map", "0:v", "-map", "2:a", "-map", "1:s"]
    return remuxed(clip, folder / "late.mkv", *maps, before=late)


def degraded(source, output, *options):
    done = vsrpp("degrade", source, output, "--factor", "2", *options, check=0)
    kinds = [s["codec_type"] for s in ffprobe(output, "-show_streams")["streams"]]
    return kinds, done.stderr


LEFT_OUT = "is left out: nothing of it is in the part that is kept"


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv", ".webm"])
def test_tracks_with_nothing_in_the_part_kept_are_left_out_and_that_is_said(late, tmp_path, suffix):
    kinds, said = degraded(late, tmp_path / f"o{suffix}", "--frames", "3", "--strict")
    assert kinds == ["video"]
    assert said.count(LEFT_OUT) == 2
    assert "audio track 1" in said
    assert "subtitle track 2" in said


@pytest.mark.parametrize("range_", [(), ("--start", "1"), ("--end", "1.5")])
def test_tracks_with_something_there_stay_and_nothing_is_said(late, tmp_path, range_):
    kinds, said = degraded(late, tmp_path / "o.mkv", *range_)
    assert kinds == ["video", "audio", "subtitle"]
    assert "left out" not in said


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".webm"])
def test_a_track_that_is_announced_and_never_sent_is_no_loss(late, tmp_path, suffix):
    source = remuxed(
        late, tmp_path / "in.mkv", "-map", "0:v", "-map", "0:a", "-bsf:a", "noise=drop=1"
    )
    kinds, said = degraded(source, tmp_path / f"o{suffix}", "--strict")
    assert kinds == ["video"]
    assert "is left out: the file announces it and holds nothing of it" in said
    assert "cannot hold" not in said


def test_sound_that_begins_late_in_a_program_stream_is_found_by_all(tmp_path):
    source = tmp_path / "in.vob"
    picture, tone = "testsrc2=s=64x48:r=5:d=13", "sine=d=1:r=48000"
    command = ["ffmpeg", "-v", "error", "-f", "lavfi", "-i", picture, "-itsoffset", "12"]
    command += ["-f", "lavfi", "-i", tone, "-r", "25", "-c:v", "mpeg2video", "-c:a", "ac3"]
    subprocess.run([*command, source], check=True)
    for suffix in (".mp4", ".mkv"):
        kinds, _ = degraded(source, tmp_path / f"o{suffix}")
        assert kinds == ["video", "audio"]
    kinds, said = degraded(source, tmp_path / "o.mov", "--frames", "8")
    assert kinds == ["video"]
    assert LEFT_OUT in said
