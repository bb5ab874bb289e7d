"""Frames in and out: image formats, folders, patterns, names, times, atomic folders."""

import struct
import zlib
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from vsrpp_cli.errors import InputError, UsageError, VerificationError
from vsrpp_cli.media.color.convert import frame_to_rgb
from vsrpp_cli.media.images.headers import read_header
from vsrpp_cli.media.images.pixels import encoder_format, read_image
from vsrpp_cli.media.images.source import ImageSource, find_frames, is_image_input, numbering_notes
from vsrpp_cli.media.images.timestamps_file import format_timestamps, read_timestamps, usual_rate
from vsrpp_cli.media.images.writer import ImageSegmentWriter, turned
from vsrpp_cli.media.output.frames import FrameFolder
from vsrpp_cli.media.output.publish import finish_publishing, publish, replaced
from vsrpp_cli.media.types import ColorSpec, EncodeSettings, Frame, OutputPlan, Scan
from vsrpp_cli.resample import resize

SIZE = (20, 28)
RGB = ColorSpec(matrix="gbr", full_range=True)


def picture(seed: int = 0) -> np.ndarray:
    """A smooth 8-bit picture (H, W, 3) with a few edges."""
    y, x = np.mgrid[: SIZE[0], : SIZE[1]]
    parts = [x * 9 + seed * 5, y * 12, (x + y) * 5 + 40 * (x > 14)]
    return np.stack(parts, -1).clip(0, 255).astype(np.uint8)


def write_png(path: Path, samples: np.ndarray, color: int) -> None:
    """Write (H, W, C) of uint8 or uint16 as PNG of that colour type, without any library."""
    height, width = samples.shape[:2]
    rows = samples.astype(samples.dtype.newbyteorder(">")).reshape(height, -1).view(np.uint8)
    data = zlib.compress(np.pad(rows, ((0, 0), (1, 0))).tobytes())
    head = struct.pack(">IIBBBBB", width, height, 8 * samples.dtype.itemsize, color, 0, 0, 0)
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n"
        + b"".join(
            struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
            for kind, body in ((b"IHDR", head), (b"IDAT", data), (b"IEND", b""))
        )
    )


def pixels(path: Path) -> np.ndarray:
    """Return an 8-bit image as Pillow reads it."""
    with Image.open(path) as image:
        return np.array(image)


def folder_of(path: Path, names: list[str]) -> Path:
    path.mkdir()
    for seed, name in enumerate(names):
        Image.fromarray(picture(seed)).save(path / name)
    return path


def settings(
    source: ImageSource, kind: str = "png", pix_fmt: str | None = None, **more: object
) -> EncodeSettings:
    info = source.info
    size = {"width": info.width * 4, "height": info.height * 4}
    chosen = pix_fmt or encoder_format(
        kind, bit_depth=info.bit_depth, gray=info.pix_fmt.startswith("gray"), alpha=info.has_alpha
    )
    return EncodeSettings(
        **{
            "kind": "frames",
            "container": kind,
            "codec": kind,
            "pix_fmt": chosen,
            **size,
            "time_base": info.time_base,
            "frame_rate": info.frame_rate,
            "color": RGB,
            "keep_alpha": info.has_alpha,
            **more,
        }
    )


def enlarged(frame: Frame) -> Frame:
    return frame._replace(rgb=np.repeat(np.repeat(frame.rgb, 4, 1), 4, 2))


def written(source: ImageSource, encode: EncodeSettings, path: Path, start=0, stop=None) -> Path:
    scan = source.scan(scenes=False)
    writer = ImageSegmentWriter(path, encode, first=start)
    for frame in source.read(scan, start, scan.frames if stop is None else stop):
        writer.write(enlarged(frame))
    writer.close()
    return path


# Reading


@pytest.mark.parametrize(
    ("name", "mode", "options"),
    [
        ("a.png", "RGB", {}),
        ("a.png", "L", {}),
        ("a.png", "P", {}),
        ("a.png", "1", {}),
        ("a.bmp", "RGB", {}),
        ("a.bmp", "P", {}),
        ("a.tif", "RGB", {"compression": "tiff_lzw"}),
        ("a.tiff", "L", {"compression": "tiff_deflate"}),
        ("a.webp", "RGB", {"lossless": True}),
    ],
)
def test_lossless_images_are_read_exactly(tmp_path, name, mode, options):
    image = Image.fromarray(picture()).convert(mode)
    image.save(tmp_path / name, **options)
    rgb, alpha = read_image(tmp_path / name, read_header(tmp_path / name))
    assert np.array_equal(np.rint(rgb * 255).transpose(1, 2, 0), np.array(image.convert("RGB")))
    assert alpha is None
    assert rgb.dtype == np.float32
    assert rgb.flags.c_contiguous


