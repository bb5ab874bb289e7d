"""Collects facts about each frame while a video is scanned, and selects the requested frames."""

import io
import math
import zlib
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction

import numpy as np
from av.video.frame import VideoFrame
from av.video.reformatter import Interpolation, VideoReformatter
from numpy.typing import NDArray

from vsrpp_cli.media.color.tags import color_of
from vsrpp_cli.media.decode.deinterlace import FieldStatistics
from vsrpp_cli.media.decode.pixel_shape import SAME
from vsrpp_cli.media.decode.scenes import ANALYSIS_SIZE, CutDetector
from vsrpp_cli.media.demuxer_table import demuxer_row
from vsrpp_cli.media.types import ColorSpec, SourceInfo

CHECK_ROWS = 4
"""Every n-th row is part of a frame's checksum."""
BEYOND = 8
"""Frames decoded after the last requested one, in case timestamps are out of order."""


def checksum(frame: VideoFrame) -> str:
    """Return four hexadecimal digits: a checksum of some rows of a picture's first plane."""
    plane = frame.planes[0]
    if plane.line_size <= 0:
        return "0000"
    packed = len(frame.planes) == 1
    bits = frame.format.padded_bits_per_pixel if packed else frame.format.components[0].bits
    rows = np.frombuffer(memoryview(plane), np.uint8).reshape(plane.height, plane.line_size)
    used = min(plane.line_size, plane.width * -(-bits // 8))
    return f"{zlib.crc32(rows[::CHECK_ROWS, :used].tobytes()) & 0xFFFF:04x}"


class SmallLuma:
    """Makes the small pictures in which cuts are detected."""

    def __init__(self) -> None:
        self._reformatter = VideoReformatter()

    def of(self, frame: VideoFrame) -> NDArray[np.uint8]:
        """Return a picture's luma, shape `ANALYSIS_SIZE`."""
        height, width = ANALYSIS_SIZE
        small = self._reformatter.reformat(
            frame, width, height, "gray", interpolation=Interpolation.AREA, threads=1
        )
        luma = np.frombuffer(memoryview(small.planes[0]), np.uint8)
        return luma.reshape(height, small.planes[0].line_size)[:, :width].copy()


@dataclass(frozen=True)
class Window:
    """The requested part of a video."""

    start: Fraction | None
    end: Fraction | None
    """Seconds from the first frame; None for no limit."""
    frames: int | None
    """Most frames; None for all."""
    step: int
    """Usual distance of frames in units of the time base."""
    time_base: Fraction
    origin: int | None = None
    """Timestamp of the video's first frame, if that is not the first frame seen."""

    def total(self, estimate: int | None) -> int | None:
        """Return how many frames will be decoded; None if not known."""
        if self.origin is not None:
            return None
        if self.start is None and self.frames is not None:
            most = self.frames + BEYOND
            return most if estimate is None else min(most, estimate)
        return estimate

    def passed(self, stamps: Sequence[int | None]) -> bool:
        """Return whether all requested frames, and `BEYOND` more, have been seen."""
        if self.frames is None and self.end is None:
            return False
        if len(stamps) <= BEYOND:
            return False
        if self.start is None and self.frames is not None and len(stamps) >= self.frames + BEYOND:
            return True
        latest = self._seconds(stamps, len(stamps) - 1 - BEYOND)
        if self.end is not None and latest > self.end:
            return True
        if self.frames is None or self.start is None:
            return False
        inside = len(stamps) - BEYOND - self.frames
        return inside >= 0 and self._seconds(stamps, inside) >= self.start

    def _seconds(self, stamps: Sequence[int | None], index: int) -> Fraction:
        stamp = stamps[index]
        passed = self.step * index if stamp is None else stamp - self._origin(stamps)
        return passed * self.time_base

    def _origin(self, stamps: Iterable[int | None]) -> int:
        if self.origin is not None:
            return self.origin
        return next((p for p in stamps if p is not None), 0)

    def _reach(self, pts: Sequence[int], origin: int, seconds: Fraction) -> int:
        """Return the index of the first frame at or after a time."""
        return bisect_left(pts, origin + math.ceil(seconds / self.time_base))

    def select(self, pts: Sequence[int]) -> tuple[int, int]:
        """Return the requested frames: index of the first, and one past the last."""
        first, stop, origin = 0, len(pts), self._origin(pts)
        if self.start:
            first = self._reach(pts, origin, self.start)
        if self.end is not None:
            stop = self._reach(pts, origin, self.end)
        if self.frames is not None:
            stop = min(stop, first + self.frames)
        return first, max(first, stop)


@dataclass
class Survey:
    """The facts about frames that a scan collects: a few bytes for each frame."""

    info: SourceInfo
    scenes: bool
    stamps: list[int | None] = field(default_factory=list)
    cuts: list[int] = field(default_factory=list)
    fields: FieldStatistics = field(default_factory=FieldStatistics)
    checks: str = ""
    duration: int | None = None
    """Duration of the last frame, as its packet states it."""
    end: int | None = None
    """End of the track in its time base."""
    errors: int = 0
    """Places that could not be decoded."""
    corrupt: int = 0
    """Frames that the decoder marked as corrupt."""
    complete: bool = True
    """Whether the end was reached."""
    whole: bool = False
    """Whether the file was read from its beginning to its end."""
    clean_start: bool = False
    """Whether the first picture was an intact key frame."""
    in_order: bool = True
    """Whether each frame has a timestamp, later than the one before."""
    longest_step: int = 0
    changes: list[str] = field(default_factory=list)
    shapes: list[tuple[int, Fraction]] = field(default_factory=list)
    """As in `Scan`, relative to the first frame seen."""
    first_aspect: Fraction | None = None
    """Sample aspect ratio of the file's first frame, if that is not the first one seen."""
    _detector: CutDetector = field(default_factory=CutDetector)
    _checks: io.StringIO = field(default_factory=io.StringIO)
    _size: tuple[int, int] = (0, 0)
    _color: ColorSpec | None = None
    _small: SmallLuma = field(default_factory=SmallLuma)

    @property
    def damage(self) -> int:
        """Number of errors and corrupt pictures."""
        return self.errors + self.corrupt

    def push(self, frame: VideoFrame, aspect: Fraction) -> None:
        """Add the next frame; `aspect` is width over height of its pixels."""
        if not self.stamps:
            self.clean_start = frame.key_frame and not frame.is_corrupt
        self._note_changes(frame)
        self._note_step(frame.pts)
        self._note_shape(frame, aspect)
        self.stamps.append(frame.pts)
        self.duration = frame.duration or None
        self.corrupt += frame.is_corrupt
        self._checks.write(checksum(frame))
        if self.scenes:
            self.cuts += self._detector.push(self._small.of(frame))
        self.fields.push(frame)

    def _note_step(self, pts: int | None) -> None:
        before = self.stamps[-1] if self.stamps else None
        if pts is None or (before is not None and pts <= before):
            self.in_order = False
        elif before is not None:
            self.longest_step = max(self.longest_step, pts - before)

    def finish(self) -> None:
        """Complete checksums and cuts after the last frame."""
        self.checks = self._checks.getvalue()
        if self.scenes and self.stamps:
            self.cuts += self._detector.flush()

    def _note_changes(self, frame: VideoFrame) -> None:
        size = frame.width, frame.height
        color = color_of(frame, siting=self.info.color.siting, default=self.info.color)
        color = replace(color, guessed=())
        number = len(self.stamps)
        if self._color is None:
            self._size, self._color = self.info.decoded_size, color
        if size != self._size:
            first = "{}x{}".format(*self.info.decoded_size)
            self.changes.append(
                f"frame {number}: pictures are {size[0]}x{size[1]} from here, scaled to {first}"
                if size != self.info.decoded_size
                else f"frame {number}: pictures are {first} again"
            )
        if color != self._color:
            self.changes.append(
                f"frame {number}: colour tags change ({_difference(self._color, color)}); "
                "the output is tagged like the beginning"
            )
        self._size, self._color = size, color

    def _note_shape(self, frame: VideoFrame, aspect: Fraction) -> None:
        if self.first_aspect is None:
            self.first_aspect = aspect
        if (
            demuxer_row(self.info.container).one_shape
            or self.first_aspect != self.info.sample_aspect_ratio
        ):
            return  # players use the shape that the container states
        width, height = self.info.decoded_size
        first = self.first_aspect * Fraction(width, height)
        shape = aspect * Fraction(frame.width, frame.height)
        wider = shape / first if abs(shape / first - 1) > SAME else Fraction(1)
        if wider == (self.shapes[-1][1] if self.shapes else 1):
            return
        number = len(self.stamps)
        self.shapes.append((number, wider))
        self.changes.append(
            f"frame {number}: pictures are shown as {_ratio(shape)} from here, not as "
            f"{_ratio(first)}: fitted in between black bars"
            if wider != 1
            else f"frame {number}: pictures are shown as {_ratio(first)} again"
        )

    def notes(self) -> Iterator[str]:
        """Yield notes on damage, and on changes of size, shape and colour."""
        if self.errors:
            yield f"{self.errors} damaged places skipped: what can be decoded is kept"
        if self.corrupt:
            yield f"{self.corrupt} frames are damaged in the source"
        yield from self.changes[:5]
        if len(self.changes) > 5:
            yield f"and {len(self.changes) - 5} more changes of size, shape or colour"


def _ratio(shape: Fraction) -> str:
    near = shape.limit_denominator(20)
    return f"{near.numerator}:{near.denominator}"


def _difference(old: ColorSpec, new: ColorSpec) -> str:
    pairs = (
        ("matrix", old.matrix, new.matrix),
        ("range", _range(old), _range(new)),
        ("primaries", old.primaries, new.primaries),
        ("transfer", old.transfer, new.transfer),
    )
    return ", ".join(f"{name} {a} to {b}" for name, a, b in pairs if a != b)


def _range(spec: ColorSpec) -> str:
    return "full" if spec.full_range else "limited"
