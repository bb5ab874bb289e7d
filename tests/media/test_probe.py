"""What an input is, read from its header and its first picture."""

import struct
from fractions import Fraction

import av
import numpy as np
import pytest

from support.reading import numbered, write, write_numbered
from vsrpp_cli.errors import InputError, UsageError
from vsrpp_cli.media.decode.probe import probe
from vsrpp_cli.media.source import open_source

FAST = {"preset": "ultrafast"}


def tagged(stream, primaries, transfer, matrix, full=False):
    context = stream.codec_context
    context.color_primaries, context.color_trc, context.colorspace = primaries, transfer, matrix
    context.color_range = 2 if full else 1


def test_size_rate_time_base_and_count(tmp_path):
    info = probe(str(write_numbered(tmp_path / "clip.mp4", 12, options=FAST)))
    assert (info.kind, info.codec, info.width, info.height) == ("video", "h264", 128, 96)
    assert (info.pix_fmt, info.bit_depth, info.has_alpha) == ("yuv420p", 8, False)
    assert (info.frame_rate, info.frame_estimate, info.duration) == (24, 12, Fraction(1, 2))
    assert info.sample_aspect_ratio == 1
    assert info.display_matrix is None


def test_colour_tags_are_read(tmp_path):
    path = write_numbered(
        tmp_path / "hdr.mkv",
        2,
        codec="libx265",
        pix_fmt="yuv420p10le",
        options=FAST | {"x265-params": "log-level=none"},
        prepare=lambda stream: tagged(stream, 9, 16, 9),
    )
    color = probe(str(path)).color
    assert (color.primaries, color.transfer, color.matrix) == ("bt2020", "smpte2084", "bt2020nc")
    assert not color.full_range
    assert color.guessed == ()


@pytest.mark.parametrize(
    ("height", "matrix", "primaries"),
    [
        (480, "smpte170m", "smpte170m"),
        (576, "bt470bg", "bt470bg"),
        (720, "bt709", "bt709"),
        (96, "smpte170m", "bt709"),
    ],
)
def test_missing_colour_tags_are_guessed_by_height_and_said(tmp_path, height, matrix, primaries):
    picture = np.zeros((height, 64, 3), np.uint8)
    info = probe(str(write(tmp_path / "clip.mkv", [picture], options=FAST)))
    assert (info.color.matrix, info.color.primaries) == (matrix, primaries)
    assert "matrix" in info.color.guessed
    assert any(matrix in note and f"64x{height}" in note for note in info.notes)


def test_full_range_and_siting_are_read(tmp_path):
    options = FAST | {"chroma_sample_location": "topleft", "x264-params": "chromaloc=2"}
    path = write_numbered(
        tmp_path / "full.mp4", 2, options=options, prepare=lambda s: tagged(s, 1, 1, 1, full=True)
    )
    color = probe(str(path)).color
    assert color.full_range
    assert color.siting == "topleft"


def test_mastering_display_and_light_level_are_read(tmp_path):
    params = (
        "log-level=none:master-display=G(8500,39850)B(6550,2300)R(35400,14600)WP(15635,16450)"
        "L(10000000,50):max-cll=1000,400"
    )
    path = write_numbered(
        tmp_path / "hdr.mkv",
        2,
        codec="libx265",
        pix_fmt="yuv420p10le",
        options=FAST | {"x265-params": params},
    )
    hdr = probe(str(path)).hdr
    assert hdr.primaries[0] == pytest.approx((0.708, 0.292))
    assert hdr.primaries[3] == pytest.approx((0.3127, 0.329))
    assert hdr.luminance == pytest.approx((0.005, 1000))
    assert (hdr.max_cll, hdr.max_fall) == (1000, 400)


@pytest.mark.parametrize(("degrees", "flip"), [(90, False), (180, False), (270, False), (0, True)])
def test_rotation_and_flips_are_carried_as_the_display_matrix(tmp_path, degrees, flip):
    path = write_numbered(
        tmp_path / "turned.mp4",
        2,
        options=FAST,
        prepare=lambda stream: stream.set_display_rotation(degrees, flip),
    )
    info = probe(str(path))
    assert (info.width, info.height) == (128, 96)
    with av.open(str(path)) as file:
        frame = next(file.decode(video=0))
        data = bytes(frame.side_data["DISPLAYMATRIX"])
    assert info.display_matrix == struct.unpack("<9i", data[:36])


def test_sample_aspect_ratio_is_read(tmp_path):
    def shape(stream):
        stream.codec_context.sample_aspect_ratio = Fraction(12, 11)

    path = write_numbered(tmp_path / "wide.mp4", 2, options=FAST, prepare=shape)
    assert probe(str(path)).sample_aspect_ratio == Fraction(12, 11)