def cmyk_tiff(inks, **changed):
    """Return a TIFF file of 16-bit inks (H, W, 4), with some tags as given."""
    height, width, samples = inks.shape
    data = inks.astype("<u2").tobytes()
    tags = {256: width, 257: height, 258: 16, 259: 1, 262: 5, 273: 8, 277: samples, 278: height}
    tags |= {279: len(data), 284: 1} | {int(tag[1:]): value for tag, value in changed.items()}
    entries = [
        struct.pack("<HHIHH", tag, 3, samples, 8 + len(data), 0)
        if tag == 258
        else struct.pack("<HHII", tag, 4, 1, value)
        for tag, value in sorted(tags.items())
    ]
    depths = struct.pack(f"<{samples}H", *[16] * samples)
    start = 8 + len(data) + len(depths)
    directory = struct.pack("<H", len(entries)) + b"".join(entries) + bytes(4)
    return b"II*\0" + struct.pack("<I", start) + data + depths + directory


@pytest.mark.parametrize("bits", [8, 16])
def test_cmyk_tiff_becomes_rgb_without_transparency(tmp_path, bits):
    inks = np.random.default_rng(0).integers(0, 256, (12, 16, 4), np.uint8)
    path = tmp_path / "inks.tif"
    if bits == 8:
        Image.fromarray(inks, "CMYK").save(path)
    else:
        path.write_bytes(cmyk_tiff(inks * np.uint16(257)))
    source = ImageSource(path)
    assert (source.info.has_alpha, source.info.bit_depth) == (False, bits)
    assert any("CMYK" in note for note in source.info.notes)
    (frame,) = source.read(source.scan(), 0, 1)
    colors, key = np.split(1 - inks / 255, [3], -1)
    assert (
        np.abs(frame.rgb.transpose(1, 2, 0) - colors * key).max()
        < (1.6 if bits == 8 else 0.01) / 255
    )
    assert frame.alpha is None


@pytest.mark.parametrize(("samples", "changed"), [(4, {"t332": 2}), (5, {}), (4, {"t284": 2})])
def test_tiff_of_other_inks_is_refused(tmp_path, samples, changed):
    path = tmp_path / "inks.tif"
    path.write_bytes(cmyk_tiff(np.zeros((4, 4, samples), np.uint16), **changed))
    with pytest.raises(InputError, match="inks"):
        read_header(path)


@pytest.mark.parametrize("subsampling", [0, 1, 2])
def test_jpeg_agrees_with_libjpeg(tmp_path, subsampling):
    path = tmp_path / "a.jpg"
    Image.fromarray(picture()).save(path, quality=90, subsampling=subsampling)
    rgb, _ = read_image(path, read_header(path))
    difference = np.abs(rgb.transpose(1, 2, 0) * 255 - pixels(path))
    assert difference.max() <= 3
    assert difference.mean() < 0.5


def test_lossy_webp_agrees_with_libwebp(tmp_path):
    path = tmp_path / "a.webp"
    gentle = np.repeat(np.linspace(40, 200, 28)[None, :, None], 20, 0).repeat(3, 2)
    Image.fromarray(gentle.astype(np.uint8)).save(path, quality=90)
    rgb, _ = read_image(path, read_header(path))
    assert np.abs(rgb.transpose(1, 2, 0) * 255 - pixels(path)).mean() < 0.6


