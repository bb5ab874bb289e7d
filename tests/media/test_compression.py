"""How strongly a source was compressed, as measured on real files of real encoders."""

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from support.clips import moving_picture, write_clip
from vsrpp_cli.media.compression import CLEAN_QUANTISER, Compression, compression_of
from vsrpp_cli.media.encode.encoding import Encoding
from vsrpp_cli.media.encode.writer import SegmentWriter
from vsrpp_cli.media.source import open_source
from vsrpp_cli.media.types import EncodeSettings, Frame


def picture(index: int) -> np.ndarray:
    """Return a moving picture with grain, which no encoder can skip: (3, H, W) in [0, 1]."""
    grain = np.random.default_rng(index).normal(0, 12, (64, 64, 3))
    codes = (moving_picture(index, 64, 64) + grain).clip(0, 255)
    return np.ascontiguousarray(codes.transpose(2, 0, 1) / 255, dtype=np.float32)


def write(path: Path, settings: EncodeSettings, frames: int = 12) -> Path:
    with SegmentWriter(path, settings) as writer:
        for index in range(frames):
            writer.write(Frame(index, picture(index)))
        writer.close()
    return path


def measured(path: Path) -> Compression:
    return compression_of(open_source(path, deinterlace="off").info)


def settings(encoding: Encoding) -> EncodeSettings:
    found = encoding.settings(64, 64, Fraction(1, 25))
    # A writer's groups are closed, for which the MPEG encoders must not look for cuts.
    closed = (("sc_threshold", "1000000000"),) if encoding.codec.startswith("mpeg") else ()
    return replace(found, options=found.options + closed)


@pytest.mark.parametrize(
    ("codec", "fine", "coarse"),
    [
        ("libx264", 8, 34),
        ("mpeg2video", 2, 12),
        ("mpeg4", 2, 12),
        ("libvpx-vp9", 8, 50),
    ],
)
def test_quantisers_tell_clean_from_compressed(tmp_path, codec, fine, coarse):
    found = [
        measured(write(tmp_path / f"{quality}.mkv", settings(Encoding(codec, quality))))
        for quality in (fine, coarse)
    ]
    assert [compression.strong for compression in found] == [False, True]
    assert all(compression.quantiser is not None for compression in found)
    assert "mean quantiser" in found[1].text


@pytest.mark.parametrize("codec", ["mpeg2video", "mpeg4"])
def test_steps_of_the_mpeg_family_are_put_on_the_scale_of_h264(tmp_path, codec):
    found = measured(write(tmp_path / "a.mkv", settings(Encoding(codec, 4))))
    # A step of 8 is three octaves above 1, where H.264 has quantiser 4.
    assert found.quantiser == pytest.approx(4 + 6 * 3, abs=0.5)


def test_ten_bits_are_measured_on_the_scale_of_eight(tmp_path):
    shallow, deep = (
        measured(write(tmp_path / f"{name}.mkv", settings(Encoding(quality=20, pix_fmt=name))))
        for name in ("yuv420p", "yuv420p10le")
    )
    assert deep.quantiser == pytest.approx(shallow.quantiser, abs=2)


def test_the_quantisers_of_a_long_film_come_from_several_places(tmp_path):
    """A plain opening is coded finely whatever follows it."""
    path = tmp_path / "a.mkv"
    with SegmentWriter(path, settings(Encoding(quality=32))) as writer:
        for index in range(260):
            black = np.zeros((3, 64, 64), np.float32)
            writer.write(Frame(index, black if index < 40 else picture(index)))
        writer.close()
    assert measured(path).strong


def test_where_seeking_finds_nothing_the_beginning_is_measured(tmp_path):
    """In a short transport stream, seeking lands behind the last picture."""
    assert measured(write_clip(tmp_path / "a.ts", 6, (64, 64), options={"qp": "35"})).strong
    assert measured(write_clip(tmp_path / "b.ts", 6, (64, 64), options={"qp": "9"})).quantiser < 12


@pytest.mark.parametrize(
    ("codec", "options", "text"),
    [
        ("ffv1", {}, "FFV1, lossless: clean"),
        ("libx264", {"qp": "0"}, "H.264, mean quantiser 0: clean"),
        ("libx265", {"crf": "50", "x265-params": "log-level=error"}, "bits a pixel: compressed"),
    ],
)
def test_codings_without_quantisers_go_by_loss_and_size(tmp_path, codec, options, text):
    found = measured(write_clip(tmp_path / "a.mkv", 48, (64, 64), codec=codec, options=options))
    assert text in found.text


@pytest.mark.parametrize(
    ("suffix", "quality", "strong"),
    [(".png", None, False), (".jpg", 98, False), (".jpg", 20, True)],
)
def test_images_go_by_format_and_size(tmp_path, suffix, quality, strong):
    rgb = np.rint(picture(0) * 255).astype(np.uint8).transpose(1, 2, 0)
    Image.fromarray(rgb).save(tmp_path / f"0{suffix}", **({"quality": quality} if quality else {}))
    assert measured(tmp_path).strong is strong


def test_the_verdict_is_on_the_number_that_is_shown():
    exactly, above = (
        Compression(coding="h264", quantiser=CLEAN_QUANTISER + more) for more in (0.4, 0.6)
    )
    assert (exactly.strong, above.strong) == (False, True)
    assert above.text == f"H.264, mean quantiser {CLEAN_QUANTISER + 1:.0f}: compressed"


def test_the_limit_in_bits_is_higher_where_each_picture_stands_alone():
    found = [Compression(coding="x", bits=1.0, intra=intra).strong for intra in (False, True)]
    assert found == [False, True]


def test_what_tells_nothing_counts_as_compressed():
    assert Compression(coding="rv40").text == "RV40, strength not told: compressed"
