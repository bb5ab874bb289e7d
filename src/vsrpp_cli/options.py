"""What a user can ask for, checked for syntax and ranges, frozen.

Names of models, devices and encoders are resolved later, where they are known.
"""

import hashlib
import json
import os
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, fields
from fractions import Fraction
from numbers import Integral, Real
from pathlib import Path
from types import NoneType
from typing import Generic, Literal, TypeVar, get_args

from vsrpp_cli.errors import UsageError

Precision = Literal["fp32", "fp16", "bf16"]
"""What frames are computed in."""
PrecisionWish = Literal["auto", "fp32", "fp16", "bf16"]
Deinterlace = Literal["auto", "off", "bwdif"]
Scenes = Literal["auto", "off"]
Resume = Literal["auto", "must", "restart"]
ProgressStyle = Literal["auto", "bar", "json", "none"]

PRECISIONS: tuple[PrecisionWish, ...] = get_args(PrecisionWish)
PROGRESS: tuple[ProgressStyle, ...] = get_args(ProgressStyle)
DEINTERLACE: tuple[Deinterlace, ...] = get_args(Deinterlace)
BATCH_NAME = "{stem}_x4{suffix}"
"""Default template for the names of a batch's outputs."""
CLUSTER = re.compile(r"ray|auto|(ray://)?[^\s/:]+:\d+")
"""What names a Ray cluster."""
MIN_TILE = 64
MIN_CHUNK = 2
SCHEDULERS = ("slurm", "kubernetes", "script")
MAX_CRF = 51.0

Given = TypeVar("Given")
Kept = TypeVar("Kept")


class Converted(Generic[Given, Kept]):
    """A field that takes a value in several forms and keeps it in one.

    It is what the documentation of dataclasses calls a descriptor-typed field: type checkers see
    `Given` where options are made, and `Kept` where they are read.
    """

    def __init__(self, convert: Callable[[str, Given], Kept], default: Kept) -> None:
        self._convert, self._default = convert, default

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    def __get__(self, instance: object | None, owner: type | None = None) -> Kept:
        # The class itself gives the default, which is where a dataclass looks for it.
        return self._default if instance is None else instance.__dict__[self._name]

    def __set__(self, instance: object, value: Given) -> None:
        instance.__dict__[self._name] = self._convert(f"`{self._name}`", value)


Number = Fraction | float | str | None
"""What becomes a fraction: `2`, `1.5`, `"30000/1001"`; times also as `"1:23.5"`."""


def _fraction(option: str, value: Number) -> Fraction | None:
    # From its text, lest 29.97 becomes the binary number next to it.
    return None if value is None else rational(option, str(value))


def _time(option: str, value: Number) -> Fraction | None:
    return None if value is None else seconds(option, str(value))


def _bytes(option: str, value: int | str | None) -> int | None:
    return None if value is None else byte_size(option, str(value))


def _path(option: str, value: str | os.PathLike[str]) -> str:
    try:
        return os.fspath(value)
    except TypeError:
        raise UsageError(f"{option} {value!r}: must be a name or a path") from None


Pairs = tuple[tuple[str, str], ...]


def _pairs(option: str, value: Mapping[str, object] | Iterable[tuple[str, object]]) -> Pairs:
    try:
        return tuple((key, str(text)) for key, text in dict(value).items())
    except (TypeError, ValueError):
        raise UsageError(
            f"{option} {value!r}: must be a dictionary of the encoder's options"
        ) from None


FORMATS = ("y4m", "mkv", "mp4", "mov", "webm")
"""What can go into a pipe."""


@dataclass(frozen=True, kw_only=True)
class RawVideo:
    """What uncompressed frames without a header are."""

    width: int
    height: int
    rate: Fraction
    """Frames a second."""
    pix_fmt: str
    """FFmpeg's name."""


def _raw(option: str, value: RawVideo | str | None) -> RawVideo | None:
    return value if value is None or isinstance(value, RawVideo) else raw_video(option, str(value))