@pytest.mark.parametrize(("color", "channels"), [(0, 1), (2, 3), (4, 2), (6, 4)])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_png_of_every_kind_keeps_all_bits(tmp_path, color, channels, dtype):
    top = np.iinfo(dtype).max
    samples = np.random.default_rng(color).integers(0, top + 1, (*SIZE, channels)).astype(dtype)
    write_png(tmp_path / "a.png", samples, color)
    source = ImageSource(tmp_path / "a.png")
    frame = next(source.read(source.scan(scenes=False), 0, 1))
    colors = samples[..., :3] if color in (2, 6) else samples[..., [0, 0, 0]]
    assert np.array_equal(np.rint(frame.rgb.transpose(1, 2, 0).astype(np.float64) * top), colors)
    assert source.info.bit_depth == 8 * samples.dtype.itemsize
    assert source.info.has_alpha == (color >= 4)
    if color >= 4:
        assert np.array_equal(np.rint(frame.alpha.astype(np.float64) * top), samples[..., -1])


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied_to_the_pixels(tmp_path, orientation):
    path = tmp_path / "a.jpg"
    exif = Image.Exif()
    exif[274] = orientation
    Image.fromarray(picture()).save(path, quality=95, subsampling=0, exif=exif)
    rgb, _ = read_image(path, read_header(path))
    plain = Image.fromarray(pixels(path))
    upright = {
        2: [Image.Transpose.FLIP_LEFT_RIGHT],
        3: [Image.Transpose.ROTATE_180],
        4: [Image.Transpose.FLIP_TOP_BOTTOM],
        5: [Image.Transpose.TRANSPOSE],
        6: [Image.Transpose.ROTATE_270],
        7: [Image.Transpose.TRANSVERSE],
        8: [Image.Transpose.ROTATE_90],
    }
    for step in upright.get(orientation, []):
        plain = plain.transpose(step)
    assert np.abs(rgb.transpose(1, 2, 0) * 255 - np.array(plain)).max() <= 3


def test_what_an_image_is_comes_from_its_content(tmp_path):
    Image.fromarray(picture()).save(tmp_path / "a.png")
    (tmp_path / "a.png").rename(tmp_path / "a.jpg")
    assert read_header(tmp_path / "a.jpg").format == "png"


@pytest.mark.parametrize("data", [b"", b"hello, this is text\n", b"\x89PNG\r\n\x1a\n\0\0"])
def test_what_is_no_image_is_refused_by_name(tmp_path, data):
    (tmp_path / "a.png").write_bytes(data)
    with pytest.raises(InputError, match=r"a\.png"):
        ImageSource(tmp_path / "a.png")


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.tif", "a.bmp", "a.webp"])
def test_truncated_image_is_refused_when_read(tmp_path, name):
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3)).astype(np.uint8)
    Image.fromarray(noise).save(tmp_path / name)
    data = (tmp_path / name).read_bytes()
    # Where Pillow puts TIFF's directory last, cutting takes the header, too.
    (tmp_path / name).write_bytes(data[: len(data) * 2 // 3])
    with pytest.raises(InputError, match=name):
        read_image(tmp_path / name, read_header(tmp_path / name))


# Finding


def test_frames_are_in_natural_order(tmp_path):
    folder = folder_of(tmp_path / "in", ["f10.png", "f9.png", "F2.png", "f100.png"])
    (folder / ".hidden.png").write_bytes(b"")
    (folder / "notes.txt").write_text("not a frame")
    names = [p.name for p in find_frames(str(folder))]
    assert names == ["F2.png", "f9.png", "f10.png", "f100.png"]


def test_patterns_find_their_frames(tmp_path):
    folder = folder_of(tmp_path / "in", ["a_0002.png", "a_0001.png", "b_0001.png", "a_0003.jpg"])
    assert [p.name for p in find_frames(f"{folder}/a_%04d.png")] == ["a_0001.png", "a_0002.png"]
    assert len(find_frames(f"{folder}/*_0001.png")) == 2
    assert is_image_input(f"{folder}/a_%04d.png")
    assert is_image_input(folder)
    assert not is_image_input(folder / "no.mp4")


@pytest.mark.parametrize("pattern", ["", "/x_%03d.png", "/x*.png", "/missing.png"])
def test_no_frames_is_an_input_error(tmp_path, pattern):
    with pytest.raises(InputError, match="no "):
        ImageSource(f"{tmp_path}{pattern}")


def test_gaps_in_the_numbering_are_reported(tmp_path):
    source = ImageSource(folder_of(tmp_path / "in", ["f1.png", "f2.png", "f5.png", "f7.png"]))
    assert source.info.notes == (
        "3 frames are missing from the numbering (3-4, 6); the rest follow on",
    )


@pytest.mark.parametrize("names", [["a", "b"], ["1", "2", "3"], ["10", "20", "30"], ["7"]])
def test_numbering_without_gaps_is_not_mentioned(names):
    assert numbering_notes([Path(f"{name}.png") for name in names]) == []


def test_sizes_are_compared_before_work_starts(tmp_path):
    folder = folder_of(tmp_path / "in", ["1.png", "2.png"])
    Image.new("RGB", (30, 20)).save(folder / "3.png")
    with pytest.raises(InputError, match=r"1\.png is 28x20, 3\.png is 30x20"):
        ImageSource(folder)


# Times


def test_fps_gives_times(tmp_path):
    source = ImageSource(folder_of(tmp_path / "in", ["1.png", "2.png"]), fps=Fraction(30000, 1001))
    assert source.info.time_base == Fraction(1001, 30000)
    assert source.info.timing == "fps"
    assert source.scan(scenes=False).pts == (0, 1)


def test_timestamps_survive_exactly(tmp_path):
    pts, time_base = (0, 512, 1025, 2048), Fraction(1, 12800)
    folder = folder_of(tmp_path / "in", [f"{i}.png" for i in range(4)])
    (folder / "timestamps.txt").write_text(format_timestamps(pts, 700, time_base))
    source = ImageSource(folder)
    scan = source.scan(scenes=False)
    assert (source.info.time_base, scan.pts, scan.last_duration) == (time_base, pts, 700)
    assert source.info.timing == "file"


def test_timestamps_of_other_programs_are_read(tmp_path):
    path = tmp_path / "timestamps.txt"
    path.write_text("# timecode format v2\n0\n41.708333\n83.416667\n125.125\n")
    times = read_timestamps(path, 4)
    assert [round(float(p * times.time_base), 6) for p in times.pts] == [
        0, 0.041708, 0.083417, 0.125125,
    ]  # fmt: skip
    assert usual_rate(times) == Fraction(24000, 1001)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("0\n40\n", "first line"),
        ("# timestamp format v2\n0\n", "1 times for 2 frames"),
        ("# timestamp format v2\n0\nabc\n", "line 3"),
        ("# timestamp format v2\n40\n0\n", "do not increase"),
    ],
)
def test_senseless_timestamps_are_refused(tmp_path, text, message):
    folder = folder_of(tmp_path / "in", ["1.png", "2.png"])
    (folder / "timestamps.txt").write_text(text)
    with pytest.raises(InputError, match=message):
        ImageSource(folder)


