"""What containers say about the picture's place: cropping, 3D, 360 degrees, aspect changes."""

import struct
from dataclasses import replace
from fractions import Fraction

import av
import numpy as np
import pytest

from support.commands import ffprobe
from support.heif import box, full_box
from support.joining import produce
from support.reading import write, write_numbered
from vsrpp_cli.errors import StrictError
from vsrpp_cli.media.decode.probe import probe
from vsrpp_cli.media.mux.sample_entry import insert_into_sample_entry
from vsrpp_cli.media.source import open_source
from vsrpp_cli.media.types import Spherical
from vsrpp_cli.options import UpscaleOptions

FAST = {"preset": "ultrafast", "crf": "8"}
STRICT = UpscaleOptions(strict=True)
POSE = (10 << 16, 20 << 16, -30 << 16)
SPHERES = {
    "equirectangular": Spherical(projection="equirectangular", rotation=POSE),
    "tile": Spherical(projection="tile", rotation=POSE, bounds=(5, 1 << 30, 6, 7)),
    "cubemap": Spherical(projection="cubemap", rotation=POSE, padding=3),
}


def st3d(code):
    return full_box(b"st3d", 0, 0, bytes([code]))


def sv3d(sphere):
    left, top, right, bottom = sphere.bounds
    form = full_box(b"equi", 0, 0, struct.pack(">4I", top, bottom, left, right))
    if sphere.projection == "cubemap":
        form = full_box(b"cbmp", 0, 0, struct.pack(">II", 0, sphere.padding))
    pose = full_box(b"prhd", 0, 0, struct.pack(">3i", *sphere.rotation))
    return box(b"sv3d", full_box(b"svhd", 0, 0, b"test\0"), box(b"proj", pose, form))


def clap(width, height, right, down):
    """Return a clean aperture: its size, and how far its centre is from the picture's."""
    return box(
        b"clap", struct.pack(">4I", width, 1, height, 1), struct.pack(">4i", right, 1, down, 1)
    )


def with_boxes(path, boxes):
    path.write_bytes(insert_into_sample_entry(path.read_bytes(), boxes))
    return path


def remuxed(path, output, tags=None):
    """Copy the video of a file to another container."""
    with av.open(str(path)) as source, av.open(str(output), "w") as target:
        stream = target.add_stream_from_template(source.streams.video[0], opaque=True)
        stream.metadata.update(tags or {})
        for packet in source.demux(video=0):
            if packet.size:
                packet.stream = stream
                target.mux(packet)
    return output


def ramps(width=128, height=96):
    """Return a picture that is red by column and green by row."""
    rgb = np.zeros((height, width, 3), np.uint8)
    rgb[..., 0] = np.arange(width)
    rgb[..., 1] = np.arange(height)[:, None]
    return rgb


def first_frame(path):
    source = open_source(path)
    return source.info, next(iter(source.read(source.scan(), 0, 1))).rgb


# Cropping.


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv"])
def test_what_the_container_cuts_off_is_cut_off(tmp_path, suffix):
    lossless = {"codec": "libx264rgb", "pix_fmt": "rgb24", "options": {"crf": "0"}}
    path = write(tmp_path / "whole.mp4", [ramps()] * 3, **lossless)
    # From column 10 to 90 and from row 5 to 75; the centre of 128x96 is at 63.5 and 47.5.
    with_boxes(path, clap(80, 70, -14, -8))
    path = remuxed(path, tmp_path / f"crop{suffix}")
    info, rgb = first_frame(path)
    assert info.crop == (10, 38, 5, 21)
    assert (info.width, info.height, info.sample_aspect_ratio) == (80, 70, 1)
    assert "10 left, 38 right, 5 top, 21 bottom" in " ".join(info.notes)
    inside = ramps()[5:75, 10:90].transpose(2, 0, 1)
    assert np.abs(rgb * 255 - inside).max() < 0.01


def test_a_cropped_output_is_not_cropped_again(tmp_path):
    path = with_boxes(write_numbered(tmp_path / "in.mp4", 4, options=FAST), clap(80, 70, -14, -8))
    for suffix in (".mp4", ".mkv"):
        produce(path, tmp_path / f"out{suffix}", options=STRICT)
        info = probe(str(tmp_path / f"out{suffix}"))
        assert (info.width, info.height, info.crop) == (160, 140, (0, 0, 0, 0))


