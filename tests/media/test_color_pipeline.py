"""Colour through whole runs: by the standards' formulas, and as ffmpeg reads and scales it.

The network is a neutral one, which only enlarges, so that every difference is the colour path's.
"""

import re
import shutil
import struct
import subprocess
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from support.clips import TINY, tiny_checkpoint
from support.commands import ffprobe
from support.flashes import remuxed
from support.odd import ODD
from support.places import EXAMPLE
from vsrpp_cli import UpscaleOptions, upscale
from vsrpp_cli.errors import StrictError
from vsrpp_cli.media.color.convert import code_points
from vsrpp_cli.media.mux.sample_entry import insert_into_sample_entry
from vsrpp_cli.media.source import open_source
from vsrpp_cli.media.types import ColorSpec

KR_KB = {"smpte170m": (0.299, 0.114), "bt709": (0.2126, 0.0722), "bt2020nc": (0.2627, 0.0593)}
PRIMARIES = {"smpte170m": "smpte170m", "bt709": "bt709", "bt2020nc": "bt2020"}
CHROMA = {"420": (2, 2), "422": (1, 2), "444": (1, 1)}
WIDTH, HEIGHT, PATCH = 96, 64, 16
CASES = [
    (matrix, full, bits, chroma)
    for matrix in KR_KB
    for full in (False, True)
    for bits in (8, 10)
    for chroma in CHROMA
]


