"""Reads the colour tags of decoded pictures, and guesses missing ones as players do."""

from av.video.frame import VideoFrame

from vsrpp_cli.media.color import codepoints
from vsrpp_cli.media.color.convert import supported_matrix
from vsrpp_cli.media.types import ColorSpec

_MATRIX_NAMES = {code: name for name, code in codepoints.MATRICES.items()}
_PRIMARIES_NAMES = {code: name for name, code in codepoints.PRIMARIES.items()}
_TRANSFER_NAMES = {code: name for name, code in codepoints.TRANSFERS.items()}

NEAREST_MATRIX = {"bt2020c": "bt2020nc", "chroma-derived-c": "chroma-derived-nc"}
"""Constant-luminance matrices, and the non-constant ones as which players read them."""

MATRIX_OF_PRIMARIES = {"bt2020": "bt2020nc", "bt709": "bt709", "smpte170m": "smpte170m"}
HD_WIDTH, HD_HEIGHT = 1280, 577
"""From these sizes on, untagged video is taken as BT.709 (the rule of mpv and others)."""


def color_of(
    frame: VideoFrame, *, siting: str = "unspecified", default: ColorSpec | None = None
) -> ColorSpec:
    """Return the colour specification of a picture: its tags, else `default`, else a guess.

    RGB pictures have the matrix `gbr`, whatever their tags. Missing values are guessed as players
    do: matrix and primaries by size (525 or 625 lines, HD), the range limited for YUV and full for
    RGB and grey.
    """
    rgb = frame.format.is_rgb or frame.format.has_palette
    grey = frame.format.name.startswith(("gray", "ya", "mono"))
    matrix = "gbr" if rgb else _own_matrix(frame)
    primaries = _PRIMARIES_NAMES.get(frame.color_primaries, "unknown")
    transfer = _TRANSFER_NAMES.get(frame.color_trc, "unknown")
    full = {1: False, 2: True}.get(frame.color_range)
    if frame.format.name.startswith("yuvj"):
        full = True
    guessed = []
    if default is not None:
        if matrix == "unknown" and default.matrix != "gbr":
            matrix = default.matrix
        full = default.full_range if full is None and (default.matrix == "gbr") == rgb else full
        primaries = default.primaries if primaries == "unknown" else primaries
        transfer = default.transfer if transfer == "unknown" else transfer
    if matrix == "unknown":
        matrix = _guess_matrix(frame, primaries)
        guessed += [] if grey else ["matrix"]
    if full is None:
        full = rgb or grey
        if not full:
            guessed.append("range")
    if primaries == "unknown":
        primaries = _guess_primaries(frame, matrix)
        guessed.append("primaries")
    if transfer == "unknown":
        transfer = "iec61966-2-1" if rgb else "bt709"
        guessed.append("transfer")
    return ColorSpec(
        matrix=matrix,
        full_range=full,
        primaries=primaries,
        transfer=transfer,
        siting=siting,
        guessed=tuple(guessed),
    )


def _own_matrix(frame: VideoFrame) -> str:
    """Return the tagged matrix; `unknown` if a YUV picture cannot have it."""
    name = _MATRIX_NAMES.get(frame.colorspace, "unknown")
    name = NEAREST_MATRIX.get(name, name)
    if name == "chroma-derived-nc":
        primaries = _PRIMARIES_NAMES.get(frame.color_primaries, "unknown")
        return MATRIX_OF_PRIMARIES.get(primaries, "unknown")
    if name == "gbr":
        return "unknown"
    return name


def _guess_matrix(frame: VideoFrame, primaries: str) -> str:
    if primaries == "bt2020":
        return "bt2020nc"
    if frame.width >= HD_WIDTH or frame.height >= HD_HEIGHT:
        return "bt709"
    return "bt470bg" if frame.height == 576 else "smpte170m"


def _guess_primaries(frame: VideoFrame, matrix: str) -> str:
    if matrix == "bt2020nc":
        return "bt2020"
    if frame.height == 576 and matrix != "bt709":
        return "bt470bg"
    return "smpte170m" if frame.height in (480, 486) and matrix != "bt709" else "bt709"


def readable(spec: ColorSpec) -> bool:
    """Return whether pictures with these tags can be converted to RGB."""
    return supported_matrix(spec.matrix)
