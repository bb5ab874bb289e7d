"""The look at the finished file notices what is wrong and names it."""

from dataclasses import replace
from fractions import Fraction

import pytest

from support.joining import STREAMS, produce, scan_of
from vsrpp_cli.errors import PictureError, VerificationError
from vsrpp_cli.media.decode.probe import probe
from vsrpp_cli.media.mux.verify import verify
from vsrpp_cli.media.types import Spherical, StreamChoice

SOURCE = STREAMS / "everything.mp4"


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    path = tmp_path_factory.mktemp("made") / "o.mp4"
    return path, produce(SOURCE, path)


def check(made, *, scan=None, decode=False, **settings):
    path, plan = made
    scan = scan or scan_of(SOURCE)
    changed = replace(plan, encode=replace(plan.encode, **settings))
    return verify(path, scan, probe(str(SOURCE)), changed, decode=decode)


def test_what_the_plan_says_passes(made):
    assert check(made, decode=True) == []


def test_a_missing_frame_is_noticed(made):
    scan = scan_of(SOURCE)
    more = replace(scan, pts=(*scan.pts, scan.pts[-1] + scan.last_duration))
    with pytest.raises(PictureError, match="30 frames instead of 31"):
        check(made, scan=more)


def test_a_frame_at_another_time_is_noticed(made):
    scan = scan_of(SOURCE)
    moved = replace(scan, pts=(*scan.pts[:7], scan.pts[7] + 1, *scan.pts[8:]))
    assert any("frame 7 is shown at 0.28" in text for text in check(made, scan=moved))


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"pix_fmt": "yuv444p"}, "pixel format"),
        ({"sample_aspect_ratio": Fraction(4, 3)}, "aspect"),
        ({"display_matrix": (0, 65536, 0, -65536, 0, 0, 0, 0, 1 << 30)}, "display matrix"),
        ({"stereo": "left_right"}, "3D layout"),
        ({"spherical": Spherical(projection="cubemap")}, "spherical mapping"),
    ],
)
def test_wrong_properties_are_named(made, wrong, words):
    (text,) = check(made, **wrong)
    assert words in text


def test_another_size_is_an_error(made):
    with pytest.raises(PictureError, match="size"):
        check(made, width=162)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"matrix": "bt2020nc"}, "matrix"),
        ({"transfer": "smpte2084"}, "transfer"),
        ({"full_range": True}, "range"),
    ],
)
def test_wrong_colour_tags_are_named(made, wrong, words):
    _, plan = made
    (text,) = check(made, color=replace(plan.encode.color, **wrong))
    assert words in text


def test_a_missing_stream_is_noticed(made):
    path, plan = made
    extra = StreamChoice(source_index=9, kind="audio", action="copy")
    changed = replace(plan, streams=(*plan.streams, extra))
    found = verify(path, scan_of(SOURCE), probe(str(SOURCE)), changed, decode=False)
    assert found == ["the output has 1 audio streams instead of 2"]


def test_damage_is_found_by_decoding(made, tmp_path):
    path, plan = made
    data = bytearray(path.read_bytes())
    at = data.index(b"mdat") + 8
    data[at + 200 : at + 20_000] = bytes(19_800)
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(data)
    with pytest.raises(VerificationError):
        verify(broken, scan_of(SOURCE), probe(str(SOURCE)), plan, decode=True)


def test_a_truncated_file_is_noticed(made, tmp_path):
    path, plan = made
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(VerificationError):
        verify(broken, scan_of(SOURCE), probe(str(SOURCE)), plan, decode=True)
