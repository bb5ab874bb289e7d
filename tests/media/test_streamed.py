"""Videos that are read once and written once: the same pictures as by way of files."""

import io
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest

from support.clips import moving_picture, write_clip
from support.commands import ffprobe
from support.piping import ffmpeg, read_stream
from vsrpp_cli.errors import InputError, UnknownNameError, UsageError
from vsrpp_cli.media.color.convert import frame_to_rgb
from vsrpp_cli.media.decode.probe import probe
from vsrpp_cli.media.encode.selection import resolve, resolve_pipe
from vsrpp_cli.media.encode.streamed import open_stream_writer
from vsrpp_cli.media.encode.writer import picture_of
from vsrpp_cli.media.source import open_source
from vsrpp_cli.media.types import Frame
from vsrpp_cli.options import UpscaleOptions, raw_video

DEEP = [f"yuv{c}p{bits}le" for c in (420, 422, 444) for bits in (9, 10, 12, 14, 16)]
FORMATS = ["yuv420p", "yuv422p", "yuv444p", "yuv411p", "gray", "gray10le", "gray16le", *DEEP]


def y4m(pix_fmt, *filters, frames=3, size="50x38", more=()):
    pattern = ",".join([f"testsrc2=s={size}:r=30000/1001:d=1", *filters])
    return ffmpeg("-f", "lavfi", "-i", pattern, "-frames:v", frames, "-pix_fmt", pix_fmt, *more,
                  "-strict", "-1", "-f", "yuv4mpegpipe", "-")  # fmt: skip


def by_file(path, options=None):
    source = open_source(path)
    scan = source.scan(scenes=False)
    return source, list(source.read(scan, 0, scan.frames))


def assert_same(frames, others):
    assert len(frames) == len(others)
    for frame, other in zip(frames, others, strict=True):
        np.testing.assert_array_equal(frame.rgb, other.rgb)


@pytest.mark.parametrize("pix_fmt", FORMATS)
def test_y4m_from_a_pipe_is_what_it_is_from_a_file(tmp_path, pix_fmt):
    data = y4m(pix_fmt, "setsar=4/3")
    (tmp_path / "in.y4m").write_bytes(data)
    stream, frames = read_stream(data)
    source, others = by_file(tmp_path / "in.y4m")
    assert_same(frames, others)
    assert [f.pts for f in frames] == [0, 1, 2]
    assert stream.info.pix_fmt == pix_fmt
    assert stream.info.sample_aspect_ratio == Fraction(4, 3)
    assert stream.info.frame_rate == Fraction(30000, 1001)
    assert stream.info.color == source.info.color
    assert not stream.torn


@pytest.mark.parametrize(("color_range", "full"), [("tv", False), ("pc", True)])
def test_colour_comments_of_y4m_count(color_range, full):
    stream, _ = read_stream(y4m("yuv420p", more=["-color_range", color_range]))
    assert stream.info.color.full_range is full
    assert "range" not in stream.info.color.guessed


@pytest.mark.parametrize(
    ("name", "siting"), [("420jpeg", "center"), ("420mpeg2", "left"), ("420paldv", "topleft")]
)
def test_the_place_of_chroma_counts(name, siting):
    data = y4m("yuv420p").replace(b"C420jpeg XYSCSS=420JPEG", f"C{name}".encode(), 1)
    assert read_stream(data)[0].info.color.siting == siting


@pytest.mark.parametrize("muxer", ["matroska", "mpegts", "nut", "flv"])
def test_containers_come_through_pipes(tmp_path, muxer):
    clip = write_clip(tmp_path / "in.mkv", 12)
    data = ffmpeg("-i", clip, "-c", "copy", "-f", muxer, "-")
    path = tmp_path / f"in.{muxer}"
    path.write_bytes(data)
    _, frames = read_stream(data)
    source, others = by_file(path)
    assert_same(frames, others)
    scan = source.scan(scenes=False)
    assert [f.pts for f in frames] == list(scan.shown)


