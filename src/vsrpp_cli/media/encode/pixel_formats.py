"""Properties of pixel formats, and the choice of the one that loses least."""

from collections.abc import Sequence
from dataclasses import dataclass

import av
import av.error


@dataclass(frozen=True)
class PixelFormat:
    """The properties of a pixel format that matter for the choice."""

    name: str
    depth: int
    """Bits of the first component."""
    chroma_x: int
    chroma_y: int
    """Horizontal and vertical subsampling of chroma: 2 and 2 in 4:2:0."""
    rgb: bool
    gray: bool
    alpha: bool

    @property
    def subsampling(self) -> str:
        """The usual notation: `4:2:0`, `4:4:4`, `RGB`, `grey`."""
        if self.gray:
            return "grey"
        if self.rgb:
            return "RGB"
        names = {(1, 1): "4:4:4", (2, 1): "4:2:2", (2, 2): "4:2:0", (1, 2): "4:4:0"}
        return names.get((self.chroma_x, self.chroma_y), "4:1:1")


def describe(name: str) -> PixelFormat:
    """Return the properties of a pixel format.

    Raises:
        ValueError: FFmpeg has no such format.
    """
    fmt = av.VideoFormat(name, 64, 64)
    parts = fmt.components
    alpha = any(part.is_alpha for part in parts)
    gray = len(parts) - alpha == 1 and not fmt.has_palette
    chroma = parts[1] if len(parts) - alpha == 3 and not fmt.is_rgb else parts[0]
    return PixelFormat(
        name=name,
        depth=8 if fmt.has_palette else parts[0].bits,
        chroma_x=64 // max(1, chroma.width),
        chroma_y=64 // max(1, chroma.height),
        rgb=fmt.is_rgb or fmt.has_palette,
        gray=gray,
        alpha=alpha or fmt.has_palette,
    )


def closest(wanted: PixelFormat, offered: Sequence[str]) -> str:
    """Return the offered format that loses least of `wanted`; among equals the smallest.

    Depth matters most, then alpha, then the resolution of chroma, then colour, then RGB. Of equal
    formats the first one is chosen.
    """

    def cost(name: str) -> tuple[int, ...]:
        have = describe(name)
        return (
            max(0, wanted.depth - have.depth),
            wanted.alpha and not have.alpha,
            max(0, have.chroma_x - wanted.chroma_x) + max(0, have.chroma_y - wanted.chroma_y),
            not wanted.gray and have.gray,
            wanted.rgb and not have.rgb,
            # Nothing more is lost below this line: avoid waste.
            have.alpha and not wanted.alpha,
            max(0, have.depth - wanted.depth),
            have.rgb and not wanted.rgb,
            max(0, wanted.chroma_x - have.chroma_x) + max(0, wanted.chroma_y - have.chroma_y),
        )

    return min(offered, key=cost)


def even_multiples(name: str, even: bool) -> tuple[int, int]:
    """Return the numbers of which width and height must be multiples.

    Args:
        name: the pixel format.
        even: whether the encoder refuses odd sizes if chroma is subsampled.
    """
    fmt = describe(name)
    if not even or fmt.rgb or fmt.gray:
        return 1, 1
    return min(fmt.chroma_x, 2), min(fmt.chroma_y, 2)
