"""One way to open media files: everybody sees the same streams, whatever their tags hold."""

import ast
import subprocess
from pathlib import Path

import pytest

import vsrpp_cli
from support.clips import write_clip
from support.commands import ffprobe, vsrpp

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