def test_raw_video_is_what_it_is_said_to_be(tmp_path):
    data = y4m("yuv422p10le")
    bare = ffmpeg("-i", "-", "-f", "rawvideo", "-", given=data)
    options = UpscaleOptions(raw=raw_video("--raw", "50x38@30000/1001:yuv422p10le"))
    stream, frames = read_stream(bare, options)
    assert_same(frames, read_stream(data)[1])
    assert stream.info.frame_rate == Fraction(30000, 1001)
    torn, kept = read_stream(bare[:-1], options)
    assert (torn.torn, torn.damaged, len(kept)) == (True, 0, 2)


@pytest.mark.parametrize(
    "text", ["", "64x48", "64x48@25", "64x48:yuv420p", "0x48@25:gray", "64x48@0:gray", "a@b:c"]
)
def test_raw_video_must_be_described(text):
    with pytest.raises(UsageError, match="--raw"):
        raw_video("--raw", text)


def test_raw_video_of_no_known_pixel_format_is_refused():
    options = UpscaleOptions(raw=raw_video("--raw", "8x8@25:nonsense"))
    with pytest.raises(UnknownNameError, match="nonsense"):
        read_stream(b"x" * 100, options)


@pytest.mark.parametrize("cut", [1, 1000])
def test_y4m_that_ends_amid_a_frame_gives_what_was_whole(cut):
    data = y4m("yuv420p")
    stream, frames = read_stream(data[:-cut])
    assert_same(frames, read_stream(data)[1][:2])
    assert (stream.torn, stream.damaged) == (True, 0)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "is empty"),
        (b"hello world\n" * 50, "is"),
        (b"YUV4MPEG2 W64 H48 F25:1 C420jpeg\nFRAME\n1234", "before its first frame"),
        (b"ffconcat version 1.0\nfile /etc/passwd\n", "is"),
    ],
)
def test_what_is_no_video_is_refused(data, message):
    with pytest.raises(InputError, match=f"fed: .*{message}"):
        read_stream(data)


def test_a_part_is_chosen_by_the_same_rule_as_of_a_file(tmp_path):
    data = y4m("yuv420p", frames=10)
    chosen = UpscaleOptions(start=Fraction(1, 10), end=Fraction(1, 4), frames=3)
    (tmp_path / "in.y4m").write_bytes(data)
    source = open_source(tmp_path / "in.y4m")
    scan = source.scan(start=chosen.start, end=chosen.end, frames=chosen.frames)
    stream, frames = read_stream(data, chosen)
    assert [f.pts for f in frames] == list(scan.pts)
    assert not stream.torn


def test_interlaced_y4m_is_deinterlaced_by_its_header():
    data = y4m("yuv420p", "interlace", size="64x48").replace(b" Ip ", b" It ", 1)
    stream, frames = read_stream(data)
    assert "bwdif" in " ".join(stream.info.notes)
    combed = read_stream(data, UpscaleOptions(deinterlace="off"))[1]
    assert len(frames) == len(combed) == 3
    assert any((a.rgb != b.rgb).any() for a, b in zip(frames, combed, strict=True))


def test_what_goes_beside_the_pictures_is_said_to_be_dropped(tmp_path):
    clip = write_clip(tmp_path / "in.mkv", 12, audio=True)
    stream, _ = read_stream(clip.read_bytes())
    text = "audio dropped: through a pipe only the pictures go"
    assert [loss.text for loss in stream.info.losses] == [text]
    left_out, _ = read_stream(clip.read_bytes(), UpscaleOptions(audio=False))
    assert left_out.info.losses == ()


# Writing


class Kept(io.RawIOBase):
    """Takes what is written, as a pipe does: without a way back."""

    def __init__(self):
        super().__init__()
        self.data = b""

    def writable(self):
        return True

    def write(self, data):
        self.data += bytes(data)
        return len(data)


def picture(index, size=(50, 38)):
    return np.ascontiguousarray(moving_picture(index, *size).transpose(2, 0, 1) / np.float32(255))


