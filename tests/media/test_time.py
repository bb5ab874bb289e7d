"""What players show is the truth: flashes and beeps of the source, and of what is made of it."""

from fractions import Fraction
from itertools import pairwise

import av
import numpy as np
import pytest

from support.commands import ffprobe, vsrpp
from support.flashes import LONG, beeps, begin, flashes, remuxed, with_edits, write_flashes
from support.reading import write
from vsrpp_cli.media.decode.probe import probe
from vsrpp_cli.media.decode.reader import VideoSource
from vsrpp_cli.media.mux.stream_clock import SourceClock, StreamClock
from vsrpp_cli.media.types import ClockJump, Scan

TOLERANCE = 0.02
"""Seconds: a packet of sound lasts as long."""


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    """Return a function that makes a flashing clip in some container, once."""
    folder = tmp_path_factory.mktemp("flashes")

    def clip(suffix):
        path = folder / f"clip{suffix}"
        return path if path.exists() else write_flashes(path, "-bf", "0")

    return clip


def made(source, output, *options):
    """Make a small copy; return what was said."""
    done = vsrpp("degrade", source, output, "--factor", "2", *options, check=0)
    return [line for line in done.stderr.splitlines() if "colour matrix" not in line]


def assert_same_times(source, output, *, cut=None):
    """Assert that what is seen and heard in a copy is so when it was in the source."""
    offset = begin(source) if source.suffix in (".ts", ".vob") else 0
    for found, wanted in ((flashes(output), flashes(source)), (beeps(output), beeps(source))):
        assert wanted
        kept = [t - offset for t in wanted]
        if cut is not None:
            kept = [t - cut for t in kept if t + LONG / 2 > cut]
        assert found == pytest.approx(kept, abs=TOLERANCE)


OUTPUTS = {
    ".mp4": ".mkv",
    ".mov": ".webm",
    ".mkv": ".mp4",
    ".webm": ".mkv",
    ".ts": ".mov",
    ".avi": ".mp4",
    ".vob": ".mkv",
}


@pytest.mark.parametrize("suffix", OUTPUTS)
def test_flashes_and_beeps_are_when_they_were(clips, tmp_path, suffix):
    output = tmp_path / f"o{OUTPUTS[suffix]}"
    made(clips(suffix), output)
    assert_same_times(clips(suffix), output)


@pytest.mark.parametrize("suffix", OUTPUTS)
def test_they_are_so_behind_a_cut(clips, tmp_path, suffix):
    output = tmp_path / f"o{OUTPUTS[OUTPUTS[suffix]] if suffix != '.mov' else '.mp4'}"
    source = clips(suffix)
    made(source, output, "--start", "0.8")
    with av.open(str(source)) as file:
        first = next(file.decode(video=0))
        stamps = [float(f.pts * f.time_base) for f in file.decode(video=0)]
    zero = float(first.pts * first.time_base)
    cut = next(t for t in stamps if t >= zero + 0.8 - 1e-6)
    assert_same_times(source, output, cut=cut - (begin(source) if suffix in (".ts", ".vob") else 0))


# Edit lists

EDITS = {
    "middle removed": [(0, 0.9), (1.5, 1.1)],
    "beginning trimmed": [(0.35, 2.2)],
    "a pause": [(0, 0.92), (None, 0.5), (0.92, 1.6)],
    "late": [(None, 0.6), (0, 2.4)],
    "repeated": [(0, 1), (0, 1)],
}


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".webm"])
@pytest.mark.parametrize("edits", EDITS.values(), ids=EDITS)
def test_edit_lists_are_followed(tmp_path, edits, suffix):
    source = with_edits(write_flashes(tmp_path / "in.mp4", "-bf", "0"), *edits)
    made(source, tmp_path / f"o{suffix}")
    assert_same_times(source, tmp_path / f"o{suffix}")


def test_mp4_keeps_what_decoders_need_before_the_first_sound_and_hides_it(clips, tmp_path):
    made(clips(".mp4"), tmp_path / "o.mp4")
    made(clips(".mp4"), tmp_path / "o.mkv")
    with av.open(str(tmp_path / "o.mp4")) as file:
        packets = [p for p in file.demux(audio=0) if p.size]
    assert packets[0].is_discard
    with av.open(str(tmp_path / "o.mkv")) as file:
        assert next(file.demux(audio=0)).pts >= 0


# Late and early tracks


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".ts"])
@pytest.mark.parametrize("maps", [("1:v", "0:a"), ("0:v", "1:a")], ids=["video", "sound"])
def test_a_track_that_begins_late_stays_late(clips, tmp_path, maps, suffix):
    clip = clips(".mp4")
    chosen = [word for one in maps for word in ("-map", one)]
    source = remuxed(
        clip, tmp_path / f"in{suffix}", *chosen, before=["-i", clip, "-itsoffset", "0.7"]
    )
    said = made(source, tmp_path / "o.mp4")
    assert_same_times(source, tmp_path / "o.mp4")
    assert "cut short" not in " ".join(said)


# Clocks that begin anywhere or jump


