"""Code values to RGB and back, against the standards' formulas in float64."""

import shutil
import subprocess

import av
import numpy as np
import pytest
from av.video.frame import VideoFrame

from vsrpp_cli.errors import InputError
from vsrpp_cli.media.color.convert import code_points, frame_to_alpha, frame_to_rgb, rgb_to_frame
from vsrpp_cli.media.types import ColorSpec

KR_KB = {
    "bt709": (0.2126, 0.0722),
    "smpte170m": (0.299, 0.114),
    "bt2020nc": (0.2627, 0.0593),
    "fcc": (0.30, 0.11),
    "smpte240m": (0.212, 0.087),
}
CHROMA = {"420": (2, 2), "422": (1, 2), "444": (1, 1)}
SRGB = ColorSpec(matrix="gbr", full_range=True)


def patches(size=16, across=6, down=4):
    """Flat patches of primaries, greys and random colours: (3, down*size, across*size)."""
    colours = np.random.default_rng(7).random((3, down, across))
    colours[:, 0] = np.array([[0, 0, 0], [1, 1, 1], [1, 0, 0], [0, 1, 0], [0, 0, 1], [0.5] * 3]).T
    return colours.repeat(size, 1).repeat(size, 2).astype(np.float32)


def code_values(rgb, spec, bits):
    """The formulas of H.273, section 8.3, unrounded: Y', Cb, Cr."""
    red, green, blue = rgb.astype(np.float64)
    kr, kb = KR_KB[spec.matrix]
    luma = kr * red + (1 - kr - kb) * green + kb * blue
    parts = luma, (blue - luma) / (2 - 2 * kb), (red - luma) / (2 - 2 * kr)
    peak, unit = 2**bits - 1, 2 ** (bits - 8)
    if spec.full_range:
        scales, zeros = (peak, peak, peak), (0, 128 * unit, 128 * unit)
    else:
        scales, zeros = (219 * unit, 224 * unit, 224 * unit), (16 * unit, 128 * unit, 128 * unit)
    return [part * scale + zero for part, scale, zero in zip(parts, scales, zeros, strict=True)]


def ffmpeg(*source):
    def run(*sink):
        command = ["ffmpeg", "-v", "error", *source, *sink]
        return subprocess.run(command, check=True, capture_output=True).stdout

    return run


def planes(frame):
    bits = frame.format.components[0].bits
    kind = np.uint8 if bits == 8 else np.uint16
    return [
        np.frombuffer(plane, kind).reshape(plane.height, -1)[:, : plane.width]
        for plane in frame.planes
    ]