def test_a_display_size_of_the_cropped_part_gives_its_shape(tmp_path):
    path = write(
        tmp_path / "sar.mp4",
        [ramps()] * 3,
        prepare=lambda s: setattr(s.codec_context, "sample_aspect_ratio", Fraction(4, 3)),
    )
    cropped = remuxed(with_boxes(path, clap(96, 96, 0, 0)), tmp_path / "sar.mkv")
    produce(cropped, tmp_path / "out.mkv", options=STRICT)
    info = probe(str(tmp_path / "out.mkv"))
    assert (info.width, info.height, info.sample_aspect_ratio) == (192, 192, Fraction(4, 3))


# 360 degrees and 3D.


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".webm"])
@pytest.mark.parametrize("origin", [".mp4", ".mkv"])
@pytest.mark.parametrize("kind", SPHERES)
def test_the_place_on_the_sphere_is_kept(tmp_path, kind, origin, suffix):
    sphere = SPHERES[kind]
    path = with_boxes(write_numbered(tmp_path / "a.mp4", 3, options=FAST), st3d(1) + sv3d(sphere))
    path = path if origin == ".mp4" else remuxed(path, tmp_path / f"in{origin}")
    assert probe(str(path)).spherical == sphere
    output = tmp_path / f"out{suffix}"
    plan = produce(path, output, options=STRICT)
    found = probe(str(output))
    assert found.stereo == "top_bottom"
    # The pictures are twice as large, and so are the margins of a cube's faces.
    assert found.spherical == plan.encode.spherical == replace(sphere, padding=2 * sphere.padding)
    said = {
        d["side_data_type"]
        for d in ffprobe(output, "-show_streams")["streams"][0]["side_data_list"]
    }
    assert {"Spherical Mapping", "Stereo 3D"} <= said


def test_mov_and_images_have_no_place_for_it_and_that_is_a_loss(tmp_path):
    boxes = st3d(2) + sv3d(SPHERES["equirectangular"])
    path = with_boxes(write_numbered(tmp_path / "in.mp4", 3, options=FAST), boxes)
    plan = produce(path, tmp_path / "out.mov")
    assert tuple(loss.text for loss in plan.encode.losses) == (
        "the 3D layout (left_right) is dropped: MOV has no place for it",
        "the spherical mapping (equirectangular) is dropped: MOV has no place for it",
    )
    for name in ("strict.mov", "frames"):
        with pytest.raises(StrictError, match=r"3D layout.*spherical mapping"):
            produce(path, tmp_path / name, options=STRICT)


@pytest.mark.parametrize("mode", ["left_right", "right_left", "top_bottom", "row_interleaved_lr"])
def test_3d_of_matroska_keeps_its_layout_and_the_shape_of_its_pixels(tmp_path, mode):
    across = mode in ("left_right", "right_left")
    shape = Fraction(2, 1) if across else Fraction(1, 2)  # each view fills the screen
    path = write_numbered(
        tmp_path / "flat.mkv",
        3,
        options=FAST,
        prepare=lambda s: setattr(s.codec_context, "sample_aspect_ratio", shape),
    )
    path = remuxed(path, tmp_path / "in.mkv", {"stereo_mode": mode})
    info = replace(probe(str(path)), sample_aspect_ratio=shape)
    assert info.stereo == mode
    produce(path, tmp_path / "out.mkv", info=info, options=STRICT)
    found = probe(str(tmp_path / "out.mkv"))
    assert (found.stereo, found.sample_aspect_ratio) == (mode, shape)
    if mode not in ("left_right", "top_bottom"):
        with pytest.raises(StrictError, match=f"3D layout \\({mode}\\)"):
            produce(path, tmp_path / "out.mp4", info=info, options=STRICT)


# Changes of shape in the middle.


def recording(path, *parts):
    """Put transport streams together, each of some frames of a size with pixels of a shape."""
    whole = b""
    for number, (frames, size, aspect, codec) in enumerate(parts):
        part = path.with_name(f"part{number}.ts")
        write(
            part,
            [np.full((size[1], size[0], 3), 200, np.uint8)] * frames,
            codec=codec,
            pts=range(number * 100, number * 100 + frames),
            options={"bf": "2"},
            prepare=lambda s, a=aspect: setattr(s.codec_context, "sample_aspect_ratio", a),
        )
        whole += part.read_bytes()
    path.write_bytes(whole)
    return path