@pytest.fixture(scope="module")
def at(clips, tmp_path_factory):
    """Return a function that makes a transport stream whose clock begins at some second."""
    folder = tmp_path_factory.mktemp("clocks")

    def clip(seconds, suffix=".ts"):
        path = folder / f"{seconds}{suffix}"
        if path.exists():
            return path
        return remuxed(clips(".ts"), path, "-output_ts_offset", str(seconds))

    return clip


BEGINS = "the clock of this file begins at"


@pytest.mark.parametrize("suffix", [".ts", ".mkv"])
def test_a_recording_begins_at_zero_with_its_offsets_and_that_is_said(at, tmp_path, suffix):
    source = at(40000, suffix)
    said = made(source, tmp_path / "o.mp4")
    assert f"{BEGINS} {begin(source):.3f} s" in " ".join(said)
    sight = [t - begin(source) for t in flashes(source)]
    sound = [t - begin(source) for t in beeps(source)]
    assert flashes(tmp_path / "o.mp4") == pytest.approx(sight, abs=0.001)
    assert beeps(tmp_path / "o.mp4") == pytest.approx(sound, abs=TOLERANCE)


def test_where_a_clock_begins_is_not_said_of_other_files_nor_of_cuts(clips, at, tmp_path):
    assert BEGINS not in " ".join(made(clips(".mp4"), tmp_path / "a.mp4"))
    assert BEGINS not in " ".join(made(at(40000), tmp_path / "b.mp4", "--start", "1"))


def test_a_recording_turned_into_frames_begins_at_zero_too(at, tmp_path):
    made(at(40000), tmp_path / "frames")
    first = (tmp_path / "frames" / "timestamps.txt").read_text().splitlines()[2]
    assert 0 <= float(first) < 100


JUMPS = {"back": (5000, 1000), "forward": (100, 10900), "thrice": (5000, 1000, 20000)}


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
@pytest.mark.parametrize("parts", JUMPS.values(), ids=JUMPS)
def test_jumps_of_a_clock_are_closed_with_picture_and_sound_in_step(at, tmp_path, parts, suffix):
    source = tmp_path / "in.ts"
    source.write_bytes(b"".join(at(part).read_bytes() for part in parts))
    said = " ".join(made(source, tmp_path / f"o{suffix}"))
    assert said.count("the clock jumps") == len(parts) - 1
    for before, behind in pairwise(parts):
        # One length of the clip less, since the jump is from its end to a beginning.
        way = f"back by {before - behind + 2.56:.2f}"
        if behind > before:
            way = f"forward by {behind - before - 2.56:.2f}"
        assert f"the clock jumps {way} s" in said
    sight, sound = flashes(tmp_path / f"o{suffix}"), beeps(tmp_path / f"o{suffix}")
    alone = [t - begin(at(parts[0])) for t in flashes(at(parts[0]))]
    wanted = [t + 2.6 * k for k in range(len(parts)) for t in alone]
    assert sight == pytest.approx(wanted, abs=0.001)
    assert sound == pytest.approx(sight, abs=TOLERANCE)


def test_frames_behind_a_jump_are_found_from_the_middle(at, tmp_path):
    path = tmp_path / "in.ts"
    path.write_bytes(at(100).read_bytes() + at(10900).read_bytes())
    source = VideoSource(path)
    scan = source.scan(scenes=False)
    whole = [frame.rgb for frame in source.read(scan, 0, scan.frames)]
    for start in (60, 90, 120):
        part = list(source.read(scan, start, start + 8))
        assert all(np.array_equal(f.rgb, whole[start + k]) for k, f in enumerate(part))
        assert [f.pts for f in part] == list(scan.pts[start : start + 8])


def test_a_cut_behind_a_jump_keeps_step(at, tmp_path):
    source = tmp_path / "in.ts"
    source.write_bytes(at(5000).read_bytes() + at(1000).read_bytes())
    made(source, tmp_path / "o.mp4", "--start", "2.8", "--end", "4")
    assert flashes(tmp_path / "o.mp4") == pytest.approx([0.2, 1.0], abs=0.001)
    assert beeps(tmp_path / "o.mp4") == pytest.approx([0.2, 1.0], abs=TOLERANCE)


def test_a_long_still_picture_under_sound_is_no_jump(tmp_path):
    still = write(tmp_path / "still.ts", [_grey(k) for k in range(6)], pts=[0, 1, 2, 290, 291, 292])
    hum = ["-copyts", "-f", "lavfi", "-i", "sine=d=12.5"]
    maps = ["-map", "1:v", "-map", "0:a", "-c:a", "mp2"]
    source = VideoSource(remuxed(still, tmp_path / "in.ts", *maps, before=hum))
    scan = source.scan(scenes=False)
    assert not scan.jumps
    assert (scan.pts[3] - scan.pts[2]) * source.info.time_base == 12
    silent = VideoSource(still)
    assert silent.scan(scenes=False).jumps


def _grey(level):
    return np.full((48, 64, 3), 40 + 30 * level, np.uint8)


# Timestamps astray

STRAY = "pts='if(eq(N\\,{})\\,PTS+{}/TB\\,PTS)':dts=DTS"