BESIDE = {"pixels": False}
"""Marks options without influence on what the output contains."""


@dataclass(frozen=True, kw_only=True)
class UpscaleOptions:
    """Everything `vsrpp upscale` can be told; the defaults do the right thing.

    Numbers, times and sizes may be given as text, as on the command line: `start="1:23.5"`,
    `memory_limit="8G"`.

    Raises:
        UsageError: a value is of another kind or out of its range, or two options exclude each
            other.
    """

    model: Converted[str | os.PathLike[str], str] = Converted(_path, "auto")
    """Registry name, path, `hf:OWNER/REPO/FILE[@REVISION]`, or several of them with commas."""
    device: str = "auto"
    """`auto`, `cpu`, `cuda`, `cuda:N`, several of these with commas, or `mps`."""
    precision: PrecisionWish = "auto"
    threads: int | None = None
    """CPU threads of the network; None for all cores this process may use."""
    chunk: int | None = None
    """Frames one network call sees, overlap included; None to let the plan decide."""
    overlap: int | None = None
    """Frames of context on each side of a chunk; None for the model's own default."""
    segment: int | None = None
    """Frames a segment; None for about 250 or a minute's work."""
    scenes: Scenes = "auto"
    tile: Converted[str | int, str] = Converted(lambda _, value: str(value), "auto")
    """`auto`, `off`, `N` or `WxH`, in input pixels."""
    tile_overlap: int | None = None
    """Input pixels by which tiles reach beyond their own area on each side."""
    memory_limit: Converted[int | str | None, int | None] = Converted(_bytes, None)
    """Bytes the run may use; None for a fixed share of the machine's memory."""
    guard: bool = True
    ensemble: bool = False
    """8-fold spatial self-ensemble: eight times the work."""
    compile: bool = False
    """Whether the network goes through torch's compiler."""
    graphs: bool = False
    """Whether the network's branches are recorded as CUDA graphs."""

    scale: Converted[Number, Fraction | None] = Converted(_fraction, None)
    """Output size over source size; None for what the network gives."""
    height: int | None = None
    width: int | None = None
    """Final size in pixels; one of them alone keeps the shape."""
    start: Converted[Number, Fraction | None] = Converted(_time, None)
    end: Converted[Number, Fraction | None] = Converted(_time, None)
    """Seconds from the beginning of the source; the first frame at or after, the first not kept."""
    frames: int | None = None
    """Process at most this many frames."""

    codec: str | None = None
    crf: float | None = None
    """0 (best) to 51 on libx264's scale, whatever the encoder; None for 16."""
    preset: str | None = None
    pix_fmt: str | None = None
    encoder_options: Converted[Mapping[str, object] | Iterable[tuple[str, object]], Pairs] = (
        Converted(_pairs, ())
    )
    fps: Converted[Number, Fraction | None] = Converted(_fraction, None)
    """Frame rate of a folder of frames; such an input has no timestamps of its own."""
    deinterlace: Deinterlace = "auto"
    video_track: int | None = None
    """Which of the video tracks, counted from 0; None for the first that is not cover art."""
    audio: bool = True
    subtitles: bool = True
    chapters: bool = True
    metadata: bool = True

    raw: Converted[RawVideo | str | None, RawVideo | None] = Converted(_raw, None)
    """What INPUT is, where it is frames and nothing else, also as `"320x240@25:yuv420p"`; it is
    then read once, like a pipe."""
    format: str | None = field(default=None, metadata=BESIDE)
    """What goes into a pipe: one of `FORMATS`; None for Y4M."""

    strict: bool = field(default=False, metadata=BESIDE)
    verify: bool = field(default=True, metadata=BESIDE)
    resume: Resume = field(default="auto", metadata=BESIDE)
    """Go on with interrupted work where there is some, `must` be some, or `restart`."""
    work_dir: str | Path | None = field(default=None, metadata=BESIDE)
    keep_work: bool = field(default=False, metadata=BESIDE)
    offline: bool = field(default=False, metadata=BESIDE)
    workers: int | None = field(default=None, metadata=BESIDE)
    """Processes that compute segments at the same time, spread over the devices; None for one a
    GPU, and one on a CPU."""
    cluster: str | None = field(default=None, metadata=BESIDE)
    """The Ray cluster that computes: `ray` for one on this machine, `auto`, `HOST:PORT` or
    `ray://HOST:PORT`; None for none."""
    mixed: bool = field(default=False, metadata=BESIDE)
    """Whether workers of a cluster may compute that would give other frames."""
    overwrite: bool = field(default=False, metadata=BESIDE)
    skip_existing: bool = field(default=False, metadata=BESIDE)
    """Do nothing, rather than fail, where the output exists."""

    def __post_init__(self) -> None:
        """Check every value that can be checked without looking at the machine or the input."""
        for f in fields(self):
            _check_kind(f.name, getattr(self, f.name), f.type)
        _one_of("precision", self.precision, PRECISIONS)
        _one_of("scenes", self.scenes, get_args(Scenes))
        _one_of("deinterlace", self.deinterlace, DEINTERLACE)
        if self.format is not None:
            _one_of("format", self.format, FORMATS)
        _one_of("resume", self.resume, get_args(Resume))
        _at_least("threads", self.threads, 1)
        _at_least("workers", self.workers, 1)
        _at_least("chunk", self.chunk, MIN_CHUNK)
        _at_least("overlap", self.overlap, 0)
        _at_least("segment", self.segment, 1)
        _at_least("tile_overlap", self.tile_overlap, 0)
        _at_least("memory_limit", self.memory_limit, 1 << 28, "256 MiB, e.g. 8G")
        _at_least("height", self.height, 1)
        _at_least("width", self.width, 1)
        _at_least("frames", self.frames, 1)
        _at_least("video_track", self.video_track, 0)
        if self.crf is not None and not 0 <= self.crf <= MAX_CRF:
            raise UsageError(f"`crf={self.crf:g}`: must be from 0 (best) to {MAX_CRF:g}")
        tile_size(self.tile)
        if self.cluster is not None and not CLUSTER.fullmatch(self.cluster):
            raise UsageError(
                f"`cluster={self.cluster!r}`: must be ray, auto, HOST:PORT or ray://HOST:PORT"
            )
        if self.mixed and self.cluster is None:
            raise UsageError("`mixed` is about the workers of a `cluster`: give one")
        self._check_combinations()

    def _check_combinations(self) -> None:
        if self.overwrite and self.skip_existing:
            raise UsageError(
                "`overwrite=True` and `skip_existing=True` exclude each other: take one"
            )
        if self.compile and self.graphs:
            raise UsageError("`compile` and `graphs` exclude each other: take one")
        if self.scale is not None and (self.height or self.width):
            raise UsageError("`scale` and `height` or `width` both set the size: give one of them")
        if self.scale is not None and not 0 < self.scale <= 16:
            raise UsageError(f"`scale={float(self.scale):g}`: must be above 0 and at most 16")
        if self.fps is not None and self.fps <= 0:
            raise UsageError(f"`fps={self.fps}`: must be above 0")
        if self.chunk is not None and self.chunk <= 2 * (self.overlap or 0):
            raise UsageError(
                f"`chunk={self.chunk}` leaves no frame between overlaps of {self.overlap}: "
                f"give at least {2 * (self.overlap or 0) + 1}"
            )
        if self.start is not None and self.end is not None and self.end <= self.start:
            raise UsageError(
                f"`end={float(self.end):g}` is not after `start={float(self.start):g}`"
            )

    def content(self) -> dict[str, str]:
        """Return the options that decide what the output contains, as text."""
        return {
            f.name: str(getattr(self, f.name))
            for f in fields(self)
            if f.metadata.get("pixels", True)
        }

    def fingerprint(self) -> str:
        """Return a hash of `content()`."""
        return hashlib.sha256(json.dumps(self.content(), sort_keys=True).encode()).hexdigest()