def _two_tracks(path):
    with av.open(str(path), "w") as file:
        streams = [file.add_stream("libx264", rate=24, options=FAST) for _ in range(2)]
        for stream, size in zip(streams, ((64, 48), (128, 96)), strict=True):
            stream.width, stream.height = size
        for index in range(3):
            for stream in streams:
                picture = numbered(index, stream.width, stream.height)
                frame = av.VideoFrame.from_ndarray(picture, "rgb24")
                file.mux(stream.encode(frame))
        for stream in streams:
            file.mux(stream.encode())
    return str(path)


def test_a_track_can_be_chosen_and_others_are_reported(tmp_path):
    path = _two_tracks(tmp_path / "two.mkv")
    info = probe(path)
    assert (info.width, info.stream_index) == (64, 0)
    assert [s.kind for s in info.streams] == ["video"]
    assert any("`video_track`" in note for note in info.notes)
    assert probe(path, video_track=1).width == 128
    with pytest.raises(UsageError, match="2 video tracks"):
        probe(path, video_track=2)


def _with_cover(path, video):
    with av.open(str(path), "w") as file:
        cover = file.add_mux_stream("mjpeg", width=64, height=48)
        cover.disposition = av.stream.Disposition.attached_pic
        stream = file.add_stream("libx264", rate=24, options=FAST) if video else None
        if stream is not None:
            stream.width, stream.height = 128, 96
            for index in range(3):
                frame = av.VideoFrame.from_ndarray(numbered(index), "rgb24")
                file.mux(stream.encode(frame))
            file.mux(stream.encode())
        else:
            sound = file.add_stream("aac", rate=48000, layout="mono")
            silence = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
            silence.sample_rate = 48000
            file.mux(sound.encode(silence))
            file.mux(sound.encode())
        packet = av.Packet(_jpeg())
        packet.stream, packet.pts, packet.dts = cover, 0, 0
        file.mux(packet)
    return str(path)


def _jpeg():
    context = av.CodecContext.create("mjpeg", "w")
    context.width, context.height, context.pix_fmt = 64, 48, "yuvj420p"
    context.time_base = Fraction(1, 25)
    frame = av.VideoFrame.from_ndarray(numbered(0, 64, 48), "rgb24").reformat(format="yuvj420p")
    return bytes(context.encode(frame)[0])


def test_cover_art_is_not_the_video(tmp_path):
    info = probe(_with_cover(tmp_path / "cover.mp4", video=True))
    assert (info.width, info.codec) == (128, "h264")
    assert info.streams[0].attached_picture
    with pytest.raises(InputError, match="no video but a cover"):
        probe(_with_cover(tmp_path / "song.mp4", video=False))


@pytest.mark.parametrize(("solid", "alpha"), [(True, False), (False, True)])
def test_animations_have_alpha_only_where_it_is_used(tmp_path, solid, alpha):
    # A GIF of 2x2 pixels by hand: a palette of two colours, of which the second is transparent.
    path = tmp_path / "a.gif"
    control = b"\x21\xf9\x04" + (b"\x00" if solid else b"\x01") + b"\x0a\x00\x01\x00"
    image = b"\x2c\x00\x00\x00\x00\x02\x00\x02\x00\x00\x02\x03\x44\x02\x05\x00"
    header = b"GIF89a\x02\x00\x02\x00\x80\x00\x00\xff\x00\x00\x00\x00\xff"
    path.write_bytes(header + control + image + b"\x3b")
    assert probe(str(path)).has_alpha == alpha


def _text(path):
    path.write_text("This is no video at all.\n" * 200)


def _noise(path):
    path.write_bytes(np.random.default_rng(1).bytes(20000))


def _empty(path):
    path.write_bytes(b"")


def _without_index(path):
    whole = path.with_name("whole.mp4")
    write_numbered(whole, 30, options=FAST)
    path.write_bytes(whole.read_bytes()[:5000])


def _sound(path):
    with av.open(str(path), "w") as file:
        sound = file.add_stream("aac", rate=48000, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
        frame.sample_rate = 48000
        file.mux(sound.encode(frame))
        file.mux(sound.encode())


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda path: None, "no such file"),
        (_empty, "is empty"),
        (_text, "text file|not a media file"),
        (_noise, "not a media file"),
        (_without_index, "index of this MP4 is missing"),
        (_sound, "holds no video, only audio"),
        (lambda path: path.mkdir(), "no frames"),
    ],
)
def test_what_is_no_video_is_refused_in_one_line(tmp_path, make, message):
    path = tmp_path / "input.mp4"
    make(path)
    with pytest.raises(InputError, match=message) as caught:
        open_source(path)
    assert "input.mp4" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code == 3


def test_text_that_ffmpeg_would_draw_is_refused(tmp_path):
    path = tmp_path / "notes.txt"
    path.write_text("\x1b[31mred\n" * 300)
    with pytest.raises(InputError, match="text file"):
        probe(str(path))
