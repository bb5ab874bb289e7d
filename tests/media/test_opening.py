"""One way to open media files: everybody sees the same streams, whatever their tags hold."""

import ast
import subprocess
from fractions import Fraction
from pathlib import Path

import av
import pytest

import vsrpp_cli
from support.clips import write_clip
from support.commands import ffprobe, vsrpp
from support.reading import write_numbered
from vsrpp_cli.media.opening import allowed_formats, fraction, open_input

ROOT = Path(vsrpp_cli.__file__).parent
OPENING = ROOT / "media" / "opening.py"


def opens_itself(code):
    """Return whether Python code opens media past `media/opening.py`, under whatever name."""
    return any(_opens(node) for node in ast.walk(ast.parse(code)))


def _opens(node):
    if isinstance(node, ast.Attribute):
        return node.attr == "open" and ast.unparse(node.value).split(".")[0] == "av"
    if isinstance(node, ast.ImportFrom) and node.module in ("av", "av.container"):
        return any(alias.name in ("open", "Container", "*") for alias in node.names)
    if isinstance(node, ast.Import):
        return any(alias.name.split(".")[0] == "av" and alias.asname for alias in node.names)
    return False


@pytest.mark.parametrize(
    "code",
    ["import av\nav.open(x)", "av.container.open(x)", "from av import open", "import av as a"],
)
def test_the_search_finds_every_way_to_open_a_file(code):
    assert opens_itself(code)


def test_media_files_are_opened_in_one_place():
    found = [path for path in ROOT.rglob("*.py") if opens_itself(path.read_text("utf-8"))]
    assert found == [OPENING]


TITLE = b"\x93\xfa\x96\x7b\x8c\xea"
"""Three characters of Shift JIS, which no UTF-8 decoder takes."""


@pytest.fixture(scope="module", params=[".avi", ".mp4", ".mkv"])
def odd_tags(request, tmp_path_factory):
    """Return a clip with a title, a handler's name and a stream's title that are not UTF-8."""
    folder = tmp_path_factory.mktemp("tags")
    plain = write_clip(folder / "plain.mp4", 6, audio=True, codec="mpeg4")
    path = folder / f"film{request.param}"
    command = ["ffmpeg", "-v", "error", "-i", plain, "-c", "copy", "-metadata", "title=TITLE1"]
    for name in ("title", "handler_name"):
        command += ["-metadata:s", f"{name}=TITLE2"]
    subprocess.run([*command, path], check=True)
    data = path.read_bytes()
    assert b"TITLE1" in data
    assert b"TITLE2" in data
    path.write_bytes(data.replace(b"TITLE1", TITLE).replace(b"TITLE2", TITLE))
    return path


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_tags_that_are_not_utf_8_are_carried_with_what_is_readable(odd_tags, tmp_path, suffix):
    output = tmp_path / f"small{suffix}"
    vsrpp("degrade", odd_tags, output, "--factor", "2", check=0)
    title = ffprobe(output, "-show_format")["format"]["tags"]["title"]
    assert "\N{REPLACEMENT CHARACTER}" in title
    assert "{" in title  # the one byte of TITLE that is ASCII


def test_a_list_of_files_is_no_video_whatever_its_name(tmp_path):
    write_numbered(tmp_path / "secret.mp4", 3)
    attack = tmp_path / "film.mp4"
    attack.write_text("ffconcat version 1.0\nfile secret.mp4\n")
    with av.open(f"file:{attack}") as opened:  # what FFmpeg does by itself
        assert next(opened.decode(video=0))
    with pytest.raises((OSError, ValueError)):
        open_input(attack)


@pytest.mark.parametrize(
    "text",
    [
        "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nsecret.mp4\n#EXT-X-ENDLIST\n",
        "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nm=video 9 RTP/AVP 96\n",
        "# VobSub index file, v7\nsize: 720x576\nid: en, index: 0\n",
    ],
)
def test_texts_that_name_other_files_or_addresses_are_refused(tmp_path, text):
    (tmp_path / "film.mp4").write_text(text)
    with pytest.raises((OSError, ValueError)):
        open_input(tmp_path / "film.mp4")


def _flags(name):
    """Return FFmpeg's flags of a demuxer, none for what only writes."""
    try:
        return av.format.ContainerFormat(name, "r").flags
    except ValueError:
        return 0


def test_no_demuxer_is_left_that_opens_more_than_the_file_it_is_given():
    """What FFmpeg says opens no file by itself (devices, patterns) and what is known to read on."""
    left = allowed_formats()
    no_file = 1  # AVFMT_NOFILE
    assert not [name for name in left if _flags(name) & no_file]
    assert not {"concat", "hls", "dash", "imf", "sdp", "vobsub"} & set(left)
    assert {"matroska", "mov", "mpegts", "avi", "gif", "mpeg", "yuv4mpegpipe"} <= set(left)


def test_rationals_of_every_version_become_fractions():
    clip = av.rational.AVRational(30000, 1001) if hasattr(av, "rational") else Fraction(30000, 1001)
    assert fraction(clip).limit_denominator(1001) == Fraction(30000, 1001)
    assert fraction(None) is None
    if hasattr(av, "rational"):
        assert fraction(av.rational.AVRational(0, 0)) == 0
