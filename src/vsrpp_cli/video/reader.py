"""Video files as sources of frames: one pass that finds out all about them, and exact reading."""

import hashlib
import os
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from av.video.frame import VideoFrame
from av.video.reformatter import Interpolation, VideoReformatter

from vsrpp_cli.errors import InputError, UsageError
from vsrpp_cli.video.color import frame_to_alpha, frame_to_rgb, supported_matrix
from vsrpp_cli.video.decode import TrackDecoder
from vsrpp_cli.video.deinterlace import FieldStatistics, deinterlaced
from vsrpp_cli.video.probe import FALLBACK_RATE, probe, usual_rate
from vsrpp_cli.video.scenes import ANALYSIS_SIZE, CutDetector
from vsrpp_cli.video.tags import color_of
from vsrpp_cli.video.timing import last_duration, repair, usual_step
from vsrpp_cli.video.types import ColorSpec, Frame, Scan, SourceInfo

OnProgress = Callable[[int, int | None], None]

SEEK_BACK = (1, 8, 40, 250)
"""Frames before the wanted one to aim at, in turn, until only the beginning is left."""
NEAR = 24
"""Frames from the beginning up to which seeking is not worth it."""
CHECK_ROWS = 4
"""Every n-th row counts for a frame's checksum."""
BEYOND = 8
"""Frames decoded behind the last one wanted, in case timestamps are out of order."""
SHORT_SECONDS = Fraction(1, 2)
"""Missing time below which a header's rounding may be to blame."""
SAMPLES, SAMPLE_BYTES = 16, 1 << 16