def bars(rgb):
    """Return rows of black above and below, and columns left and right."""
    lit = rgb[1] > 0.4
    rows, columns = np.flatnonzero(lit.any(1)), np.flatnonzero(lit.any(0))
    height, width = lit.shape
    return rows[0], height - 1 - rows[-1], columns[0], width - 1 - columns[-1]


NARROW, WIDE = Fraction(16, 15), Fraction(64, 45)


@pytest.mark.parametrize("codec", ["mpeg2video", "libx264"])
def test_a_wider_picture_is_fitted_into_the_shape_of_the_first(tmp_path, codec):
    size = (180, 144)
    path = recording(
        tmp_path / "tv.ts",
        (12, size, NARROW, codec),
        (12, size, WIDE, codec),
        (6, size, NARROW, codec),
    )
    source = open_source(path)
    scan = source.scan(scenes=False)
    assert scan.shapes == ((12, Fraction(4, 3)), (24, Fraction(1)))
    assert "frame 12: pictures are shown as 16:9 from here, not as 4:3" in " ".join(scan.notes)
    frames = [frame.rgb for frame in source.read(scan, 0, scan.frames)]
    assert [bars(rgb) for rgb in frames[:12] + frames[24:]] == [(0, 0, 0, 0)] * 18
    # 4:3 of 144 lines leaves 108 for 16:9.
    assert [bars(rgb) for rgb in frames[12:24]] == [(18, 18, 0, 0)] * 12
    assert np.array_equal(next(iter(source.read(scan, 15, 16))).rgb, frames[15])


def test_a_narrower_picture_of_another_size_gets_bars_at_the_sides(tmp_path):
    path = recording(
        tmp_path / "tv.ts",
        (6, (320, 180), Fraction(1), "mpeg2video"),
        (6, (180, 144), NARROW, "mpeg2video"),
    )
    source = open_source(path)
    scan = source.scan(scenes=False)
    frames = [frame.rgb for frame in source.read(scan, 0, 12)]
    assert bars(frames[2]) == (0, 0, 0, 0)
    assert bars(frames[9]) == (0, 0, 40, 40)


def test_a_change_before_the_start_asked_for_counts(tmp_path):
    size = (180, 144)
    path = recording(
        tmp_path / "tv.ts", (12, size, NARROW, "mpeg2video"), (12, size, WIDE, "mpeg2video")
    )
    source = open_source(path)
    scan = source.scan(scenes=False, start=Fraction(100, 24))
    assert scan.shapes[0] == (0, Fraction(4, 3))
    assert bars(next(iter(source.read(scan, 0, 1))).rgb) == (18, 18, 0, 0)


def test_the_shape_that_a_matroska_header_states_stands(tmp_path):
    path = recording(
        tmp_path / "tv.ts", (6, (180, 144), NARROW, "libx264"), (6, (180, 144), WIDE, "libx264")
    )
    source = open_source(remuxed(path, tmp_path / "tv.mkv"))
    assert source.scan(scenes=False).shapes == ()


# Notes.


def test_transparency_that_is_read_is_not_called_unread(tmp_path):
    rgba = np.full((24, 32, 4), 128, np.uint8)
    path = tmp_path / "alpha.mkv"
    with av.open(str(path), "w") as file:
        stream = file.add_stream("ffv1", rate=10)
        stream.width, stream.height, stream.pix_fmt = 32, 24, "yuva420p"
        stream.metadata["alpha_mode"] = "1"
        frame = av.VideoFrame.from_ndarray(rgba, "rgba").reformat(format="yuva420p")
        file.mux(stream.encode(frame))
        file.mux(stream.encode())
    info = probe(str(path))
    assert info.has_alpha
    assert not any("transparency" in note for note in info.notes)


def test_transparency_that_the_decoder_leaves_out_is_said(tmp_path):
    path = write_numbered(
        tmp_path / "alpha.webm",
        2,
        codec="libvpx-vp9",
        pix_fmt="yuva420p",
        prepare=lambda stream: stream.metadata.update(alpha_mode="1"),
    )
    info = probe(str(path))
    assert not info.has_alpha
    assert any("transparency of vp9 is not read" in note for note in info.notes)