KINDS: dict[type, tuple[type, str]] = {
    bool: (bool, "True or False"),
    int: (Integral, "a whole number"),
    float: (Real, "a number"),
    str: (str, "text"),
    Path: (Path, "a path"),
    NoneType: (NoneType, "None"),
}
"""What a field of a type takes, and how that is called."""


def _check_kind(name: str, value: object, hint: object) -> None:
    """Refuse a value that is not of its field's type; fields that convert have seen to theirs."""
    kinds = [KINDS[kind] for kind in get_args(hint) or (hint,) if isinstance(kind, type)]
    taken = tuple(kind for kind, _ in kinds)
    # In Python True is a whole number.
    if kinds and (not isinstance(value, taken) or (isinstance(value, bool) and bool not in taken)):
        words = " or ".join(word for _, word in kinds)
        raise UsageError(f"`{name}` {value!r}: must be {words}, not {type(value).__name__}")


def _one_of(name: str, value: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise UsageError(f"`{name}={value!r}`: must be one of {', '.join(allowed)}")


def _at_least(name: str, value: int | None, least: int, named: str | None = None) -> None:
    if value is not None and value < least:
        raise UsageError(f"`{name}={value}`: must be at least {named or least}")


def tile_size(text: str) -> tuple[int, int] | None:
    """Return width and height of a `tile`, or None for `auto` and `off`.

    Raises:
        UsageError: it is neither of the two words nor `N` nor `WxH`, or below `MIN_TILE`.
    """
    if text in ("auto", "off"):
        return None
    width, _, height = text.lower().partition("x")
    if not width.isdigit() or not (height or width).isdigit():
        raise UsageError(f"`tile={text!r}`: must be auto, off, a number or WIDTHxHEIGHT")
    size = int(width), int(height or width)
    if min(size) < MIN_TILE:
        raise UsageError(f"`tile={text!r}`: must be at least {MIN_TILE} on each side")
    return size


def _parsed(option: str, text: str, parse: Callable[[str], Fraction]) -> Fraction:
    try:
        return parse(text)
    except (ValueError, ZeroDivisionError):
        raise UsageError(f"{option} {text!r}: not a number") from None


def rational(option: str, text: str) -> Fraction:
    """Return `text` (`2.5`, `30000/1001`) as a fraction; UsageError if it is none."""
    return _parsed(option, text, Fraction)


def seconds(option: str, text: str) -> Fraction:
    """Return a time (`83.5`, `1:23.5`, `0:01:23.5`) in seconds; UsageError if it is none."""

    def parse(value: str) -> Fraction:
        total = Fraction(0)
        for part in value.split(":"):
            total = total * 60 + Fraction(part)
        return total

    return _parsed(option, text, parse)


def raw_video(option: str, text: str) -> RawVideo:
    """Return what `320x240@30000/1001:yuv420p` says; UsageError if it does not say it."""
    found = re.fullmatch(r"(\d+)x(\d+)@([\d./]+):(\w+)", text)
    if found is None:
        raise UsageError(
            f"{option} {text!r}: must be WIDTHxHEIGHT@FPS:PIXFMT, e.g. 320x240@25:yuv420p"
        )
    width, height, rate = int(found[1]), int(found[2]), rational(option, found[3])
    if not (width and height and rate > 0):
        raise UsageError(f"{option} {text!r}: size and rate must be above 0")
    return RawVideo(width=width, height=height, rate=rate, pix_fmt=found[4])


UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}


def byte_size(option: str, text: str) -> int:
    """Return a size such as `4G`, `512MiB` or `1000000` in bytes; UsageError if it is none."""

    def parse(value: str) -> Fraction:
        digits = value.strip().upper().removesuffix("B").removesuffix("I")
        unit = digits[-1:] if digits[-1:] in ("K", "M", "G", "T") else ""
        return Fraction(digits.removesuffix(unit)) * UNITS[unit]

    return int(_parsed(option, text, parse))