@pytest.mark.parametrize("matrix", KR_KB)
@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize("bits", [8, 10, 12])
@pytest.mark.parametrize("chroma", CHROMA)
def test_flat_patches_get_the_code_values_of_the_standard(matrix, full, bits, chroma):
    spec = ColorSpec(matrix=matrix, full_range=full)
    name = f"yuv{chroma}p" + ("" if bits == 8 else f"{bits}le")
    frame = rgb_to_frame(patches(), name, spec)
    wanted = code_values(patches(), spec, bits)
    steps = CHROMA[chroma]
    for index, plane in enumerate(planes(frame)):
        down, across = steps if index else (1, 1)
        inner = slice(8 // down, None, 16 // down), slice(8 // across, None, 16 // across)
        exact = wanted[index][8::16, 8::16]
        # Half a code value from rounding; full-range chroma ends half a value above the peak.
        assert np.abs(plane[inner] - np.minimum(exact, 2**bits - 1)).max() <= 0.5 + 1e-3
    assert (frame.colorspace, frame.color_range) == (code_points(spec)[2], 2 if full else 1)


@pytest.mark.parametrize("matrix", KR_KB)
@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize("bits", [8, 10])
def test_code_values_get_the_rgb_of_the_standard(matrix, full, bits):
    spec = ColorSpec(matrix=matrix, full_range=full)
    frame = rgb_to_frame(patches(), "yuv444p" + ("" if bits == 8 else "10le"), spec)
    rgb = frame_to_rgb(frame, spec)
    # What the formulas make of the RGB must be the code values it was read from.
    for plane, exact in zip(planes(frame), code_values(rgb, spec, bits), strict=True):
        inside = (rgb.min(0) > 0) & (rgb.max(0) < 1)  # elsewhere RGB was clipped
        assert np.abs(plane - exact)[inside].max() < 0.01


@pytest.mark.parametrize("name", ["yuv420p", "yuv422p10le", "yuv420p16le", "yuvj420p", "nv12"])
@pytest.mark.parametrize("full", [False, True])
def test_grey_stays_grey(name, full):
    spec = ColorSpec(matrix="bt709", full_range=full)
    ramp = np.broadcast_to(np.linspace(0, 1, 256, dtype=np.float32), (3, 6, 256))
    frame = rgb_to_frame(ramp, name, spec)
    back = frame_to_rgb(frame, spec)
    bits = frame.format.components[0].bits
    assert np.abs(back - back[0]).max() < 1e-6
    assert np.abs(back - ramp).max() <= 0.51 / (219 * 2 ** (bits - 8))


def test_a_ten_bit_ramp_keeps_its_levels():
    spec = ColorSpec(matrix="bt2020nc", full_range=True)
    ramp = np.broadcast_to(np.arange(1024, dtype=np.float32) / 1023, (3, 2, 1024))
    back = frame_to_rgb(rgb_to_frame(ramp, "yuv420p10le", spec), spec)
    assert len(np.unique((back[0, 0] * 1023).round())) == 1024


@pytest.mark.parametrize(
    "name", ["gbrp", "rgb24", "bgra", "rgb0", "gbrp10le", "rgb48be", "gbrap16le"]
)
def test_rgb_formats_hold_rgb(name):
    alpha = patches()[0]
    frame = rgb_to_frame(patches(), name, SRGB, alpha)
    bits = frame.format.components[0].bits
    assert np.abs(frame_to_rgb(frame, SRGB) - patches()).max() <= 0.51 / (2**bits - 1)
    if "a" in name:
        assert np.abs(frame_to_alpha(frame) - alpha).max() <= 0.51 / (2**bits - 1)
    else:
        assert frame_to_alpha(frame) is None


@pytest.mark.parametrize(
    "name", ["rgb24", "pal8", "rgb565le", "bgr4_byte", "gray", "ya8", "gray16be"]
)
def test_white_and_black_of_any_layout(name):
    picture = np.zeros((8, 16, 3), np.uint8)
    picture[:, 8:] = 255
    if name == "pal8":
        frame = VideoFrame.from_ndarray(picture[..., 0] // 255, "gray")
        palette = np.zeros((256, 4), np.uint8)
        palette[:, 0] = 255  # A, R, G, B
        palette[255] = 255
        frame = VideoFrame.from_ndarray((picture[..., 0], palette), "pal8")
    else:
        frame = VideoFrame.from_ndarray(picture, "rgb24").reformat(format=name)
    rgb = frame_to_rgb(frame, SRGB)
    assert rgb[:, :, :8].max() < 1e-6
    assert rgb[:, :, 8:].min() > 1 - 1e-6


@pytest.mark.parametrize("siting", ["left", "center", "topleft", "bottom"])
def test_a_chroma_ramp_stays_where_it_was(siting):
    # A linear ramp of blue survives both filters exactly, if and only if both mean the same places.
    spec = ColorSpec(matrix="bt709", full_range=True, siting=siting)
    ramp = np.zeros((3, 32, 32), np.float32)
    ramp[2] = np.add.outer(np.arange(32), np.arange(32)) / 62
    back = frame_to_rgb(rgb_to_frame(ramp, "yuv420p16le", spec), spec)
    assert np.abs(back - ramp)[:, 4:-4, 4:-4].max() < 1e-4


def test_odd_sizes_and_single_pixels():
    spec = ColorSpec(matrix="smpte170m", full_range=False)
    for height, width in ((1, 1), (3, 5), (7, 2)):
        rgb = np.full((3, height, width), 0.5, np.float32)
        assert np.abs(frame_to_rgb(rgb_to_frame(rgb, "yuv420p", spec), spec) - 0.5).max() < 3e-3


def test_what_is_no_number_is_black_and_what_is_out_of_range_is_clipped():
    spec = ColorSpec(matrix="bt709", full_range=True)
    grey = np.array([np.nan, -np.inf, -0.5, 1.5, np.inf], np.float32)
    frame = rgb_to_frame(np.broadcast_to(grey, (3, 1, 5)), "yuv444p", spec)
    assert list(bytes(frame.planes[0])[:5]) == [0, 0, 0, 255, 255]


def test_dither_keeps_the_mean_of_what_lies_between_two_codes():
    spec = ColorSpec(matrix="bt709", full_range=True)
    level = np.full((3, 64, 64), 100.25 / 255, np.float32)
    plain = frame_to_rgb(rgb_to_frame(level, "yuv444p", spec), spec)
    dithered = frame_to_rgb(rgb_to_frame(level, "yuv444p", spec, dither=True), spec)
    assert abs(plain[1].mean() * 255 - 100.25) > 0.2
    assert abs(dithered[1].mean() * 255 - 100.25) < 0.1


def test_an_unknown_matrix_is_refused_by_name():
    frame = VideoFrame(16, 16, "yuv420p")
    with pytest.raises(InputError, match="ictcp"):
        frame_to_rgb(frame, ColorSpec(matrix="ictcp", full_range=False))


@pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="ffmpeg is not installed")
@pytest.mark.parametrize(
    ("matrix", "flag", "siting"),
    [("bt709", "709", "left"), ("smpte170m", "170m", "center"), ("bt709", "709", "topleft")],
)
def test_rgb_of_a_moving_picture_is_ffmpegs(tmp_path, matrix, flag, siting):
    spec = ColorSpec(matrix=matrix, full_range=False, siting=siting)
    path = tmp_path / "clip.mkv"
    scale = f"scale=out_color_matrix={'bt709' if flag == '709' else 'bt601'}:out_range=tv"
    ffmpeg("-f", "lavfi", "-i", "mandelbrot=size=160x96", "-frames:v", "1")(
        "-vf", f"{scale},format=yuv420p", "-c:v", "ffv1", path
    )
    zscale = f"zscale=matrixin={flag}:rangein=limited:chromalin={siting}:matrix=gbr:range=full"
    raw = ffmpeg("-i", path)(
        "-vf", f"{zscale}:filter=bilinear,format=gbrp16", "-f", "rawvideo", "-"
    )
    green, blue, red = np.frombuffer(raw, np.uint16).reshape(3, 96, 160) / 65535
    with av.open(str(path)) as container:
        rgb = frame_to_rgb(next(container.decode(video=0)), spec)
    assert np.abs(rgb - np.stack([red, green, blue])).mean() * 255 < 0.01


@pytest.mark.parametrize("name", ["yuv420p10le", "gbrp16le", "gray16le", "rgb48le"])
def test_integers_are_written_as_the_floats_they_stand_for(name):
    spec = ColorSpec(matrix="bt709", full_range="yuv" not in name)
    codes = np.random.default_rng(1).integers(0, 65536, (3, 16, 16), np.uint16)
    floats = (codes / 65535).astype(np.float32)
    one, other = (rgb_to_frame(rgb, name, spec).to_ndarray().astype(int) for rgb in (codes, floats))
    assert np.abs(one - other).max() <= ("gray" in name)