def patches():
    """Flat patches of primaries, greys and random colours: (3, HEIGHT, WIDTH) in [0, 1]."""
    colours = np.random.default_rng(7).random((3, HEIGHT // PATCH, WIDTH // PATCH))
    colours[:, 0] = np.array([[0, 0, 0], [1, 1, 1], [1, 0, 0], [0, 1, 0], [0, 0, 1], [0.5] * 3]).T
    return colours.repeat(PATCH, 1).repeat(PATCH, 2)


def photograph():
    """A piece of the example clip: (3, HEIGHT, WIDTH) in [0, 1]."""
    with av.open(str(EXAMPLE)) as file:
        rgb = next(file.decode(video=0)).to_ndarray(format="rgb24")
    return rgb[60 : 60 + HEIGHT, 120 : 120 + WIDTH].transpose(2, 0, 1) / 255


def code_values(rgb, spec, bits, chroma):
    """The formulas of H.273, section 8.3, in float64, chroma averaged: Y', Cb, Cr, rounded."""
    kr, kb = KR_KB[spec.matrix]
    luma = kr * rgb[0] + (1 - kr - kb) * rgb[1] + kb * rgb[2]
    down, across = CHROMA[chroma]
    unit, peak = 2 ** (bits - 8), 2**bits - 1
    scales, zero = ((peak, peak), 0) if spec.full_range else ((219 * unit, 224 * unit), 16 * unit)
    planes = [luma * scales[0] + zero]
    for part in ((rgb[2] - luma) / (2 - 2 * kb), (rgb[0] - luma) / (2 - 2 * kr)):
        means = part.reshape(HEIGHT // down, down, WIDTH // across, across).mean((1, 3))
        planes.append(means * scales[1] + 128 * unit)
    return [np.clip(np.rint(plane), 0, peak).astype(np.int64) for plane in planes]


def planes_of(frame):
    """The code values of a planar frame, one array a plane."""
    kind = np.uint8 if frame.format.components[0].bits == 8 else np.uint16
    rows = [np.frombuffer(plane, kind).reshape(plane.height, -1) for plane in frame.planes]
    return [r[:, : p.width].astype(np.int64) for r, p in zip(rows, frame.planes, strict=True)]


def write(path, spec, pix_fmt, pictures, *, codec="ffv1", options=None):
    """Write code values, a list of planes for each picture, as a tagged file; return its path."""
    if codec == "libx265" and path.suffix == ".mp4":
        # Fresh from the encoder, FFmpeg's MP4 muxer refuses one of some dozen x265 encodings in a
        # process; out of Matroska, where our own segments come from, it takes them all.
        between = path.with_name(f"{path.stem}.between.mkv")
        write(between, spec, pix_fmt, pictures, codec=codec, options=options)
        return remuxed(between, path)
    height, width = pictures[0][0].shape
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=25, options=options or {})
        stream.width, stream.height, stream.pix_fmt = width, height, pix_fmt
        context = stream.codec_context
        tags = code_points(spec)
        context.color_primaries, context.color_trc, context.colorspace, context.color_range = tags
        for index, picture in enumerate(pictures):
            frame = av.VideoFrame(width, height, pix_fmt)
            kind = np.uint8 if frame.format.components[0].bits == 8 else np.uint16
            for plane, values in zip(frame.planes, picture, strict=True):
                rows = np.ndarray((plane.height, plane.line_size // kind().itemsize), kind, plane)
                rows[:, : plane.width] = values
            frame.pts, frame.time_base = index, Fraction(1, 25)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


@pytest.fixture(scope="session")
def neutral(tmp_path_factory):
    return tiny_checkpoint(tmp_path_factory.mktemp("models") / "neutral.pth", neutral=True)


@pytest.fixture(scope="session")
def run(neutral):
    """Run the whole pipeline on a file with the neutral network, or another one."""

    def whole(source, output, **options):
        options = {"model": str(neutral), "device": "cpu", "precision": "fp32"} | options
        return upscale(source, output, UpscaleOptions(threads=1, scenes="off", **options))

    return whole


@dataclass
class Case:
    """One combination: a source of two frames (patches, photograph) and what became of it."""

    spec: ColorSpec
    bits: int
    chroma: str
    source: Path
    output: Path
    frames: list


def case_name(case):
    matrix, full, bits, chroma = case
    return f"{matrix}-{'full' if full else 'limited'}-{bits}-{chroma}"


@pytest.fixture(scope="module", params=CASES, ids=case_name)
def case(request, run, tmp_path_factory):
    matrix, full, bits, chroma = request.param
    folder = tmp_path_factory.mktemp("case")
    spec = ColorSpec(matrix=matrix, full_range=full, primaries=PRIMARIES[matrix], transfer="bt709")
    pix_fmt = f"yuv{chroma}p" + ("" if bits == 8 else "10le")
    pictures = [code_values(picture, spec, bits, chroma) for picture in (patches(), photograph())]
    source = write(folder / "in.mkv", spec, pix_fmt, pictures)
    run(source, folder / "out.mkv", codec="ffv1")
    with av.open(str(folder / "out.mkv")) as file:
        frames = list(file.decode(video=0))
    return Case(spec, bits, chroma, source, folder / "out.mkv", frames)


def test_flat_patches_keep_the_code_values_of_the_standard(case):
    assert case.frames[0].format.name == f"yuv{case.chroma}p" + ("" if case.bits == 8 else "10le")
    down, across = CHROMA[case.chroma]
    wanted = code_values(patches(), case.spec, case.bits, case.chroma)
    for index, plane in enumerate(planes_of(case.frames[0])):
        y, x = (PATCH // down, PATCH // across) if index else (PATCH, PATCH)
        exact = wanted[index][y // 2 :: y, x // 2 :: x]
        got = plane[2 * y :: 4 * y, 2 * x :: 4 * x]
        assert np.abs(got - exact).max() <= (1 if case.bits == 8 else 2)


def gbr(path):
    """Read ffmpeg's raw `gbrp16le` as RGB, shape (frames, 3, H * W), in [0, 1]."""
    return (np.fromfile(path, "<u2").reshape(2, 3, -1) / 65535)[:, [2, 0, 1]]


def as_ffmpeg_reads(source, output):
    """Return RGB of the source, of it scaled by ffmpeg, and of the output, by each file's tags."""
    to_rgb = "zscale=matrix=gbr:range=full:filter=bilinear,format=gbrp16le"
    graph = f"[0:v]split[a][b];[a]{to_rgb}[small];"
    graph += f"[b]scale=iw*4:ih*4:flags=bicubic+accurate_rnd+full_chroma_int,{to_rgb}[scaled];"
    graph += f"[1:v]{to_rgb}[ours]"
    command = ["ffmpeg", "-v", "error", "-i", source, "-i", output, "-filter_complex", graph]
    files = [source.with_name(f"{name}.raw") for name in ("small", "scaled", "ours")]
    for path in files:
        command += ["-map", f"[{path.stem}]", "-f", "rawvideo", path]
    subprocess.run(command, check=True)
    return [gbr(path) for path in files]


needs_ffmpeg = pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="ffmpeg is not installed")


@needs_ffmpeg
def test_rgb_and_the_mean_of_the_result_are_ffmpegs(case):
    small, scaled, ours = as_ffmpeg_reads(case.source, case.output)
    source = open_source(case.source)
    read = [f.rgb.reshape(3, -1) for f in source.read(source.scan(scenes=False), 0, 2)]
    assert np.abs(np.stack(read) - small)[1].mean() * 255 < 0.5
    assert np.abs(ours.mean(2) - scaled.mean(2)).max() * 255 < 0.5
    # Most of that is ffmpeg's: what it scales drifts from its own source by up to 0.47.
    assert np.abs(ours.mean(2) - small.mean(2)).max() * 255 < 0.1


@needs_ffmpeg
@pytest.mark.parametrize(
    ("codec", "suffix"),
    [
        ("h264", ".mp4"),
        ("h264", ".mkv"),
        ("hevc", ".mov"),
        ("av1", ".webm"),
        ("vp9", ".webm"),
        ("prores", ".mov"),
    ],
)
@pytest.mark.parametrize(("matrix", "full"), [("smpte170m", True), ("bt2020nc", False)])
def test_every_codec_keeps_the_mean_colour_and_says_how_to_read_it(
    codec, suffix, matrix, full, run, tmp_path
):
    """By matrices that are not what players guess for the size of the result."""
    spec = ColorSpec(matrix=matrix, full_range=full, primaries=PRIMARIES[matrix], transfer="bt709")
    picture = code_values(photograph(), spec, 10, "420")
    source = write(tmp_path / "in.mkv", spec, "yuv420p10le", [picture] * 2)
    output = tmp_path / f"out{suffix}"
    run(source, output, codec=codec)
    small, scaled, ours = as_ffmpeg_reads(source, output)
    assert np.abs(ours.mean(2) - scaled.mean(2)).max() * 255 < 0.5
    assert np.abs(ours.mean(2) - small.mean(2)).max() * 255 < 0.25


@pytest.fixture(scope="session")
def same_size(tmp_path_factory):
    path = tmp_path_factory.mktemp("models") / "same.pth"
    return tiny_checkpoint(path, config=replace(TINY, same_size=True), neutral=True)


@pytest.mark.parametrize("matrix", KR_KB)
@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize("bits", [8, 10])
def test_a_photograph_at_444_comes_back_as_it_was(matrix, full, bits, run, same_size, tmp_path):
    """Through a whole run with a network that hands frames through."""
    spec = ColorSpec(matrix=matrix, full_range=full, primaries=PRIMARIES[matrix])
    pix_fmt = "yuv444p" if bits == 8 else "yuv444p10le"
    given = code_values(photograph(), spec, bits, "444")
    source = write(tmp_path / "in.mkv", spec, pix_fmt, [given])
    run(source, tmp_path / "out.mkv", codec="ffv1", model=str(same_size))
    with av.open(str(tmp_path / "out.mkv")) as file:
        (frame,) = file.decode(video=0)
    errors = [np.abs(a - b).mean() for a, b in zip(planes_of(frame), given, strict=True)]
    assert max(errors) <= 0.5


@pytest.mark.parametrize(("model", "codec"), [("neutral", "ffv1"), ("compact", "hevc")])
def test_a_ten_bit_ramp_keeps_its_levels(model, codec, run, neutral, tmp_path):
    """With the embedded model, too, at the precision this machine prefers, in the usual HEVC."""
    spec = ColorSpec(matrix="bt2020nc", full_range=True, primaries="bt2020", transfer="bt2020-10")
    ramp = np.broadcast_to(np.arange(0, 1024, 2), (64, 512))
    grey = np.full((32, 256), 512)
    source = write(tmp_path / "in.mkv", spec, "yuv420p10le", [[ramp, grey, grey]])
    chosen = {"model": str(neutral)} if model == "neutral" else {"model": model}
    run(source, tmp_path / "out.mkv", codec=codec, precision="auto", **chosen)
    with av.open(str(tmp_path / "out.mkv")) as file:
        frame = next(file.decode(video=0))
    assert frame.format.name == "yuv420p10le"
    row = planes_of(frame)[0][128]
    assert np.unique(row).size >= 900
    ideal = (np.arange(2048) - 1.5) / 2
    assert np.abs(row - ideal)[32:-32].max() < 4, "no finer than 8 bits"


TAGS = ("color_range", "color_space", "color_transfer", "color_primaries")


def hdr_facts(path):
    """What ffprobe says of colour: the stream's tags, and HDR metadata of stream or frame."""
    shown = ffprobe(
        path, "-select_streams", "v:0", "-read_intervals", "%+#1", "-show_streams", "-show_frames"
    )
    stream, frame = shown["streams"][0], shown["frames"][0]
    data = {}
    for entry in stream.get("side_data_list", []) + frame.get("side_data_list", []):
        kind = entry["side_data_type"]
        if kind in ("Mastering display metadata", "Content light level metadata"):
            data[kind] = {k: float(Fraction(v)) for k, v in entry.items() if k != "side_data_type"}
    return {tag: stream.get(tag) or frame.get(tag) for tag in TAGS}, data


@pytest.mark.skipif(not ODD.is_dir(), reason="the collection of odd files is not here")
@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
@pytest.mark.parametrize(
    ("name", "transfer"),
    [
        ("siti_tools__fall-hlg.mov", "arib-std-b67"),
        ("torchcodec__nasa_13013_hdr.mp4", "smpte2084"),
        ("torchcodec__testsrc2_12bit_hdr.mp4", "smpte2084"),
        ("torchcodec__testsrc2_hdr.mp4", "smpte2084"),
    ],
)
def test_hdr_files_keep_tags_and_metadata(name, transfer, suffix, run, same_size, tmp_path):
    output = tmp_path / f"out{suffix}"
    run(ODD / name, output, model=str(same_size), frames=1, height=180, audio=False)
    tags, data = hdr_facts(output)
    given_tags, given_data = hdr_facts(ODD / name)
    assert tags == given_tags
    assert tags["color_transfer"] == transfer
    assert data.keys() == given_data.keys()
    for kind, values in given_data.items():
        assert data[kind] == pytest.approx(values, abs=2e-4), kind


MASTERING = "G(8500,39850)B(6550,2300)R(35400,14600)WP(15635,16450)L(10000000,50)"


@pytest.mark.parametrize(
    ("suffix", "codec"), [(".mp4", "hevc"), (".mkv", "hevc"), (".webm", "av1")]
)
def test_mastering_display_and_light_level_pass_through_a_run(
    suffix, codec, run, neutral, tmp_path
):
    """From a file that x265 marks so, to what ffprobe finds."""
    marks = f"log-level=none:hdr10=1:repeat-headers=1:master-display={MASTERING}:max-cll=1000,400"
    options = {"x265-params": marks, "preset": "ultrafast"}
    source = tmp_path / "in.mp4"
    spec = ColorSpec(matrix="bt2020nc", full_range=False, primaries="bt2020", transfer="smpte2084")
    picture = code_values(photograph(), spec, 10, "420")
    write(source, spec, "yuv420p10le", [picture] * 2, codec="libx265", options=options)
    output = tmp_path / f"out{suffix}"
    run(source, output, codec=codec)
    (tags, data), (given_tags, given_data) = hdr_facts(output), hdr_facts(source)
    assert len(given_data) == 2
    assert tags == given_tags
    assert data.keys() == given_data.keys()
    for kind, values in given_data.items():
        assert data[kind] == pytest.approx(values, rel=1e-3, abs=2e-4), kind


def light(path, *, codec="libx265", **options):
    """Write two frames tagged PQ."""
    spec = ColorSpec(matrix="bt2020nc", full_range=False, primaries="bt2020", transfer="smpte2084")
    picture = code_values(photograph(), spec, 10, "420")
    chosen = {"x265-params": "log-level=none", "preset": "ultrafast"} | options
    return write(path, spec, "yuv420p10le", [picture] * 2, codec=codec, options=chosen)


def refused(source, run, tmp_path):
    """Return what `--strict` says of it."""
    with pytest.raises(StrictError) as caught:
        run(source, tmp_path / "out.mp4", strict=True)
    return str(caught.value)


def test_dolby_vision_is_reported_as_dropped(run, tmp_path):
    """Profile 8.1: version 1.0, level 1, RPU and base layer, compatible with HDR10."""
    source = light(tmp_path / "in.mp4")
    record = bytes([1, 0, 8 << 1, 1 << 3 | 0b101, 1 << 4]) + bytes(19)
    box = struct.pack(">I4s", 8 + len(record), b"dvvC") + record
    source.write_bytes(insert_into_sample_entry(source.read_bytes(), box))
    shown = ffprobe(source, "-show_streams")["streams"][0]["side_data_list"]
    assert any(entry.get("dv_profile") == 8 for entry in shown)
    assert "Dolby Vision metadata is dropped" in refused(source, run, tmp_path)


def test_hdr10_plus_is_reported_as_dropped(run, tmp_path):
    """An SEI message of SMPTE ST 2094-40 with one window before every picture."""
    source = light(tmp_path / "in.hevc")
    fields = [(1, 2), (400, 27), (0, 1), *[(100, 17)] * 4, (0, 4), (0, 10), (0, 1), (0, 1), (0, 1)]
    bits = "".join(f"{value:0{size}b}" for value, size in fields)
    bits += "0" * (-len(bits) % 8)
    body = bytes.fromhex("b5003c00010401") + int(bits, 2).to_bytes(len(bits) // 8, "big")
    message = bytes([4, len(body)]) + body + b"\x80"
    message = re.sub(b"\0\0(?=[\0-\3])", b"\0\0\3", message)
    sei = bytes.fromhex("000000014e01") + message
    slices = re.compile(b"\0\0\1(?=[\0-\x3f])")
    source.write_bytes(slices.sub(lambda found: sei + found[0], source.read_bytes()))
    shown = ffprobe(source, "-show_frames")["frames"][0]["side_data_list"]
    assert any("2094-40" in entry["side_data_type"] for entry in shown)
    assert "HDR10+ metadata is dropped" in refused(source, run, tmp_path)
