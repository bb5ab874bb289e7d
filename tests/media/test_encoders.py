"""Which encoder and settings an output gets, and what each encoder does to the frames given."""

import json
import subprocess
import sys
from dataclasses import replace
from fractions import Fraction

import av
import numpy as np
import pytest

from support.joining import STREAMS, picture, produce
from vsrpp_cli.errors import EncoderError, UnknownNameError, UsageError
from vsrpp_cli.media.color.convert import frame_to_rgb
from vsrpp_cli.media.container_table import CONTAINERS
from vsrpp_cli.media.decode.probe import probe
from vsrpp_cli.media.encode.codec import try_out
from vsrpp_cli.media.encode.encoder_table import HARDWARE, ROWS
from vsrpp_cli.media.encode.h264_levels import h264_level
from vsrpp_cli.media.encode.selection import resolve
from vsrpp_cli.media.types import ColorSpec, HdrMetadata, Loss, Scan
from vsrpp_cli.options import UpscaleOptions
from vsrpp_cli.records import to_json

SOURCE = STREAMS / "everything.mp4"
SOFTWARE = [row for row in ROWS if not row.hardware]
SUFFIX = {row.muxer: row.suffixes[0] for row in CONTAINERS}


@pytest.fixture(scope="module")
def info():
    return probe(str(SOURCE))


@pytest.fixture
def settle(info, tmp_path):
    """Resolve settings for an output name, options and changes of the source."""

    def run(name, scale=4, source=None, **options):
        changed = replace(info, **(source or {}))
        return resolve(changed, UpscaleOptions(**options), tmp_path / name, scale=scale, threads=2)

    return run


DEEP = {"pix_fmt": "yuv420p10le", "bit_depth": 10}


@pytest.mark.parametrize(
    ("name", "source", "codec", "pix_fmt"),
    [
        ("o.mp4", {}, "libx264", "yuv420p"),
        ("o.mov", {}, "libx264", "yuv420p"),
        ("o.mkv", {}, "libx264", "yuv420p"),
        ("o.webm", {}, "libvpx-vp9", "yuv420p"),
        ("o.mp4", DEEP, "libx265", "yuv420p10le"),
        ("o.mkv", {"pix_fmt": "yuv422p12le", "bit_depth": 12}, "libx265", "yuv422p10le"),
        ("o.webm", DEEP, "libsvtav1", "yuv420p10le"),
        ("o.mp4", {"pix_fmt": "yuv444p"}, "libx264", "yuv444p"),
        ("o.mp4", {"pix_fmt": "rgb24"}, "libx264", "yuv420p"),
        ("o.mp4", {"pix_fmt": "gray"}, "libx264", "yuv420p"),
        ("o.mp4", {"pix_fmt": "yuv411p"}, "libx264", "yuv420p"),
        ("o.mp4", {"pix_fmt": "yuv422p"}, "libx264", "yuv422p"),
        ("o.mov", {"pix_fmt": "bgra", "has_alpha": True}, "prores_ks", "yuva444p10le"),
        ("o.webm", {"pix_fmt": "yuva420p", "has_alpha": True}, "libvpx-vp9", "yuva420p"),
    ],
)
def test_suffix_and_source_choose_encoder_and_pixel_format(settle, name, source, codec, pix_fmt):
    settings = settle(name, source=source)
    assert (settings.codec, settings.pix_fmt) == (codec, pix_fmt)


@pytest.mark.parametrize(
    ("source", "options", "loss"),
    [
        (DEEP, {"codec": "vp9"}, ("depth", "10 bits a component become 8")),
        ({"pix_fmt": "bgra", "has_alpha": True}, {}, ("transparency", "transparency is dropped")),
        ({"pix_fmt": "yuv444p"}, {"codec": "av1"}, ("chroma", "4:4:4 chroma becomes 4:2:0")),
        ({"losses": (Loss(kind="captions", text="captions go"),)}, {}, ("captions", "captions go")),
    ],
)
def test_what_the_encoder_cannot_keep_is_a_loss(settle, source, options, loss):
    kind, text = loss
    found = settle("o.mkv", source=source, **options).losses
    assert any(one.kind == kind and text in one.text for one in found)


