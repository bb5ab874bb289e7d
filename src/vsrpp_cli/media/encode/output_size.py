"""The size of the output picture, and the shape of its pixels."""

from dataclasses import dataclass
from fractions import Fraction

from vsrpp_cli.errors import UsageError
from vsrpp_cli.media.decode.side_data import quarter_turned
from vsrpp_cli.media.types import SourceInfo
from vsrpp_cli.options import UpscaleOptions

LARGEST = 65535
SAME_SHAPE = Fraction(1, 100)
"""Differences of shape below this come from rounding and do not change the pixels' shape."""


@dataclass(frozen=True)
class OutputShape:
    """Width and height in pixels as stored (before rotation), and notes for the user."""

    width: int
    height: int
    sample_aspect_ratio: Fraction
    notes: tuple[str, ...] = ()


def output_shape(
    info: SourceInfo, options: UpscaleOptions, *, scale: int, multiples: tuple[int, int]
) -> OutputShape:
    """Return the size of an output.

    `width` and `height` are those of the picture as it is shown, so they are exchanged for sources
    that are rotated by a quarter turn. One of them alone keeps the aspect ratio; both together
    stretch the picture, and the sample aspect ratio changes so that it is shown as before.

    Args:
        info: the source.
        options: `width`, `height` and `scale` are used.
        scale: of the networks.
        multiples: numbers of which width and height must be multiples.

    Raises:
        UsageError: the size is impossible.
    """
    wanted_width, wanted_height = options.width, options.height
    if quarter_turned(info.display_matrix):
        wanted_width, wanted_height = wanted_height, wanted_width
    exact = _exact(info, options.scale or Fraction(scale), wanted_width, wanted_height)
    width, height = (_rounded(e, m) for e, m in zip(exact, multiples, strict=True))
    if max(width, height) > LARGEST:
        raise UsageError(f"an output of {width}x{height} pixels is beyond the {LARGEST} a side")
    aspect = info.sample_aspect_ratio
    if wanted_width and wanted_height:
        kept = aspect * Fraction(info.width, info.height) / Fraction(width, height)
        aspect = kept if abs(kept / aspect - 1) > SAME_SHAPE else aspect
    notes = _notes(exact, (wanted_width, wanted_height), width, height)
    return OutputShape(width, height, aspect.limit_denominator(65535), notes)


def _exact(
    info: SourceInfo, scale: Fraction, width: int | None, height: int | None
) -> tuple[Fraction, Fraction]:
    if width and height:
        return Fraction(width), Fraction(height)
    if width:
        return Fraction(width), Fraction(width * info.height, info.width)
    if height:
        return Fraction(height * info.width, info.height), Fraction(height)
    return info.width * scale, info.height * scale


def _rounded(size: Fraction, multiple: int) -> int:
    """Return the nearest multiple; integers are rounded up, so that the picture is only padded."""
    if multiple > 1 and size.denominator == 1:
        return -(-int(size) // multiple) * multiple
    return max(multiple, round(size / multiple) * multiple)


def _notes(
    exact: tuple[Fraction, Fraction], wanted: tuple[int | None, int | None], width: int, height: int
) -> tuple[str, ...]:
    if exact == (Fraction(width), Fraction(height)):
        return ()
    if all(e.denominator == 1 for e in exact):
        why = "this pixel format needs even sizes, so the last column or row stands twice"
        return (f"{exact[0]}x{exact[1]} becomes {width}x{height}: {why}",)
    return tuple(
        f"{name} {asked} becomes {got}: this pixel format needs even sizes"
        for name, asked, got in zip(("width", "height"), wanted, (width, height), strict=True)
        if asked and asked != got
    )
