"""Interlaced pictures are found, by flags and by their lines, and never combed silently."""

from itertools import chain

import numpy as np
import pytest
from av.filter import Graph
from av.video.frame import VideoFrame

from support.reading import natural, woven, write
from vsrpp_cli.media.decode.reader import VideoSource

FRAMES = 16


@pytest.fixture(scope="module")
def pictures():
    """Return natural pictures, twice as many as interlaced frames."""
    return natural(2 * FRAMES)


def clip(path, pictures, flags=""):
    params = {"x264-params": flags} if flags else {}
    return write(path, pictures, options={"preset": "veryfast", "crf": "12"} | params)


def combing(rgb):
    """Return how much lines differ from their neighbours, against lines of the same field."""
    luma = rgb.mean(0)
    return np.abs(np.diff(luma, axis=0)).mean() / np.abs(luma[2:] - luma[:-2]).mean()


def read(path, mode):
    source = VideoSource(path, deinterlace=mode)
    scan = source.scan()
    return source, scan, [frame.rgb for frame in source.read(scan, 0, scan.frames)]


@pytest.mark.parametrize("top_first", [True, False])
@pytest.mark.parametrize("flagged", [True, False])
def test_interlaced_video_is_deinterlaced_one_frame_a_frame(tmp_path, pictures, top_first, flagged):
    flags = ("tff=1" if top_first else "bff=1") if flagged else ""
    path = clip(tmp_path / "woven.mkv", woven(pictures, top_first=top_first), flags)
    source, scan, frames = read(path, "auto")
    assert source.info.interlaced == ("top" if top_first else "bottom")
    assert scan.frames == len(frames) == FRAMES
    assert any("interlaced" in note and "bwdif" in note for note in scan.notes)
    _, _, combed = read(path, "off")
    smooth = np.mean([combing(f) for f in frames])
    assert smooth < 0.9 * np.mean([combing(f) for f in combed])
    # Each picture shows the moment of its first field.
    errors = [
        np.abs(frames[i] * 255 - pictures[2 * i].transpose(2, 0, 1)).mean() for i in range(2, 14)
    ]
    wrong = [
        np.abs(frames[i] * 255 - pictures[2 * i + 1].transpose(2, 0, 1)).mean()
        for i in range(2, 14)
    ]
    assert np.mean(errors) < np.mean(wrong)


def test_reading_from_the_middle_gives_the_same_deinterlaced_pictures(tmp_path, pictures):
    path = clip(tmp_path / "woven.mkv", woven(pictures, top_first=True), "tff=1")
    source, scan, frames = read(path, "auto")
    for start, stop in ((1, 4), (7, 9), (13, 16)):
        part = [frame.rgb for frame in source.read(scan, start, stop)]
        assert all(np.array_equal(a, b) for a, b in zip(part, frames[start:stop], strict=True))


def test_switched_off_it_leaves_combs_and_says_so(tmp_path, pictures):
    path = clip(tmp_path / "woven.mkv", woven(pictures, top_first=True), "tff=1")
    _, scan, _ = read(path, "off")
    assert scan.filters == ()
    assert any("combed" in note for note in scan.notes)


@pytest.mark.parametrize("flags", ["", "tff=1"])
def test_progressive_pictures_are_left_alone_whatever_their_flags_say(tmp_path, pictures, flags):
    path = clip(tmp_path / "whole.mkv", pictures, flags)
    source, scan, _ = read(path, "auto")
    assert scan.filters == ()
    assert source.info.interlaced == "progressive"
    assert bool(scan.notes) == bool(flags)


def drawn(size, frames):
    """Return pictures of libavfilter's testsrc2: text, and a stripe that rises line by line."""
    graph = Graph()
    graph.link_nodes(graph.add("testsrc2", f"s={size}:r=25"), graph.add("buffersink")).configure()
    return [graph.vpull().to_ndarray(format="rgb24") for _ in range(frames)]


@pytest.mark.parametrize("size", ["96x64", "112x80", "128x96", "160x120", "176x144"])
def test_small_drawn_patterns_are_not_taken_for_interlaced(tmp_path, size):
    source, scan, _ = read(clip(tmp_path / "drawn.mkv", drawn(size, 24)), "auto")
    assert (source.info.interlaced, scan.filters, scan.notes) == ("progressive", (), ())


@pytest.mark.parametrize("size", [(160, 120), (96, 64)])
def test_small_interlaced_pictures_are_still_found(tmp_path, pictures, size):
    small = [
        VideoFrame.from_ndarray(p, "rgb24").reformat(*size, interpolation="AREA") for p in pictures
    ]
    woven_ones = woven([p.to_ndarray(format="rgb24") for p in small], top_first=True)
    source, scan, _ = read(clip(tmp_path / "small.mkv", woven_ones), "auto")
    assert source.info.interlaced == "top"
    assert any("bwdif" in name for name in scan.filters)


def test_it_can_be_insisted_on(tmp_path, pictures):
    path = clip(tmp_path / "whole.mkv", pictures[:6])
    _, scan, frames = read(path, "bwdif")
    assert any("bwdif" in name for name in scan.filters)
    assert len(frames) == 6


def test_telecined_film_is_recognised_and_advice_given(tmp_path, pictures):
    film = pictures[: 2 * FRAMES]
    cycles = [film[i : i + 4] for i in range(0, len(film), 4)]
    # 3:2 pulldown: A A, B B, B C, C D, D D.
    fields = chain.from_iterable([a, a, b, b, b, c, c, d, d, d] for a, b, c, d in cycles)
    path = clip(tmp_path / "telecined.mkv", woven(list(fields), top_first=True))
    _, scan, frames = read(path, "auto")
    assert any("telecined film" in note and "fieldmatch" in note for note in scan.notes)
    assert len(frames) == scan.frames == 40