def test_a_word_in_a_note_makes_no_loss(settle):
    notes = ("two frames were dropped by the camera",)
    assert settle("o.mkv", source={"notes": notes}).losses == ()


def test_a_plain_source_loses_nothing(settle):
    assert settle("o.mp4").losses == ()


@pytest.mark.parametrize(
    ("codec", "option", "value"),
    [
        ("h264", "crf", "23"),
        ("hevc", "crf", "23"),
        ("av1", "crf", "29"),
        ("vp9", "crf", "31"),
        ("prores", "profile", "standard"),
    ],
)
def test_one_crf_knob_is_mapped_to_each_encoder(settle, codec, option, value):
    name = "o.mov" if codec == "prores" else "o.mkv"
    assert dict(settle(name, codec=codec, crf=23).options)[option] == value


@pytest.mark.parametrize(
    ("codec", "preset", "option", "value"),
    [
        ("x264", "slow", "preset", "slow"),
        ("av1", "slow", "preset", "5"),
        ("av1", "8", "preset", "8"),
        ("vp9", "fast", "cpu-used", "3"),
    ],
)
def test_one_preset_knob_is_mapped_to_each_encoder(settle, codec, preset, option, value):
    assert dict(settle("o.mkv", codec=codec, preset=preset).options)[option] == value


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"codec": "h246"}, UnknownNameError, "did you mean"),
        ({"codec": "prores"}, UsageError, "MOV or Matroska"),
        ({"codec": "ffv1"}, UsageError, "Matroska"),
        ({"preset": "fastest"}, UnknownNameError, "ultrafast"),
        ({"crf": 60}, UsageError, "from 0"),
        ({"pix_fmt": "yuv999p"}, UsageError, "yuv420p"),
        ({"codec": "hevc_nvenc", "pix_fmt": "cuda"}, UsageError, r"takes|no encoder"),
        ({"encoder_options": (("nonsense", "1"),)}, UsageError, "nonsense"),
        ({"codec": "hevc", "encoder_options": (("nonsense", "1"),)}, UsageError, "nonsense"),
        ({"encoder_options": (("x264-params", "nope=3"),)}, UsageError, "nope"),
    ],
)
def test_what_nobody_knows_is_an_error_before_work_starts(settle, options, error, words):
    with pytest.raises(error, match=words):
        settle("o.mp4", **options)


@pytest.mark.parametrize("codec", ["vp9", "av1"])
def test_unknown_options_are_errors_for_every_way_of_passing_them(settle, codec):
    with pytest.raises(UsageError, match="nonsense"):
        settle("o.mkv", codec=codec, encoder_options=(("nonsense", "1"),))


def test_crf_makes_no_sense_for_lossless(settle):
    with pytest.raises(UsageError, match="lossless"):
        settle("o.mkv", codec="ffv1", crf=10)


@pytest.mark.parametrize("name", ["o.avi", "o.ts", "o.xyz"])
def test_unsuitable_and_unknown_suffixes_are_refused_with_a_reason(settle, name):
    with pytest.raises(UnknownNameError, match="mkv"):
        settle(name)


def test_encoder_options_of_the_user_join_ours(settle):
    options = settle("o.mkv", codec="hevc", encoder_options=(("aq-mode", "3"),)).options
    assert "open-gop=0" in dict(options)["x265-params"]
    assert "aq-mode=3" in dict(options)["x265-params"]


def test_beyond_what_h264_players_decode_others_are_offered(settle):
    assert not settle("o.mp4", source={"width": 960, "height": 540}).notes
    (note,) = settle("o.mp4", source={"width": 1920, "height": 1080}).notes
    assert "level 6" in note
    assert "`codec='hevc'`" in note
    assert h264_level(20000, 20000, Fraction(25)) is None


def test_what_few_players_decode_is_said(settle):
    (note,) = settle("o.mp4", source={"pix_fmt": "yuv422p"}).notes
    assert "`pix_fmt='yuv420p'`" in note


@pytest.mark.parametrize("codec", ["h264", "vp9", "ffv1"])
def test_the_smallest_input_is_encoded(settle, codec):
    settings = settle("o.mkv", codec=codec, source={"width": 1, "height": 1})
    assert (settings.width, settings.height) == (4, 4)


