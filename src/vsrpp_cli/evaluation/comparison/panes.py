"""Makes pictures that show inputs side by side, each with its name."""

from collections.abc import Sequence
from fractions import Fraction

import numpy as np

from vsrpp_cli.errors import UsageError
from vsrpp_cli.evaluation.comparison.inputs import Crop, Inputs
from vsrpp_cli.evaluation.comparison.lettering import lettered
from vsrpp_cli.metrics import Picture, to_8bit
from vsrpp_cli.resample import resize

GAP = 4
"""Pixels between panes."""
PANE = 320
"""Minimum width of a pane in pixels; smaller ones are enlarged by a whole factor."""
SLICE_HEIGHT = 240
"""Height in pixels to which a scan line's picture is enlarged by repeating rows."""
TEXT = 22
"""Height of a line of text in pixels, on panes up to `PANE_OF_TEXT` wide; it grows with wider
ones."""
PANE_OF_TEXT = 800
PAPER, INK, FAINT = 255, 20, 95
"""Grey of the background, of names, and of sizes."""


def captions(inputs: Inputs, labels: Sequence[str] = ()) -> list[tuple[str, str]]:
    """Return the text above each pane: its name and its size.

    Raises:
        UsageError: there are more labels than inputs.
    """
    if len(labels) > len(inputs.paths):
        raise UsageError(f"`labels` was given {len(labels)} times for {len(inputs.paths)} inputs")
    names = [*labels, *(path.name for path in inputs.paths[len(labels) :])]
    return [(name, _size_text(inputs, index)) for index, name in enumerate(names)]


def _size_text(inputs: Inputs, index: int) -> str:
    width, height = inputs.sizes[index]
    if not inputs.resized(index):
        return f"{width}x{height}"
    return f"{width}x{height}, bicubic to {inputs.size[0]}x{inputs.size[1]}"


def side_by_side(
    inputs: Inputs, frame: int, crop: Crop | None, labels: Sequence[str] = ()
) -> Picture:
    """Return one frame of each input side by side, or the same crop of each; small ones enlarged.

    Args:
        inputs: what is shown.
        frame: its number, from 0.
        crop: in pixels of the first input; None for the whole frame.
        labels: names for the inputs instead of their files'.

    Raises:
        UsageError: there is no such frame, or the crop reaches beyond it.
        InputError: an input cannot be read.
    """
    check_frame(inputs, frame)
    pictures = next(inputs.read(frame, frame + 1))
    if crop is not None:
        part = crop.inside(inputs.sizes[0]).scaled(inputs.sizes[0], inputs.size)
        pictures = [part.of(picture) for picture in pictures]
    shown = [_square(_magnified(picture), inputs.pixel_aspect) for picture in pictures]
    return _labelled(shown, captions(inputs, labels))


def check_frame(inputs: Inputs, frame: int) -> None:
    """Raise UsageError if there is no frame of this number."""
    if frame >= inputs.frames:
        raise UsageError(
            f"frame {frame}: {inputs.frames} frames are compared, counted from 0 to "
            f"{inputs.frames - 1}"
        )


def over_time(
    inputs: Inputs, row: int, frames: range, crop: Crop | None, labels: Sequence[str] = ()
) -> Picture:
    """Return a picture of one row of pixels over time for each input; time runs down.

    Still things give vertical lines, motion slanted ones; flicker shows as stripes.

    Args:
        inputs: what is shown.
        row: number of the row in the largest input.
        frames: the frames that are shown, one below the other.
        crop: restricts the columns, in pixels of the first input.
        labels: names for the inputs instead of their files'.
    """
    slices = inputs.read_rows(row, frames.start, frames.stop)
    if crop is not None:
        part = crop.scaled(inputs.sizes[0], inputs.size)
        slices = [s[..., part.x : part.x + part.width] for s in slices]
    wide = [s.repeat(_factor(s), axis=2) for s in slices]
    times = max(1, SLICE_HEIGHT // len(frames))
    return _labelled([w.repeat(times, axis=1) for w in wide], captions(inputs, labels))


def _factor(picture: Picture) -> int:
    width: int = picture.shape[2]
    return max(1, -(-PANE // width))


def _magnified(picture: Picture) -> Picture:
    """Return `picture` enlarged by repeating pixels, to at least `PANE` wide."""
    return picture.repeat(_factor(picture), axis=1).repeat(_factor(picture), axis=2)


def _square(picture: Picture, aspect: Fraction) -> Picture:
    """Return `picture` resized to square pixels."""
    if aspect == 1:
        return picture
    width = max(1, round(picture.shape[2] * aspect))
    return to_8bit(resize(picture.astype(np.float32) / np.float32(255), picture.shape[1], width))


def _labelled(pictures: Sequence[Picture], texts: Sequence[tuple[str, str]]) -> Picture:
    """Return panes of one size in a row, two lines of text above each."""
    width = pictures[0].shape[2]
    head = [_heading(lines, width) for lines in texts]
    panes = [np.concatenate(pair, axis=1) for pair in zip(head, pictures, strict=True)]
    gap = np.full((3, panes[0].shape[1], GAP), PAPER, np.uint8)
    return np.concatenate([part for pane in panes for part in (gap, pane)][1:], axis=2)


def _heading(lines: tuple[str, str], width: int) -> Picture:
    """Return the two lines of text above a pane."""
    height = max(TEXT, TEXT * width // PANE_OF_TEXT)
    margin = height // 3
    inner = max(1, width - 2 * margin)
    rows = [
        PAPER - (PAPER - grey) * lettered(text, height, inner)
        for text, grey in zip(lines, (INK, FAINT), strict=True)
    ]
    text = np.pad(np.concatenate(rows), margin, constant_values=PAPER)[:, :width]
    return np.broadcast_to(np.rint(text).astype(np.uint8), (3, *text.shape))
