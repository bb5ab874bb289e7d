"""Encoder settings of the `web` and `real` degradations; needs no encoder to describe them."""

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction

from vsrpp_cli.media.types import ASSUMED_RATE, ColorSpec, EncodeSettings

BT601 = ColorSpec(matrix="smpte170m", full_range=False, primaries="smpte170m", transfer="smpte170m")
"""The colours of most small video, tagged or not."""


@dataclass(frozen=True)
class Encoding:
    """Encoder settings; by default like video on the web of good quality."""

    codec: str = "libx264"
    """``libx264``, ``libvpx-vp9``, ``mpeg2video`` or ``mpeg4`` (MPEG-4 Part 2)."""
    quality: float = 23.0
    """CRF of libx264 (0 to 51) and libvpx-vp9 (0 to 63); quantiser of the others (1 to 31)."""
    preset: str = "medium"
    """Of libx264."""
    pix_fmt: str = "yuv420p"

    @property
    def options(self) -> dict[str, str]:
        """The encoder's options; with one thread, so that results do not depend on the machine."""
        return _OPTIONS[self.codec](self) | {"threads": "1"}

    def settings(self, width: int, height: int, time_base: Fraction) -> EncodeSettings:
        """Return the settings with which a segment writer compresses frames like this."""
        options = tuple((key, value) for key, value in self.options.items() if key != "threads")
        return EncodeSettings(
            kind="video",
            container="matroska",
            codec=self.codec,
            pix_fmt=self.pix_fmt,
            width=width,
            height=height,
            time_base=time_base,
            frame_rate=ASSUMED_RATE,
            color=BT601,
            options=options,
        )


def _quantiser(encoding: Encoding) -> dict[str, str]:
    level = f"{round(encoding.quality)}"
    return {"qmin": level, "qmax": level}


_OPTIONS: dict[str, Callable[[Encoding], dict[str, str]]] = {
    "libx264": lambda e: {"crf": f"{e.quality:.2f}", "preset": e.preset},
    "libvpx-vp9": lambda e: {
        "crf": f"{round(e.quality)}", "b": "0", "deadline": "realtime", "cpu-used": "6"
    },
    "mpeg2video": _quantiser,
    "mpeg4": _quantiser,
}  # fmt: skip