def test_sizes_that_an_encoder_dies_of_are_refused(settle):
    with pytest.raises(UsageError, match="8x8 is below the 16 pixels a side of libsvtav1"):
        settle("o.mkv", codec="av1", source={"width": 2, "height": 2})
    assert settle("o.mkv", codec="av1", source={"width": 4, "height": 4}).width == 16


def test_another_encoder_takes_over_where_the_usual_one_refuses(settle):
    settings = settle("o.mp4", source={"width": 1, "height": 1, **DEEP})
    assert (settings.codec, settings.pix_fmt) == ("libx264", "yuv420p10le")


@pytest.mark.parametrize(
    ("options", "size"),
    [
        ({}, (320, 192)),
        ({"scale": Fraction(3)}, (240, 144)),
        ({"height": 100}, (166, 100)),
        ({"width": 100}, (100, 60)),
        ({"width": 100, "height": 100}, (100, 100)),
    ],
)
def test_output_size(settle, options, size):
    settings = settle("o.mp4", **options)
    assert (settings.width, settings.height) == size


def test_stretching_keeps_what_is_shown_by_the_shape_of_pixels(settle):
    assert settle("o.mp4", width=100, height=100).sample_aspect_ratio == Fraction(5, 3)
    assert settle("o.mp4", height=100).sample_aspect_ratio == 1


def test_height_means_the_picture_as_shown(settle):
    turned = {"display_matrix": (0, 65536, 0, -65536, 0, 0, 0, 0, 1 << 30)}
    settings = settle("o.mp4", source=turned, height=160)
    assert (settings.width, settings.height) == (160, 96)


def test_odd_sizes_are_padded_where_the_pixel_format_needs_it(settle):
    settings = settle("o.mp4", source={"width": 81, "height": 49}, scale=1)
    assert (settings.width, settings.height) == (82, 50)
    assert "81x49 becomes 82x50" in settings.notes[0]
    full = settle("o.mp4", source={"width": 81, "height": 49, "pix_fmt": "yuv444p"}, scale=1)
    assert (full.width, full.height) == (81, 49)


def test_the_output_is_always_tagged_explicitly(settle):
    color = ColorSpec(matrix="smpte170m", full_range=False)
    tagged = settle("o.mp4", source={"color": color}).color
    assert (tagged.primaries, tagged.transfer, tagged.siting) == ("smpte170m", "smpte170m", "left")


# Every encoder in every container it is offered in; in one of them at several pixel formats.

PAIRS = [
    pytest.param(row, container, pix_fmt, id=f"{row.encoder}-{container}-{pix_fmt}")
    for row in SOFTWARE
    for container in row.containers
    for pix_fmt in dict.fromkeys(
        (row.pix_fmts[0], row.pix_fmts[-1], *row.pix_fmts[3:4])
        if container == row.containers[-1]
        else row.pix_fmts[:1]
    )
    if not (pix_fmt.startswith("yuva") and container not in row.alpha_containers)
]
LEAST_PSNR = {"libx264": 42, "libx265": 42, "libsvtav1": 39, "libvpx-vp9": 39, "prores_ks": 42}
LOSSLESS_PSNR = 50  # what rounding to 8 bits and the chroma of 4:2:0 cost
VFR = (45000, 48000, 48400, 54321, 60000, 66000, 66900, 72000, 80000, 90001)


@pytest.mark.parametrize(("row", "container", "pix_fmt"), PAIRS)
def test_each_encoder_in_each_container_keeps_times_tags_and_pixels(
    row, container, pix_fmt, info, tmp_path
):
    output = tmp_path / f"o{SUFFIX[container]}"
    alpha = pix_fmt.startswith("yuva")
    changed = replace(
        info,
        time_base=Fraction(1, 90000),
        sample_aspect_ratio=Fraction(12, 11),
        display_matrix=(0, 65536, 0, -65536, 0, 0, 0, 0, 1 << 30),
        has_alpha=alpha,
    )
    scan = Scan(pts=VFR, last_duration=4321)
    options = UpscaleOptions(codec=row.encoder, pix_fmt=pix_fmt)
    # `produce` verifies: every pts, size, tags, aspect ratio, rotation, a full decode.
    plan = produce(SOURCE, output, options=options, scan=scan, info=changed, segment=4)
    assert worst_psnr(output, plan.encode) >= LEAST_PSNR.get(row.encoder, LOSSLESS_PSNR)


