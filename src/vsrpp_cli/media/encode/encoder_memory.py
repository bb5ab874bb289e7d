"""Estimates the memory of encoders, and finds settings with which they take less.

An encoder holds all frames that it looks ahead, and each thread may hold further frames: for large
pictures that is the largest part of a run's memory.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from vsrpp_cli.media.encode.encoder_table import PRESETS, ROWS, EncoderRow
from vsrpp_cli.media.encode.pixel_formats import describe
from vsrpp_cli.media.types import EncodeSettings

IMAGE_BYTES = 30
"""Bytes for each pixel of an image that is being written: as 16 bits, as floats, and encoded."""

DEEP = 1.75
"""Memory of pictures with more than 8 bits, relative to those with 8."""


@dataclass(frozen=True)
class EncoderWay:
    """One way to set an encoder."""

    settings: EncodeSettings
    memory: int
    """Approximate bytes it takes."""


def encoder_ways(settings: EncodeSettings, *, free: bool) -> tuple[EncoderWay, ...]:
    """Return ways to set an encoder: the given settings first, those with least memory last.

    Args:
        settings: as resolved.
        free: whether the look-ahead of the encoder may be changed.
    """
    made = _image_ways(settings) if settings.kind == "frames" else _video_ways(settings, free=free)
    return tuple(EncoderWay(way, memory) for way, memory in made)


def _image_ways(settings: EncodeSettings) -> Iterator[tuple[EncodeSettings, int]]:
    one = IMAGE_BYTES * settings.width * settings.height
    yield settings, one * (settings.threads + 1)
    if settings.threads > 1:
        note = "memory is short: one image is written at a time"
        yield replace(settings, threads=1, notes=(*settings.notes, note)), 2 * one


def _video_ways(settings: EncodeSettings, *, free: bool) -> Iterator[tuple[EncodeSettings, int]]:
    row = next(row for row in ROWS if row.encoder == settings.codec)
    memory, pixels = row.memory, settings.width * settings.height * _samples(settings.pix_fmt)
    slow = _is_slow(row, settings)
    usual = (memory.slow if slow else memory.usual) + memory.by_thread * (settings.threads - 1)
    yield settings, int(pixels * usual)
    if free and (memory.lighter or memory.lighter_params):
        note = f"memory is short: {row.encoder} looks fewer frames ahead, which costs some quality"
        lighter = replace(settings, options=_lighter(row, settings), notes=(*settings.notes, note))
        yield lighter, int(pixels * memory.light * (usual / memory.usual if slow else 1))


def _samples(pix_fmt: str) -> float:
    """Return the size of a picture relative to 4:2:0 at 8 bits."""
    kind = describe(pix_fmt)
    planes = 1 if kind.gray else 1 + 2 / (kind.chroma_x * kind.chroma_y)
    return (planes + kind.alpha) / 1.5 * (DEEP if kind.depth > 8 else 1)


def _is_slow(row: EncoderRow, settings: EncodeSettings) -> bool:
    """Return whether the preset is slower than `slow` and so holds more frames."""
    own = row.presets or PRESETS
    chosen = dict(settings.options).get(row.preset_option or "")
    return chosen in own and own.index(chosen) > PRESETS.index("slow")


def _lighter(row: EncoderRow, settings: EncodeSettings) -> tuple[tuple[str, str], ...]:
    """Return the options with less look-ahead and fewer threads."""
    options = {**dict(settings.options), **dict(row.memory.lighter)}
    if row.params is not None and row.memory.lighter_params:
        given = (pair.partition("=") for pair in options.get(row.params, "").split(":") if pair)
        params = {key: value for key, _, value in given}
        params.update(row.memory.lighter_params)
        options[row.params] = ":".join(f"{key}={value}" for key, value in params.items())
    return tuple(options.items())