@pytest.mark.parametrize("frame", [0, 20, 64], ids=["first", "inside", "last"])
def test_one_frame_an_hour_off_is_repaired_alone(clips, tmp_path, frame):
    suffix = ".mp4" if frame == 64 else ".mkv"  # MP4 would hide all that precedes the first
    bent = STRAY.format(frame, 3600)
    source = remuxed(clips(".mp4"), tmp_path / f"in{suffix}", "-bsf:v", f"setts={bent}")
    plain = remuxed(clips(".mp4"), tmp_path / f"plain{suffix}")
    said = " ".join(made(source, tmp_path / "o.mp4"))
    assert f"1 timestamp is far off (the first at frame {frame})" in said
    assert "cut short" not in said
    assert_same_times(plain, tmp_path / "o.mp4")


def test_a_cut_near_a_stray_is_where_it_would_be_without(clips, tmp_path):
    bent = STRAY.format(10, 3)
    source = remuxed(clips(".mp4"), tmp_path / "in.mkv", "-bsf:v", f"setts={bent}")
    plain = remuxed(clips(".mp4"), tmp_path / "plain.mkv")
    scans = [VideoSource(p).scan(scenes=False, end=Fraction(2)) for p in (source, plain)]
    assert scans[0].pts == scans[1].pts


def packets_at(*times):
    made = []
    for time in times:
        packet = av.Packet(b"x")
        packet.pts = packet.dts = time
        packet.duration = 20
        made.append(packet)
    return made


def placed(clock, *times):
    kept = [packet for packet in packets_at(*times) if clock.place(packet)]
    return [packet.pts for packet in kept]


MILLISECOND = Fraction(1, 1000)


def clock_of(*jumps, pts=(0, 100000)):
    scan = Scan(pts=pts, last_duration=40, jumps=jumps)
    return StreamClock(SourceClock(scan, MILLISECOND, whole=True), MILLISECOND, sound=True)


def test_one_packet_of_sound_far_off_is_put_behind_the_last():
    for stray in (3_600_000, -3_600_000):
        clock = clock_of()
        assert placed(clock, 0, 20, stray, 60, 80) == [0, 20, 40, 60, 80]
        assert list(clock.notes(1)) == [
            "1 packets of track 1 have times far off: put behind the last"
        ]


def test_a_gap_of_sound_inside_the_video_stays_and_is_not_said():
    clock = clock_of()
    assert placed(clock, 0, 20, 30000, 30020, 30040) == [0, 20, 40, 30020, 30040]
    assert not list(clock.notes(1))


def test_sound_that_starts_again_alone_is_continued_and_said():
    clock = clock_of()
    assert placed(clock, 5000, 5020, 0, 20, 40) == [5000, 5020, 5040, 5060, 5080]
    assert any("start again" in note for note in clock.notes(1))


def test_sound_behind_a_jump_moves_as_the_pictures_do_and_overlaps_are_left_out():
    jump = ClockJump(frame=10, last=10_000, first=2000, shift=2000 - 10_040)
    clock = clock_of(jump, pts=(0, 20_000))
    assert placed(clock, 9960, 9980, 10_000, 10_020, 2000, 2020) == [
        *(9960, 9980, 10_000, 10_020),
        *(10_040, 10_060),
    ]
    clock = clock_of(jump, pts=(0, 20_000))
    assert placed(clock, 10_020, 10_040, 10_060, 2000, 2020, 2040) == [
        *(10_020, 10_040, 10_060),
        10_080,
    ]
    assert not list(clock.notes(1))


# The last frame


@pytest.mark.parametrize("suffix", [".gif", ".mp4", ".mkv"])
def test_a_last_frame_that_stays_long_does_so_in_the_output(tmp_path, suffix):
    codec, pix_fmt = ("gif", "rgb8") if suffix == ".gif" else ("libx264", "yuv420p")
    pts = [*range(0, 40, 5), 335]
    source = tmp_path / f"in{suffix}"
    pictures = [_grey(k % 6) for k in range(8)]
    write(
        source, pictures, codec=codec, pix_fmt=pix_fmt, pts=pts[:-1], time_base=Fraction(1, 100),
        last=300, options={} if suffix == ".gif" else {"bf": "0"},
    )  # fmt: skip
    for output in (tmp_path / "o.mp4", tmp_path / "o.mkv"):
        said = made(source, output)
        assert "cut short" not in " ".join(said)
        seconds = float(ffprobe(output, "-show_format")["format"]["duration"])
        assert seconds == pytest.approx(3.35, abs=0.002)


def test_a_file_cut_short_is_still_said_to_be(tmp_path):
    source = write(
        tmp_path / "whole.mp4", [_grey(k % 6) for k in range(60)],
        container={"movflags": "faststart"}, options={"bf": "0"},
    )  # fmt: skip
    data = source.read_bytes()
    source.write_bytes(data[: len(data) * 2 // 3])
    scan = VideoSource(source).scan(scenes=False)
    assert scan.frames < 60
    assert scan.last_duration * probe(str(source)).time_base < Fraction(1, 10)
    assert any("cut short" in note for note in scan.notes)