class VideoSource:
    """One video track of a file, as a `FrameSource`.

    Args:
        path: the file.
        video_track: which of its video tracks, counted from 0; None for the first real one.
        deinterlace: `auto`, `off` or `bwdif`.
        threads: decoder threads; None for FFmpeg's choice.

    Raises:
        InputError: it holds no video that can be decoded.
        UsageError: there is no such track.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        video_track: int | None = None,
        deinterlace: str = "auto",
        threads: int | None = None,
    ) -> None:
        self.path = os.fspath(path)
        self.info: SourceInfo = probe(self.path, video_track=video_track)
        self._deinterlace = deinterlace
        self._threads = threads
        if not supported_matrix(self.info.color.matrix):
            raise InputError(
                f"{self.path}: colour matrix {self.info.color.matrix!r} is not supported: "
                "convert the video to bt709 or bt2020nc first"
            )

    def scan(
        self,
        *,
        on_progress: OnProgress | None = None,
        scenes: bool = True,
        start: Fraction | None = None,
        end: Fraction | None = None,
        frames: int | None = None,
    ) -> Scan:
        """Decode the file once and return which frames it has; see `FrameSource.scan`.

        Raises:
            InputError: nothing can be decoded.
            UsageError: nothing is left between `start` and `end`.
        """
        window = _Window(start, end, frames, self._step(), self.info.time_base)
        survey = self._survey(window, scenes, on_progress, self._threads)
        if survey.damage and self._threads != 1:
            # Several threads conceal damage differently each time, one does not.
            survey = self._survey(window, scenes, on_progress, 1)
        if not survey.stamps:
            raise InputError(f"{self.path}: no picture can be decoded")
        return self._conclude(survey, window)

    def _step(self) -> int:
        """Return the usual distance of frames in units of the time base, as the header has it."""
        return max(1, round(1 / (self.info.frame_rate or FALLBACK_RATE) / self.info.time_base))

    def _survey(
        self,
        window: "_Window",
        scenes: bool,
        on_progress: OnProgress | None,
        threads: int | None,
    ) -> "_Survey":
        survey = _Survey(self.info, scenes=scenes)
        total = window.total(self.info.frame_estimate)
        with TrackDecoder(self.path, self.info.stream_index, threads=threads) as decoder:
            for frame in decoder.frames():
                survey.push(frame)
                if on_progress is not None:
                    on_progress(len(survey.stamps), total)
                if window.passed(survey.stamps):
                    survey.complete = False
                    break
            survey.errors = decoder.errors
            if (
                survey.complete
                and decoder.stream.duration
                and decoder.stream.start_time is not None
            ):
                survey.end = decoder.stream.start_time + decoder.stream.duration
        survey.finish()
        return survey

    def _conclude(self, survey: "_Survey", window: "_Window") -> Scan:
        verdict = survey.fields.decide(self._deinterlace)
        known = [p for p in survey.stamps if p is not None]
        step = usual_step(known, self._step())
        if len(known) < len(survey.stamps) // 2:
            step = self._step()
        second = max(1, round(1 / self.info.time_base))
        pts, notes = repair(survey.stamps, step=step, second=second)
        first, stop = window.select(pts)
        if first == stop:
            raise UsageError(f"{self.path}: no frame between --start and --end")
        chosen = pts[first:stop]
        following = pts[stop] if stop < len(pts) else None
        seekable = list(pts) == survey.stamps
        scan = Scan(
            pts=chosen,
            last_duration=last_duration(
                chosen, following, survey.end if seekable else None, survey.duration, step
            ),
            cuts=tuple(cut - first for cut in survey.cuts if first < cut < stop),
            notes=(*survey.notes(), *notes, *self._shortfall(survey, pts, step), *verdict.notes),
            first=first,
            seekable=seekable,
            checks=survey.checks[4 * first : 4 * stop],
            damaged=survey.damage > 0,
            filters=verdict.filters,
        )
        self.info = replace(
            self.info,
            interlaced=verdict.kind,
            filters=verdict.filters,
            frame_rate=self.info.frame_rate or usual_rate(1 / (step * self.info.time_base)),
        )
        return scan

    def _shortfall(self, survey: "_Survey", pts: Sequence[int], step: int) -> Iterator[str]:
        """Say so where a file ends long before it claims to."""
        claimed = self.info.duration
        found = (pts[-1] - pts[0] + step) * self.info.time_base
        if survey.complete and claimed and claimed - found > max(SHORT_SECONDS, claimed / 50):
            yield (
                f"the pictures end at {float(found):.2f} s (frame {len(pts) - 1}), the file claims "
                f"{float(claimed):.2f} s: cut short or damaged; what can be decoded is kept"
            )

    def read(self, scan: Scan, start: int, stop: int) -> Iterator[Frame]:
        """Yield frames `start:stop` of a scan, exactly those of a linear pass.

        Raises:
            InputError: the file is not the one that was scanned.
        """
        # A deinterlaced picture depends on its neighbours.
        margin = 1 if scan.filters else 0
        low, high = max(0, start - margin), min(scan.frames, stop + margin)
        pictures = deinterlaced(self._exact(scan, low, high), scan.filters)
        converter = _Converter(self.info)
        for index, picture in enumerate(pictures, low):
            if start <= index < stop:
                yield Frame(scan.pts[index], *converter.convert(picture))

    def _exact(self, scan: Scan, start: int, stop: int) -> Iterator[VideoFrame]:
        """Yield decoded pictures `start:stop` of a scan."""
        position = start
        for back in (*SEEK_BACK, None) if scan.seekable else (None,):
            if back is not None and position - back + scan.first < NEAR:
                continue
            with self._open(scan) as decoder:
                found = (
                    self._from_beginning(decoder, scan, position)
                    if back is None
                    else _from_seek(decoder, scan, position, back)
                )
                for picture in found:
                    if position == stop:
                        return
                    yield picture
                    position += 1
            if position == stop:
                return
        raise self._changed(position)

    def _open(self, scan: Scan) -> TrackDecoder:
        threads = 1 if scan.damaged else self._threads
        return TrackDecoder(self.path, self.info.stream_index, threads=threads)

    def _from_beginning(
        self, decoder: TrackDecoder, scan: Scan, start: int
    ) -> Iterator[VideoFrame]:
        """Yield pictures from `start` on, by counting."""
        for index, picture in enumerate(decoder.frames(), -scan.first):
            if index >= scan.frames:
                return
            if scan.seekable and index >= 0 and picture.pts != scan.pts[index]:
                raise self._changed(index)
            if index >= start:
                yield picture

    def _changed(self, index: int) -> InputError:
        return InputError(f"{self.path}: has changed since it was scanned (at frame {index})")

    def fingerprint(self) -> dict[str, Any]:
        """Return size, hashes of samples, and what the stream is: JSON values."""
        size = Path(self.path).stat().st_size
        samples = []
        with Path(self.path).open("rb") as file:
            for k in range(SAMPLES):
                file.seek(max(0, size - SAMPLE_BYTES) * k // (SAMPLES - 1))
                samples.append(hashlib.sha256(file.read(SAMPLE_BYTES)).hexdigest()[:16])
        info = self.info
        return {
            "kind": "video",
            "size": size,
            "samples": samples,
            "stream": f"{info.stream_index} {info.codec} {info.width}x{info.height} {info.pix_fmt} "
            f"{info.time_base}",
        }


def _from_seek(decoder: TrackDecoder, scan: Scan, start: int, back: int) -> Iterator[VideoFrame]:
    """Yield pictures from `start` on as long as they are proven to be the right ones."""
    step = max(1, usual_step(scan.pts[max(0, start - 50) : start + 50], 1))
    aim = scan.pts[start - back] if start >= back else scan.pts[0] - step * (back - start)
    if not decoder.seek(aim):
        return
    index = start
    for picture in decoder.frames():
        if picture.pts is None:
            return
        if index == start and picture.pts < scan.pts[start]:
            continue
        if index >= scan.frames or picture.pts != scan.pts[index]:
            return
        if scan.checks and checksum(picture) != scan.checks[4 * index : 4 * index + 4]:
            return
        yield picture
        index += 1


def checksum(frame: VideoFrame) -> str:
    """Return four hexadecimal digits made from some of the rows of a picture's first plane."""
    plane = frame.planes[0]
    if plane.line_size <= 0:
        return "0000"
    packed = len(frame.planes) == 1
    bits = frame.format.padded_bits_per_pixel if packed else frame.format.components[0].bits
    rows = np.frombuffer(memoryview(plane), np.uint8).reshape(plane.height, plane.line_size)
    used = min(plane.line_size, plane.width * -(-bits // 8))
    return f"{zlib.crc32(rows[::CHECK_ROWS, :used].tobytes()) & 0xFFFF:04x}"


@dataclass(frozen=True)
class _Window:
    """The part of a video that was asked for."""

    start: Fraction | None
    end: Fraction | None
    frames: int | None
    step: int
    time_base: Fraction

    def total(self, estimate: int | None) -> int | None:
        """Return how many frames will be decoded, as far as that is known."""
        if self.start is None and self.frames is not None:
            most = self.frames + BEYOND
            return most if estimate is None else min(most, estimate)
        return estimate

    def passed(self, stamps: Sequence[int | None]) -> bool:
        """Return whether the frames so far are enough, some more to be sure."""
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
        first = next((p for p in stamps if p is not None), 0)
        stamp = stamps[index]
        return (self.step * index if stamp is None else stamp - first) * self.time_base

    def select(self, pts: Sequence[int]) -> tuple[int, int]:
        """Return which frames are asked for, first and one past the last."""
        first, stop = 0, len(pts)
        seconds = [(p - pts[0]) * self.time_base for p in pts] if self.start or self.end else []
        if self.start:
            first = next((i for i, s in enumerate(seconds) if s >= self.start), len(pts))
        if self.end is not None:
            stop = next((i for i, s in enumerate(seconds) if s >= self.end), len(pts))
        if self.frames is not None:
            stop = min(stop, first + self.frames)
        return first, max(first, stop)


@dataclass
class _Survey:
    """What is kept of each frame while a file is scanned: a few bytes."""

    info: SourceInfo
    scenes: bool
    stamps: list[int | None] = field(default_factory=list)
    cuts: list[int] = field(default_factory=list)
    fields: FieldStatistics = field(default_factory=FieldStatistics)
    checks: str = ""
    duration: int | None = None
    """The last frame's own."""
    end: int | None = None
    """Where the track ends, in its time base."""
    errors: int = 0
    corrupt: int = 0
    complete: bool = True
    changes: list[str] = field(default_factory=list)
    _detector: CutDetector = field(default_factory=CutDetector)
    _checks: list[str] = field(default_factory=list)
    _size: tuple[int, int] = (0, 0)
    _color: ColorSpec | None = None
    _small: VideoReformatter = field(default_factory=VideoReformatter)

    @property
    def damage(self) -> int:
        """Errors and pictures that the decoder calls corrupt."""
        return self.errors + self.corrupt

    def push(self, frame: VideoFrame) -> None:
        """Take the next frame."""
        self._note_changes(frame)
        self.stamps.append(frame.pts)
        self.duration = frame.duration or None
        self.corrupt += frame.is_corrupt
        self._checks.append(checksum(frame))
        if self.scenes:
            self.cuts += self._detector.push(self._luma(frame))
        self.fields.push(frame)

    def finish(self) -> None:
        """Collect what is still undecided."""
        self.checks = "".join(self._checks)
        if self.scenes and self.stamps:
            self.cuts += self._detector.flush()

    def _luma(self, frame: VideoFrame) -> np.ndarray[Any, np.dtype[np.uint8]]:
        height, width = ANALYSIS_SIZE
        small = self._small.reformat(
            frame, width, height, "gray", interpolation=Interpolation.AREA, threads=1
        )
        luma = np.frombuffer(memoryview(small.planes[0]), np.uint8)
        return luma.reshape(height, small.planes[0].line_size)[:, :width].copy()

    def _note_changes(self, frame: VideoFrame) -> None:
        size = frame.width, frame.height
        color = color_of(frame, siting=self.info.color.siting, default=self.info.color)
        color = replace(color, guessed=())
        number = len(self.stamps)
        if self._color is None:
            self._size, self._color = (self.info.width, self.info.height), color
        if size != self._size:
            first = f"{self.info.width}x{self.info.height}"
            self.changes.append(
                f"frame {number}: pictures are {size[0]}x{size[1]} from here, scaled to {first}"
                if size != (self.info.width, self.info.height)
                else f"frame {number}: pictures are {first} again"
            )
        if color != self._color:
            self.changes.append(
                f"frame {number}: colour tags change ({_difference(self._color, color)}); "
                "the output is tagged like the beginning"
            )
        self._size, self._color = size, color

    def notes(self) -> Iterator[str]:
        """Say what was found damaged, missing or changing."""
        if self.errors:
            yield f"{self.errors} damaged places skipped: what can be decoded is kept"
        if self.corrupt:
            yield f"{self.corrupt} frames are damaged in the source"
        yield from self.changes[:5]
        if len(self.changes) > 5:
            yield f"and {len(self.changes) - 5} more changes of size or colour"


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


class _Converter:
    """Turns decoded pictures into RGB of the source's size."""

    def __init__(self, info: SourceInfo) -> None:
        self._info = info
        self._scaler = VideoReformatter()

    def convert(self, frame: VideoFrame) -> tuple[Any, Any]:
        """Return RGB (3, H, W) and alpha (H, W) or None, both float32 in [0, 1]."""
        info = self._info
        spec = color_of(frame, siting=info.color.siting, default=info.color)
        if (frame.width, frame.height) != (info.width, info.height):
            flags = Interpolation.LANCZOS | Interpolation.ACCURATE_RND
            frame = self._scaler.reformat(
                frame, info.width, info.height, interpolation=flags, threads=1
            )
        return frame_to_rgb(frame, spec), frame_to_alpha(frame) if info.has_alpha else None