def test_start_end_and_frames_choose(tmp_path):
    names = [f"{i}.png" for i in range(10)]
    source = ImageSource(folder_of(tmp_path / "in", names), fps=Fraction(10))
    scan = source.scan(scenes=False, start=Fraction(1, 4), end=Fraction(8, 10), frames=4)
    assert scan.pts == (3, 4, 5, 6)
    first = next(source.read(scan, 1, 2))
    assert first.pts == 4
    assert np.array_equal(np.rint(first.rgb * 255).transpose(1, 2, 0), picture(4))
    with pytest.raises(UsageError, match=r"`start=5` is after the last frame, at 0\.900 s$"):
        source.scan(scenes=False, start=Fraction(5))


def test_fingerprint_knows_content_but_not_dates(tmp_path):
    folder = folder_of(tmp_path / "in", ["1.png", "2.png"])
    before = ImageSource(folder).fingerprint()
    (folder / "1.png").touch()
    assert ImageSource(folder).fingerprint() == before
    Image.fromarray(picture(9)).save(folder / "2.png")
    assert ImageSource(folder).fingerprint() != before


# Writing


@pytest.mark.parametrize(
    ("kind", "pix_fmt"),
    [
        *(("png", f) for f in ("rgb24", "rgba", "gray", "ya8")),
        *(("png", f) for f in ("rgb48be", "rgba64be", "gray16be", "ya16be")),
        *(("tiff", f) for f in ("rgb24", "rgb48le", "rgba64le", "gray16le")),
        ("bmp", "bgr24"),
        ("bmp", "bgra"),
        ("webp", "bgra"),
    ],
)
def test_what_is_written_is_read_back(tmp_path, kind, pix_fmt):
    source = ImageSource(folder_of(tmp_path / "in", ["1.png"]))
    encode = settings(source, kind, pix_fmt, width=28, height=20, keep_alpha=True)
    values = np.random.default_rng(1).random((4, *SIZE)).astype(np.float32)
    if pix_fmt.startswith(("gray", "ya")):
        values[1:3] = values[0]
    with ImageSegmentWriter(tmp_path / "segment", encode) as writer:
        writer.write(Frame(0, values[:3], values[3]))
    (path,) = (tmp_path / "segment").iterdir()
    header = read_header(path)
    rgb, alpha = read_image(path, header)
    step = 1 / 65535 if header.bit_depth == 16 else 1 / 255
    assert np.abs(rgb - values[:3]).max() <= 0.51 * step
    has_alpha = "a" in pix_fmt.removeprefix("gray")
    assert header.alpha == has_alpha or kind == "bmp"
    if header.alpha:
        assert np.abs(alpha - values[3]).max() <= 0.51 * step