def worst_psnr(path, settings):
    worst = np.inf
    with av.open(str(path)) as file:
        for index, frame in enumerate(file.decode(video=0)):
            given = picture(index, settings.width, settings.height)
            if settings.pix_fmt.startswith("gray"):
                return np.inf if frame.format.name == settings.pix_fmt else 0
            error = np.mean((frame_to_rgb(frame, settings.color) - given) ** 2)
            worst = min(worst, -10 * np.log10(error + 1e-12))
    return worst


@pytest.mark.parametrize("row", HARDWARE, ids=lambda row: row.encoder)
def test_hardware_encoders_work_or_say_that_they_do_not(row, info, tmp_path):
    output = tmp_path / f"o{SUFFIX[row.containers[0]]}"
    options = UpscaleOptions(codec=row.encoder)
    try:
        resolve(replace(info, width=320, height=240), options, output, scale=1, threads=1)
    except UsageError as error:
        assert row.encoder in str(error) or row.coding in str(error)  # noqa: PT017
        pytest.skip(str(error))
    produce(SOURCE, output, options=options, scale=4)


def test_a_trial_in_a_child_process_reports_what_is_wrong(settle):
    settings = settle("o.mp4")
    try_out(settings, in_child=True)
    with pytest.raises(EncoderError, match="no option nonsense"):
        try_out(replace(settings, options=(("nonsense", "1"),)), in_child=True)


HDR = HdrMetadata(
    primaries=((0.708, 0.292), (0.17, 0.797), (0.131, 0.046), (0.3127, 0.329)),
    luminance=(0.005, 1000.0),
    max_cll=1000,
    max_fall=400,
)
PQ = ColorSpec(matrix="bt2020nc", full_range=False, primaries="bt2020", transfer="smpte2084")


@pytest.mark.parametrize(
    ("codec", "name"),
    [
        ("hevc", "o.mp4"),
        ("hevc", "o.mkv"),
        ("h264", "o.mp4"),
        ("av1", "o.mp4"),
        ("av1", "o.webm"),
        ("vp9", "o.webm"),
        ("prores", "o.mov"),
        ("ffv1", "o.mkv"),
    ],
)
def test_hdr_tags_and_metadata_reach_stream_and_container(codec, name, info, tmp_path):
    source = replace(info, **DEEP, hdr=HDR, color=PQ)
    output = tmp_path / name
    produce(SOURCE, output, options=UpscaleOptions(codec=codec), info=source)
    found = probe(str(output))
    assert found.hdr is not None
    assert found.hdr.primaries == pytest.approx(np.array(HDR.primaries), abs=1e-4)
    assert found.hdr.luminance == pytest.approx(HDR.luminance, abs=1e-4)
    assert (found.hdr.max_cll, found.hdr.max_fall) == (1000, 400)
    assert (found.color.matrix, found.color.transfer) == ("bt2020nc", "smpte2084")


DETERMINISM = """
import hashlib, json, sys
from pathlib import Path
from support.joining import encode
from vsrpp_cli.records import from_json
from vsrpp_cli.media.types import EncodeSettings, Scan
for data in json.loads(sys.argv[2]):
    settings = from_json(EncodeSettings, data)
    (path,) = encode(Path(sys.argv[1]), Scan(pts=tuple(range(10)), last_duration=1), settings, 10)
    print(settings.codec, hashlib.sha256(path.read_bytes()).hexdigest())
"""


def test_encoders_give_the_same_bytes_whatever_memory_holds(settle, tmp_path):
    small = {"width": 83, "height": 47}
    chosen = [
        settle("o.mov" if row.coding == "prores" else "o.mkv", 2, small, codec=row.encoder)
        for row in SOFTWARE
    ]
    found = [
        subprocess.run(
            [sys.executable, "-c", DETERMINISM, str(tmp_path), json.dumps(to_json(chosen))],
            env={"MALLOC_PERTURB_": fill, "PYTHONPATH": ":".join(sys.path)},
            capture_output=True,
            text=True,
            check=True,
        ).stdout.splitlines()
        for fill in ("0", "213")
    ]
    assert found[0] == found[1]
    assert len(found[0]) == len(SOFTWARE)
