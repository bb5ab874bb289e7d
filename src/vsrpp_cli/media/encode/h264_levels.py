"""H.264 levels: the sizes and frame rates that hardware decodes."""

from fractions import Fraction

LEVELS = (
    ("4.1", 8192, 245_760),
    ("4.2", 8704, 522_240),
    ("5.1", 36864, 983_040),
    ("5.2", 36864, 2_073_600),
    ("6.0", 139_264, 4_177_920),
    ("6.1", 139_264, 8_355_840),
    ("6.2", 139_264, 16_711_680),
)
"""Name, most macroblocks in a frame and in a second: ITU-T H.264 table A-1."""

PLAYABLE = ("4.1", "4.2", "5.1", "5.2")
"""Levels that hardware decoders support."""


def h264_level(width: int, height: int, rate: Fraction | None) -> str | None:
    """Return the level that a video needs (4.1 at least), or None if none is high enough."""
    blocks = -(-width // 16) * -(-height // 16)
    per_second = blocks * (rate or 30)
    for name, most, fastest in LEVELS:
        # A side may be at most the root of eight times the area, in macroblocks.
        side = max(width, height) / 16
        if blocks <= most and side * side <= 8 * most and per_second <= fastest:
            return name
    return None


def h264_note(width: int, height: int, rate: Fraction | None) -> list[str]:
    """Return a note if hardware does not decode H.264 of this size, else nothing."""
    level = h264_level(width, height, rate)
    if level in PLAYABLE:
        return []
    why = f"needs H.264 level {level}" if level else "is beyond every H.264 level"
    offer = "consider `codec='hevc'` or `codec='av1'`"
    return [f"{width}x{height} {why}, which hardware does not decode: {offer}"]