def test_jpeg_is_written_at_its_best(tmp_path):
    source = ImageSource(folder_of(tmp_path / "in", ["1.png"]))
    path = written(source, settings(source, "jpeg"), tmp_path / "segment")
    original = np.repeat(np.repeat(picture(), 4, 0), 4, 1).astype(float)
    got = pixels(path / "00000000.jpg")
    assert 10 * np.log10(255**2 / np.mean((got - original) ** 2)) > 42


def test_alpha_is_enlarged_by_bicubic_and_kept(tmp_path):
    (tmp_path / "in").mkdir()
    y, x = np.mgrid[:20, :28]
    alpha = (255 * np.clip((x - 8) / 12, 0, 1) * (y > 6)).astype(np.uint8)
    Image.fromarray(np.dstack([picture(), alpha])).save(tmp_path / "in" / "a.png")
    source = ImageSource(tmp_path / "in")
    path = written(source, settings(source), tmp_path / "segment")
    expected = Image.fromarray(alpha).resize((112, 80), Image.Resampling.BICUBIC)
    got = pixels(path / "00000000.png")[..., 3].astype(int)
    assert np.abs(got - np.array(expected))[8:-8, 8:-8].max() <= 1


def test_missing_alpha_of_one_frame_is_opaque(tmp_path):
    folder = folder_of(tmp_path / "in", ["1.png"])
    Image.fromarray(picture()).convert("RGBA").save(folder / "2.png")
    source = ImageSource(folder)
    frames = list(source.read(source.scan(scenes=False), 0, 2))
    assert [frame.alpha.min() for frame in frames] == [1, 1]


def test_other_sizes_are_resized(tmp_path):
    source = ImageSource(folder_of(tmp_path / "in", ["1.png"]))
    path = written(source, settings(source, width=56, height=40), tmp_path / "segment")
    assert pixels(path / "00000000.png").shape == (40, 56, 3)