@pytest.mark.parametrize("pix_fmt", FORMATS)
def test_y4m_is_written_as_ffmpeg_reads_it(tmp_path, pix_fmt):
    (tmp_path / "in.y4m").write_bytes(y4m(pix_fmt, "setsar=4/3"))
    info = probe(str(tmp_path / "in.y4m"))
    settings = resolve_pipe(info, UpscaleOptions(), scale=1, threads=1)
    assert (settings.pix_fmt, settings.losses) == (pix_fmt, ())
    out = Kept()
    writer = open_stream_writer(out, settings, "-")
    frames = [Frame(i, picture(i).astype(np.float32)) for i in range(2)]
    for frame in frames:
        writer.write(frame)
    assert writer.close() == 2
    (tmp_path / "out.y4m").write_bytes(out.data)
    again, read = probe(str(tmp_path / "out.y4m")), by_file(tmp_path / "out.y4m")[1]
    assert (again.pix_fmt, again.frame_rate) == (pix_fmt, info.frame_rate)
    assert again.sample_aspect_ratio == Fraction(4, 3)
    assert again.color.siting == info.color.siting
    assert again.color.full_range == settings.color.full_range
    for frame, back in zip(frames, read, strict=True):
        due = frame_to_rgb(picture_of(frame, settings), settings.color)
        np.testing.assert_array_equal(back.rgb, due)
    stream = ffprobe(tmp_path / "out.y4m", "-show_streams")["streams"][0]
    assert stream["pix_fmt"] == pix_fmt


@pytest.mark.parametrize("suffix", ["mkv", "mp4", "mov", "webm"])
@pytest.mark.parametrize("piped", [True, False])
def test_containers_have_the_frames_own_times(tmp_path, suffix, piped):
    pts = [0, 40, 60, 140, 150, 151, 400, 440, 480, 500]
    clip = write_clip(tmp_path / "in.mkv", 10, pts=pts, time_base=Fraction(1, 1000))
    info = probe(str(clip))
    path = tmp_path / f"out.{suffix}"
    if piped:
        options, out = UpscaleOptions(format=suffix), Kept()
        settings = resolve_pipe(info, options, scale=1, threads=1)
        writer = open_stream_writer(out, settings, "-")
    else:
        settings = resolve(info, UpscaleOptions(), path, scale=1, threads=1)
        writer = open_stream_writer(path, settings)
    for index, when in enumerate(pts):
        writer.write(Frame(when, picture(index, (64, 64)).astype(np.float32)))
    assert writer.close() == 10
    if piped:
        path.write_bytes(out.data)
    shown = ffprobe(path, "-show_frames", "-show_entries", "frame=pts_time")["frames"]
    assert [round(1000 * float(f["pts_time"])) for f in shown] == pts


def test_a_codec_for_y4m_is_refused(tmp_path):
    info = probe(str(write_clip(tmp_path / "in.mkv", 2)))
    with pytest.raises(UsageError, match=r"`format=.mkv.`"):
        resolve_pipe(info, UpscaleOptions(codec="libx264"), scale=4, threads=1)


def test_what_y4m_cannot_hold_is_a_loss(tmp_path):
    info = replace(probe(str(write_clip(tmp_path / "in.mkv", 2))), display_matrix=(0,) * 9)
    settings = resolve_pipe(info, UpscaleOptions(), scale=4, threads=1)
    assert [loss.kind for loss in settings.losses] == ["rotation"]


def test_a_file_that_was_given_up_is_not_left(tmp_path):
    info = probe(str(write_clip(tmp_path / "in.mkv", 2)))
    settings = resolve(info, UpscaleOptions(), tmp_path / "o.mkv", scale=1, threads=1)
    writer = open_stream_writer(tmp_path / "o.mkv", settings)
    writer.write(Frame(0, picture(0, (64, 64)).astype(np.float32)))
    writer.abort()
    assert not (tmp_path / "o.mkv").exists()
