"""Frames out of video files: each once, with its own timestamp, from wherever reading begins."""

from fractions import Fraction

import numpy as np
import pytest

from support.reading import number, numbered, write, write_numbered
from vsrpp_cli.errors import InputError, UsageError
from vsrpp_cli.media.decode.reader import VideoSource
from vsrpp_cli.media.decode.timestamp_repair import Limits, last_duration, repair
from vsrpp_cli.media.source import open_source

FAST = {"preset": "ultrafast"}
B_FRAMES = {"preset": "veryfast", "bf": "3", "g": "24"}
FILES = {
    "closed.mp4": {"options": B_FRAMES},
    "open_gop.mp4": {"options": B_FRAMES | {"x264-params": "open-gop=1"}},
    "intra_refresh.mkv": {"options": {"preset": "veryfast", "x264-params": "intra-refresh=1"}},
    "b_frames.avi": {"options": B_FRAMES},
    "stream.ts": {"options": B_FRAMES},
    "hevc.mkv": {
        "codec": "libx265",
        "options": {"preset": "ultrafast", "x265-params": "keyint=24:open-gop=1:log-level=none"},
    },
    "mpeg2.mpg": {"codec": "mpeg2video", "options": {"bf": "2", "g": "12", "b": "3M"}},
    "xvid.avi": {"codec": "mpeg4", "options": {"bf": "2", "b": "2M"}},
    "alt_ref.webm": {"codec": "libvpx", "options": {"auto-alt-ref": "1", "deadline": "realtime"}},
    "raw.264": {"options": B_FRAMES},
    "intra.mov": {"codec": "mjpeg", "pix_fmt": "yuvj420p"},
}


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Write each file of the table once."""
    folder = tmp_path_factory.mktemp("files")
    made = {}

    def get(name):
        if name not in made:
            made[name] = write_numbered(folder / name, 100, **FILES[name])
        return made[name]

    return get


def numbers(source, scan, start=0, stop=None):
    return [number(frame.rgb) for frame in source.read(scan, start, stop or scan.frames)]


@pytest.mark.parametrize("name", FILES)
def test_frames_in_equal_frames_out_from_any_start(files, name):
    source = VideoSource(files(name))
    scan = source.scan(scenes=False)
    assert scan.frames == 100
    assert scan.pts == tuple(sorted(set(scan.pts)))
    assert numbers(source, scan) == list(range(100))
    for start in (1, 26, 49, 75, 97):
        frames = list(source.read(scan, start, start + 3))
        assert [number(f.rgb) for f in frames] == list(range(start, start + 3))
        assert [f.pts for f in frames] == list(scan.pts[start : start + 3])


def test_pixels_do_not_depend_on_where_reading_begins(files):
    source = VideoSource(files("open_gop.mp4"))
    scan = source.scan(scenes=False)
    whole = [frame.rgb for frame in source.read(scan, 0, scan.frames)]
    for start in (25, 51, 70):
        first = next(source.read(scan, start, scan.frames))
        assert np.array_equal(first.rgb, whole[start])


def test_variable_frame_rates_keep_every_timestamp(tmp_path):
    pts = np.cumsum([7 + 13 * (i % 3) for i in range(30)]).tolist()
    path = tmp_path / "vfr.mp4"
    write_numbered(path, 30, pts=pts, time_base=Fraction(1, 600), options=B_FRAMES)
    source = VideoSource(path)
    scan = source.scan()
    times = [Fraction(p) * source.info.time_base for p in scan.pts]
    assert [t - times[0] for t in times] == [Fraction(p - pts[0], 600) for p in pts]


def test_scenes_are_found_while_scanning(tmp_path):
    pictures = [numbered(i) for i in range(16)] + [255 - numbered(i)[::-1, ::-1] for i in range(16)]
    source = VideoSource(write(tmp_path / "cut.mp4", pictures, options=FAST))
    assert source.scan().cuts == (16,)
    assert source.scan(scenes=False).cuts == ()
    assert source.scan(start=Fraction(4, 24)).cuts == (12,)


def test_start_end_and_frames_choose_exactly(files):
    source = VideoSource(files("closed.mp4"))
    scan = source.scan(start=Fraction(49, 24), end=Fraction(60, 24))
    assert (scan.frames, scan.first) == (11, 49)
    assert numbers(source, scan) == list(range(49, 60))
    assert numbers(source, scan, 4, 6) == [53, 54]
    assert numbers(source, source.scan(frames=5)) == list(range(5))
    later = source.scan(start=Fraction(2), frames=3)
    assert numbers(source, later) == [48, 49, 50]
    assert later.last_duration * source.info.time_base == Fraction(1, 24)


def test_a_choice_without_frames_is_refused(files):
    source = VideoSource(files("closed.mp4"))
    with pytest.raises(UsageError, match=r"`start=100` is after the last frame, at 4\.125 s$"):
        source.scan(start=Fraction(100))
    with pytest.raises(UsageError, match="no frame between"):
        source.scan(start=Fraction(1, 100), end=Fraction(1, 50))


def test_frames_without_timestamps_get_them_from_the_frame_rate(files):
    source = VideoSource(files("raw.264"))
    scan = source.scan(scenes=False)
    times = [p * source.info.time_base for p in scan.pts]
    assert times == [Fraction(i, 24) for i in range(100)]
    assert "no timestamps" in " ".join(scan.notes)
    later = source.scan(scenes=False, start=Fraction(2), frames=4)
    assert numbers(source, later, 1, 3) == [49, 50]


@pytest.mark.parametrize("name", ["closed.mp4", "hevc.mkv", "stream.ts"])
def test_a_file_cut_short_gives_what_it_has_and_says_so(files, tmp_path, name):
    data = files(name).read_bytes()
    if name == "closed.mp4":
        path = write_numbered(
            tmp_path / "whole.mp4", 100, options=B_FRAMES, container={"movflags": "faststart"}
        )
        data = path.read_bytes()
    short = tmp_path / f"short{name[-4:]}"
    short.write_bytes(data[: len(data) * 6 // 10])
    source = VideoSource(short)
    scan = source.scan()
    assert 40 < scan.frames < 80
    read = numbers(source, scan)
    assert read[:-2] == list(range(scan.frames - 2))
    if name != "stream.ts":  # a transport stream makes no promise
        assert "cut short" in " ".join(scan.notes)


def test_damage_inside_is_skipped_counted_and_the_same_each_time(files, tmp_path):
    data = bytearray(files("stream.ts").read_bytes())
    middle = len(data) // 2
    data[middle : middle + 2000] = bytes(2000)
    path = tmp_path / "hurt.ts"
    path.write_bytes(data)
    source = VideoSource(path)
    scan = source.scan()
    assert scan.damaged
    assert "damaged" in " ".join(scan.notes)
    whole = [frame.rgb for frame in source.read(scan, 0, scan.frames)]
    assert len(whole) == scan.frames >= 80
    for start in (10, scan.frames // 2, scan.frames - 4):
        part = list(source.read(scan, start, start + 3))
        assert all(np.array_equal(a.rgb, b) for a, b in zip(part, whole[start:], strict=False))


def test_a_recording_joined_in_the_middle_is_read_from_its_first_picture(files, tmp_path):
    data = files("stream.ts").read_bytes()
    path = tmp_path / "joined.ts"
    path.write_bytes(data[len(data) * 4 // 10 // 188 * 188 :])
    source = VideoSource(path)
    scan = source.scan()
    read = numbers(source, scan)
    assert read[0] > 20
    assert read == list(range(read[0], 100))
    assert numbers(source, scan, 30, 33) == read[30:33]


def test_a_change_of_size_is_scaled_and_said(tmp_path):
    big = write_numbered(tmp_path / "big.ts", 12, options=FAST)
    small = write(tmp_path / "small.ts", [numbered(i)[::2, ::2] for i in range(12)], options=FAST)
    path = tmp_path / "both.ts"
    path.write_bytes(big.read_bytes() + small.read_bytes())
    source = VideoSource(path)
    scan = source.scan()
    assert scan.frames == 24
    assert "frame 12: pictures are 64x48 from here, scaled to 128x96" in scan.notes
    assert numbers(source, scan) == [*range(12), *range(12)]
    assert all(b > a for a, b in zip(scan.pts, scan.pts[1:], strict=False))


def test_a_change_of_colour_tags_is_followed_and_said(tmp_path):
    red = np.zeros((96, 128, 3), np.uint8)
    red[...] = (200, 30, 60)
    data = b""
    for name, code, matrix in (("a", 1, "ITU709"), ("b", 6, "ITU601")):
        path = tmp_path / f"{name}.ts"
        _write_tagged(path, red, code, matrix)
        data += path.read_bytes()
    both = tmp_path / "both.ts"
    both.write_bytes(data)
    source = VideoSource(both)
    scan = source.scan()
    assert any("bt709 to smpte170m" in note for note in scan.notes)
    for frame in source.read(scan, 0, scan.frames):
        assert np.abs(frame.rgb.mean((1, 2)) * 255 - (200, 30, 60)).max() < 2.5


def _write_tagged(path, picture, code, matrix):
    import av  # noqa: PLC0415

    with av.open(str(path), "w") as file:
        stream = file.add_stream("libx264", rate=24, options={"preset": "ultrafast", "crf": "5"})
        stream.height, stream.width = picture.shape[:2]
        context = stream.codec_context
        context.color_primaries = context.color_trc = context.colorspace = code
        context.color_range = 1
        for _ in range(6):
            frame = av.VideoFrame.from_ndarray(picture, "rgb24").reformat(
                format="yuv420p",
                dst_colorspace=av.video.reformatter.Colorspace[matrix],
                dst_color_range=1,
            )
            file.mux(stream.encode(frame))
        file.mux(stream.encode())


def test_a_file_that_changed_after_its_scan_is_refused(tmp_path):
    path = write_numbered(tmp_path / "clip.mp4", 30, options=FAST)
    source = VideoSource(path)
    scan = source.scan()
    before = source.fingerprint()
    write_numbered(path, 12, options=FAST)
    with pytest.raises(InputError, match="has changed"):
        list(source.read(scan, 0, 30))
    assert VideoSource(path).fingerprint() != before


def test_progress_is_told_with_the_total(tmp_path):
    path = write_numbered(tmp_path / "clip.mp4", 10, options=FAST)
    told = []
    VideoSource(path).scan(on_progress=lambda done, total: told.append((done, total)))
    assert told == [(i, 10) for i in range(1, 11)]


def test_a_frame_rate_for_a_video_file_is_refused(tmp_path):
    path = write_numbered(tmp_path / "clip.mp4", 3, options=FAST)
    with pytest.raises(UsageError, match="`fps="):
        open_source(path, fps=Fraction(25))


@pytest.mark.parametrize(
    ("stamps", "wanted"),
    [
        ([0, 10, 25, 30], [0, 10, 25, 30]),
        ([-20, -10, 0], [-20, -10, 0]),
        ([None, None, None], [0, 10, 20]),
        ([None, None, 20, 30], [0, 10, 20, 30]),
        ([0, None, 20], [0, 10, 20]),
        ([0, 20, 10, 30], [0, 10, 20, 30]),
        ([0, 10, 10, 20], [0, 10, 15, 20]),
        ([0, 0, 0, 1], [0, 1, 2, 3]),
        ([500, 510, 520, 0, 10], [500, 510, 520, 530, 540]),
        ([5], [5]),
    ],
)
def test_timestamps_are_repaired_by_the_rule(stamps, wanted):
    repaired = repair(stamps, Limits.of(step=10, second=100))
    assert list(repaired.pts) == wanted
    assert bool(repaired.notes) == (wanted != stamps)


def test_the_last_frame_lasts_until_the_next_the_tracks_end_or_as_long_as_the_others():
    assert last_duration([0, 10], following=25, end=40, own=7, step=10, longest=200) == 15
    assert last_duration([0, 10], following=None, end=40, own=7, step=10, longest=200) == 30
    assert last_duration([0, 10], following=None, end=None, own=7, step=10, longest=200) == 7
    assert last_duration([0, 10], following=None, end=9000, own=9000, step=10, longest=200) == 10


def test_a_late_start_is_scanned_from_nearby_and_read_exactly(tmp_path):
    path = write_numbered(tmp_path / "long.mp4", 250, options=B_FRAMES, time_base=Fraction(1, 4))
    source = VideoSource(path)
    told = []
    scan = source.scan(start=Fraction(50), frames=8, on_progress=lambda done, _: told.append(done))
    assert told[-1] < 150
    assert scan.pts[0] * source.info.time_base == 50
    assert numbers(source, scan) == list(range(200, 208))
    assert numbers(source, scan, 5, 8) == [205, 206, 207]


def test_a_colon_in_a_name_is_no_protocol(tmp_path, monkeypatch):
    write_numbered(tmp_path / "a:b.mp4", 3, options=FAST)
    monkeypatch.chdir(tmp_path)
    assert VideoSource("a:b.mp4").scan().frames == 3