@pytest.mark.parametrize("size", [(90, 120), (11, 15), (30, 21)])
@pytest.mark.parametrize("kernel", ["bicubic", "lanczos"])
def test_resizing_agrees_with_pillow_away_from_borders(size, kernel):
    x = np.random.default_rng(0).random((30, 40)).astype(np.float32) * 0.6 + 0.2
    method = Image.Resampling.BICUBIC if kernel == "bicubic" else Image.Resampling.LANCZOS
    reference = np.array(Image.fromarray(x).resize(size[::-1], method)).clip(0, 1)
    edge = [-(-4 * max(n, m) // m) for n, m in zip(size, (30, 40), strict=True)]
    inside = tuple(slice(e, -e) for e in edge)
    assert np.allclose(resize(x, *size, kernel)[inside], reference[inside], atol=1e-5)


def test_rotation_of_a_video_is_applied_to_its_frames(tmp_path):
    source = ImageSource(folder_of(tmp_path / "in", ["1.png"]))
    quarter = (0, 65536, 0, -65536, 0, 0, 0, 0, 1 << 30)
    path = written(source, settings(source, display_matrix=quarter), tmp_path / "segment")
    upright = pixels(path / "00000000.png")
    # A display matrix (0, 1, -1, 0) turns the picture clockwise by 90 degrees.
    assert np.array_equal(upright[::4, ::4], np.rot90(picture(), -1))
    assert turned(np.zeros((3, 4, 6)), quarter).shape == (3, 6, 4)


@pytest.mark.parametrize(
    ("primaries", "transfer", "chunks"),
    [
        ("bt709", "bt709", set()),
        ("smpte170m", "smpte170m", set()),
        ("bt2020", "smpte2084", {b"cICP"}),
        ("bt709", "iec61966-2-1", {b"sRGB"}),
    ],
)
def test_color_tags_of_png_are_those_that_viewers_understand(tmp_path, primaries, transfer, chunks):
    source = ImageSource(folder_of(tmp_path / "in", ["1.png"]))
    color = ColorSpec(matrix="gbr", full_range=True, primaries=primaries, transfer=transfer)
    path = written(source, settings(source, color=color), tmp_path / "segment") / "00000000.png"
    data = path.read_bytes()
    assert {kind for kind in (b"cICP", b"gAMA", b"sRGB") if kind in data} >= chunks
    assert chunks or not any(kind in data for kind in (b"cICP", b"gAMA", b"sRGB"))
    header = read_header(path)
    told = (primaries, transfer) if chunks else ("unknown", "unknown")
    assert (header.primaries, header.transfer) == told


def test_a_segment_appears_only_when_complete(tmp_path):
    source = ImageSource(folder_of(tmp_path / "in", ["1.png", "2.png"]))
    writer = ImageSegmentWriter(tmp_path / "segment", settings(source), first=7)
    for frame in source.read(source.scan(scenes=False), 0, 2):
        writer.write(enlarged(frame))
    assert not (tmp_path / "segment").exists()
    assert writer.close() == 2
    files = sorted((tmp_path / "segment").iterdir())
    assert [p.name for p in files] == ["00000007.png", "00000008.png"]


def test_an_aborted_segment_leaves_nothing(tmp_path):
    source = ImageSource(folder_of(tmp_path / "in", ["1.png"]))
    writer = ImageSegmentWriter(tmp_path / "segment", settings(source))
    writer.write(enlarged(next(source.read(source.scan(scenes=False), 0, 1))))
    writer.abort()
    assert [p.name for p in tmp_path.iterdir()] == ["in"]


def test_threads_do_not_change_the_files(tmp_path):
    source = ImageSource(folder_of(tmp_path / "in", [f"{i}.png" for i in range(6)]), threads=2)
    one = written(source, settings(source, threads=1), tmp_path / "one")
    three = written(source, settings(source, threads=3), tmp_path / "three")
    contents = [[p.read_bytes() for p in sorted(d.iterdir())] for d in (one, three)]
    assert contents[0] == contents[1]


# Joining, verifying, publishing


def joined(source: ImageSource, tmp_path: Path, output: Path) -> tuple[Path, OutputPlan, Scan]:
    encode, scan = settings(source), source.scan(scenes=False)
    half = scan.frames // 2
    segments = [
        written(source, encode, tmp_path / "s0", 0, half),
        written(source, encode, tmp_path / "s1", half, scan.frames),
    ]
    plan = OutputPlan(path=str(output), encode=encode)
    temporary = tmp_path / f".part{output.suffix}"
    FrameFolder(plan).join(segments, scan, source.info, temporary)
    return temporary, plan, scan


def test_joined_frames_keep_the_names_of_the_input(tmp_path):
    names = ["shot_9.png", "shot_10.bmp", "shot_11.png"]
    source = ImageSource(folder_of(tmp_path / "in", names))
    temporary, plan, scan = joined(source, tmp_path, tmp_path / "out")
    assert FrameFolder(plan).verify(temporary, scan, source.info, decode=True) == []
    assert sorted(p.name for p in temporary.iterdir()) == [
        "shot_10.png", "shot_11.png", "shot_9.png",
    ]  # fmt: skip
    second = pixels(temporary / "shot_10.png")
    assert np.array_equal(second[::4, ::4], picture(1))


def test_equal_stems_keep_apart(tmp_path):
    source = ImageSource(folder_of(tmp_path / "in", ["a.bmp", "a.png"]))
    temporary, _, _ = joined(source, tmp_path, tmp_path / "out")
    assert sorted(p.name for p in temporary.iterdir()) == ["a.bmp.png", "a.png.png"]


def test_times_of_a_folder_go_on_into_the_output(tmp_path):
    folder = folder_of(tmp_path / "in", ["1.png", "2.png", "3.png"])
    text = format_timestamps((0, 3, 4), 2, Fraction(1, 90))
    (folder / "timestamps.txt").write_text(text)
    source = ImageSource(folder)
    temporary, plan, scan = joined(source, tmp_path, tmp_path / "out")
    assert (temporary / "timestamps.txt").read_text() == text
    assert FrameFolder(plan).verify(temporary, scan, source.info, decode=False) == []


def test_one_image_becomes_one_file(tmp_path):
    folder = folder_of(tmp_path / "in", ["a.png"])
    source = ImageSource(folder / "a.png")
    encode, scan = settings(source), source.scan(scenes=False)
    segment = written(source, encode, tmp_path / "s0")
    plan = OutputPlan(path=str(tmp_path / "big.png"), encode=encode)
    FrameFolder(plan).join([segment], scan, source.info, tmp_path / ".part.png")
    assert FrameFolder(plan).verify(tmp_path / ".part.png", scan, source.info, decode=True) == []
    publish(tmp_path / ".part.png", tmp_path / "big.png")
    assert pixels(tmp_path / "big.png").shape == (80, 112, 3)


def test_several_frames_into_one_image_are_refused(tmp_path):
    encode = settings(ImageSource(folder_of(tmp_path / "in", ["1.png"])))
    image, folder = (
        FrameFolder(OutputPlan(path=str(tmp_path / name), encode=encode))
        for name in ("out.png", "out")
    )
    image.check(1)
    folder.check(5)
    with pytest.raises(UsageError, match="5 frames"):
        image.check(5)


def spoil_missing(folder: Path) -> None:
    (folder / "2.png").unlink()


def spoil_size(folder: Path) -> None:
    (folder / "2.png").unlink()
    Image.new("RGB", (111, 80)).save(folder / "2.png")


def spoil_depth(folder: Path) -> None:
    (folder / "2.png").unlink()
    write_png(folder / "2.png", np.zeros((80, 112, 3), np.uint16), 2)


def spoil_data(folder: Path) -> None:
    data = (folder / "2.png").read_bytes()
    (folder / "2.png").unlink()
    (folder / "2.png").write_bytes(data[:60])


def spoil_surplus(folder: Path) -> None:
    (folder / "9.png").write_bytes(b"")


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (spoil_missing, r"missing.*2\.png"),
        (spoil_size, "111x80 instead of 112x80"),
        (spoil_depth, "16 bits"),
        (spoil_data, "cannot be read back"),
        (spoil_surplus, "too many"),
    ],
)
def test_verification_names_the_difference(tmp_path, spoil, message):
    source = ImageSource(folder_of(tmp_path / "in", ["1.png", "2.png"]))
    temporary, plan, scan = joined(source, tmp_path, tmp_path / "out")
    spoil(temporary)
    with pytest.raises(VerificationError, match=message):
        FrameFolder(plan).verify(temporary, scan, source.info, decode=True)


