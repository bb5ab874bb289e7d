"""Draws text into pictures: printable ASCII from a sheet of letters, antialiased, at any size.

PyAV's wheels lack FFmpeg's filter `drawtext`. `docs/make_label_font.py` makes the sheet.
"""

import unicodedata
from functools import cache
from importlib import resources

import numpy as np
from numpy.typing import NDArray

from vsrpp_cli.media.images.headers import read_header
from vsrpp_cli.media.images.pixels import read_image
from vsrpp_cli.resample import resize

Coverage = NDArray[np.float32]
"""Shape (H, W); 1 where a letter covers a pixel, 0 where none does."""

FIRST, LAST = 32, 126
"""Code points of the first and the last character of the sheet."""
ELLIPSIS = "..."


def lettered(text: str, height: int, width: int) -> Coverage:
    """Return a line of text as a mask (height, width), aligned left.

    Accents are dropped, other characters that the sheet lacks become question marks. The middle of
    a text that is too long is replaced by dots, since file names differ at their ends.
    """
    text = _plain(text)
    line = _line(text, height)
    kept = len(text)
    while line.shape[1] > width and kept > 0:
        kept -= 1
        line = _line(_shortened(text, kept), height)
    line = line[:, :width]
    return np.pad(line, ((0, 0), (0, width - line.shape[1])))


def _plain(text: str) -> str:
    bare = unicodedata.normalize("NFKD", text)
    kept = [c for c in bare if not unicodedata.combining(c)]
    return "".join(c if FIRST <= ord(c) <= LAST else "?" for c in kept)


def _shortened(text: str, kept: int) -> str:
    """Return `text` with dots instead of all but `kept` characters at its ends."""
    return text[: (kept + 1) // 2] + ELLIPSIS + text[len(text) - kept // 2 :]


def _line(text: str, height: int) -> Coverage:
    letters = _letters()
    line = np.concatenate([letters[ord(c) - FIRST] for c in text or " "], axis=1)
    return resize(line, height, max(1, round(line.shape[1] * height / line.shape[0])))


@cache
def _letters() -> tuple[Coverage, ...]:
    with resources.as_file(
        resources.files("vsrpp_cli.evaluation.comparison") / "lettering.png"
    ) as path:
        sheet = read_image(path, read_header(path))[0][0]
    starts = np.flatnonzero(sheet[0] > 0.5)
    return tuple(np.split(sheet[1:], starts, axis=1)[1:-1])