def test_publishing_replaces_frames_and_keeps_other_files(tmp_path):
    output = folder_of(tmp_path / "out", ["old.png"])
    (output / "notes.txt").write_text("mine")
    new = folder_of(tmp_path / ".new", ["1.png"])
    publish(new, output)
    assert sorted(p.name for p in output.iterdir()) == ["1.png", "notes.txt"]
    assert not replaced(output).exists()


@pytest.mark.parametrize("renamed", [False, True])
def test_publishing_goes_on_after_a_crash(tmp_path, renamed):
    output = tmp_path / "out"
    folder_of(replaced(output), ["old.png"])
    new = folder_of(tmp_path / ".new", ["1.png"])
    if renamed:
        new.rename(output)
        finish_publishing(output)
    else:
        publish(new, output)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["out"]
    assert [p.name for p in output.iterdir()] == ["1.png"]


def test_sixteen_bit_ramp_stays_smooth(tmp_path):
    """16 bits in, 16 bits out: every step of a ramp finer than 8 bits is there again."""
    (tmp_path / "in").mkdir()
    ramp = np.broadcast_to(np.arange(20000, 20000 + 28 * 16, 16), (20, 28))
    write_png(tmp_path / "in" / "1.png", np.dstack([ramp] * 3).astype(np.uint16), 2)
    source = ImageSource(tmp_path / "in")
    path = tmp_path / "segment"
    with ImageSegmentWriter(path, settings(source, width=28, height=20)) as writer:
        writer.write(next(source.read(source.scan(scenes=False), 0, 1)))
    codec = av.CodecContext.create("png", "r")
    frame = codec.decode(av.Packet((path / "00000000.png").read_bytes()))[0]
    assert frame.format.name == "rgb48be"
    assert np.array_equal(frame.to_ndarray()[..., 1], ramp)
    assert np.unique(np.rint(frame_to_rgb(frame, RGB)[1] * 65535)).size == 28
