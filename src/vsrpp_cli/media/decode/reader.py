"""Video files as sources of frames: a scan in one pass, then exact reading from anywhere."""

import hashlib
import os
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from av.video.frame import VideoFrame
from av.video.reformatter import Interpolation, VideoReformatter

from vsrpp_cli.errors import InputError
from vsrpp_cli.media.color.convert import frame_to_alpha, frame_to_rgb, supported_matrix
from vsrpp_cli.media.color.tags import color_of
from vsrpp_cli.media.decode.clock import Clock, end_of, nominal_step
from vsrpp_cli.media.decode.decoding import TrackDecoder
from vsrpp_cli.media.decode.deinterlace import deinterlaced
from vsrpp_cli.media.decode.pixel_shape import PixelShapes
from vsrpp_cli.media.decode.probe import probe, usual_rate
from vsrpp_cli.media.decode.scan import Survey, Window, checksum
from vsrpp_cli.media.decode.timestamp_repair import Repaired, usual_step
from vsrpp_cli.media.demuxer_table import demuxer_row
from vsrpp_cli.media.part import no_frame
from vsrpp_cli.media.types import Frame, Scan, SourceInfo
from vsrpp_cli.options import Deinterlace
from vsrpp_cli.resample import FloatArray, resize

OnProgress = Callable[[int, int | None], None]
"""Called with the number of frames seen and the estimated total."""

SEEK_BACK = (1, 8, 40, 250)
"""Distances in frames before the wanted one to which to seek, tried in order; after these, reading
starts at the beginning."""
SEARCH_BACK = (60, 250)
"""The same where timestamps were repaired, so that the frame is found by checksums."""
SEARCH_FRAMES = (8, 32)
"""Numbers of consecutive frames whose checksums may identify a position."""
NEAR = 24
"""First frames, to which seeking is not worthwhile."""
PREROLL_SECONDS = 12
"""How long before `start` a scan begins: longer than most encoders need to recover."""
SHORT_SECONDS = Fraction(1, 2)
"""Missing time up to this may be due to a rounded header."""
SAMPLES, SAMPLE_BYTES = 16, 1 << 16
"""Number and size of the parts of a file that are hashed for its fingerprint."""


class VideoSource:
    """One video track of a file, as a `FrameSource`.

    Args:
        path: the file.
        video_track: number of the video track, from 0; None for the first one that is no cover.
        deinterlace: `auto`, `off` or `bwdif`.
        threads: decoder threads; None for FFmpeg's choice.

    Raises:
        InputError: it has no video that can be decoded.
        UsageError: there is no such track.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        video_track: int | None = None,
        deinterlace: Deinterlace = "auto",
        threads: int | None = None,
    ) -> None:
        self.path = os.fspath(path)
        self.info: SourceInfo = probe(self.path, video_track=video_track)
        self._deinterlace = deinterlace
        self._threads = threads
        self._clock = Clock(self.info)
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
        window = Window(start, end, frames, nominal_step(self.info), self.info.time_base)
        if start is not None and start > 2 * PREROLL_SECONDS:
            scan = self._scan_from(window, scenes, on_progress)
            if scan is not None:
                return scan
        survey = Survey(self.info, scenes=scenes)
        self._look(survey, window, on_progress, self._threads)
        if survey.damage and self._threads != 1:
            # Several threads conceal damage differently each time; one thread does not.
            survey = Survey(self.info, scenes=scenes)
            self._look(survey, window, on_progress, 1)
        if not survey.stamps:
            raise InputError(f"{self.path}: no picture can be decoded")
        return self._conclude(survey, window)

    def _scan_from(
        self, window: Window, scenes: bool, on_progress: OnProgress | None
    ) -> Scan | None:
        """Scan from shortly before the start; None if the result may differ from a full scan."""
        assert window.start is not None
        with self._decoder(1) as decoder:
            first = next(decoder.frames(), None)
            if first is None or first.pts is None:
                return None
            aspect = PixelShapes(decoder.stream).of(first)
        near = window.start - PREROLL_SECONDS
        aim = first.pts + round(near / self.info.time_base)
        window = replace(window, origin=first.pts)
        survey = Survey(self.info, scenes=scenes, first_aspect=aspect)
        self._look(survey, window, on_progress, self._threads, aim)
        known = [p for p in survey.stamps if p is not None]
        if survey.damage or not known or len(known) < len(survey.stamps) or known[0] > aim:
            return None
        if not survey.in_order or not survey.clean_start:
            return None
        if self._clock.jumps_before(aim):
            return None
        return self._conclude(survey, window)

    def _decoder(self, threads: int | None) -> TrackDecoder:
        return TrackDecoder(self.path, self.info.stream_index, threads=threads)

    def _look(
        self,
        survey: Survey,
        window: Window,
        on_progress: OnProgress | None,
        threads: int | None,
        aim: int | None = None,
    ) -> None:
        """Pass the frames of a window to a survey, from the timestamp `aim` on."""
        total = window.total(self.info.frame_estimate)
        with self._decoder(threads) as decoder:
            if aim is not None and not decoder.seek(aim):
                return
            shapes = PixelShapes(decoder.stream)
            for frame in decoder.frames():
                survey.push(frame, shapes.of(frame))
                if on_progress is not None:
                    on_progress(len(survey.stamps), total)
                if self._clock.has_seen_enough(survey, window):
                    survey.complete = False
                    break
            survey.errors = decoder.errors
            survey.whole = survey.complete and aim is None
            survey.end = end_of(decoder, whole=aim is None) if survey.complete else None
        survey.finish()

    def _conclude(self, survey: Survey, window: Window) -> Scan:
        verdict = survey.fields.decide(self._deinterlace)
        repaired = self._clock.repaired(survey)
        pts = repaired.pts
        first, stop = window.select(pts)
        if first == stop:
            passed = pts[-1] - (pts[0] if window.origin is None else window.origin)
            raise no_frame(self.path, window.start, passed * window.time_base)
        chosen = pts[first:stop]
        following = pts[stop] if stop < len(pts) else None
        stay = self._clock.last_duration(chosen, following, survey, repaired)
        origin = self._clock.origin(pts[0] if window.origin is None else window.origin)
        scan = Scan(
            pts=chosen,
            last_duration=stay,
            cuts=tuple(cut - first for cut in survey.cuts if first < cut < stop),
            notes=(
                *survey.notes(),
                *repaired.notes,
                *(() if window.start else self._clock.origin_note(origin)),
                *self._shortfall(survey, repaired, stay),
                *verdict.notes,
            ),
            first=first,
            seekable=list(pts) == survey.stamps,
            checks=survey.checks[4 * first : 4 * stop],
            damaged=survey.damage > 0,
            filters=verdict.filters,
            origin=origin,
            jumps=repaired.jumps,
            shapes=_shapes(survey.shapes, first, stop),
        )
        step = self._clock.limits(survey).step
        self.info = replace(
            self.info,
            interlaced=verdict.kind,
            frame_rate=self.info.frame_rate or usual_rate(1 / (step * self.info.time_base)),
        )
        return scan

    def _shortfall(self, survey: Survey, repaired: Repaired, stay: int) -> Iterator[str]:
        """Yield a note if a file ends long before its stated end."""
        claimed, pts = self.info.duration, repaired.pts
        if repaired.jumps or repaired.strays:
            return  # the stated duration is based on wrong timestamps
        zero = 0 if demuxer_row(self.info.container).states_end else pts[0]
        found = (pts[-1] - zero + stay) * self.info.time_base
        if survey.whole and claimed and claimed - found > max(SHORT_SECONDS, claimed / 50):
            yield (
                f"the pictures end at {float(found):.2f} s (frame {len(pts) - 1}), the file claims "
                f"{float(claimed):.2f} s: cut short or damaged; what can be decoded is kept"
            )

    def read(self, scan: Scan, start: int, stop: int) -> Iterator[Frame]:
        """Yield frames `start:stop` of a scan, identical to those of a pass from the beginning.

        Raises:
            InputError: the file has changed since it was scanned.
        """
        # A deinterlaced picture depends on its neighbours.
        margin = 1 if scan.filters else 0
        low, high = max(0, start - margin), min(scan.frames, stop + margin)
        pictures = deinterlaced(self._exact(scan, low, high), scan.filters)
        converter = Converter(self.info, scan.shapes)
        for index, picture in enumerate(pictures, low):
            if start <= index < stop:
                yield Frame(scan.pts[index], *converter.convert(picture, index))

    def _exact(self, scan: Scan, start: int, stop: int) -> Iterator[VideoFrame]:
        """Yield decoded pictures `start:stop` of a scan."""
        position = start
        for back in (*(SEEK_BACK if scan.seekable else SEARCH_BACK), None):
            if back is not None and position - back + scan.first < NEAR:
                continue
            with self._open(scan) as decoder:
                if back is None:
                    found = self._from_beginning(decoder, scan, position)
                elif scan.seekable:
                    found = _from_seek(decoder, scan, position, back)
                else:
                    found = _from_search(decoder, scan, position, back)
                for picture in found:
                    if position == stop:
                        return
                    yield picture
                    position += 1
            if position == stop:
                return
        raise self._changed(position)

    def _open(self, scan: Scan) -> TrackDecoder:
        return self._decoder(1 if scan.damaged else self._threads)

    def _from_beginning(
        self, decoder: TrackDecoder, scan: Scan, start: int
    ) -> Iterator[VideoFrame]:
        """Yield pictures from `start` on, found by timestamp, or by counting if those are wrong."""
        index = start
        for count, picture in enumerate(decoder.frames(), -scan.first):
            if index >= scan.frames:
                return
            if scan.seekable:
                if index == start and picture.pts is not None and picture.pts < scan.pts[start]:
                    continue
                if picture.pts != scan.pts[index]:
                    raise self._changed(index)
            elif count < start:
                continue
            yield picture
            index += 1

    def _changed(self, index: int) -> InputError:
        return InputError(f"{self.path}: has changed since it was scanned (at frame {index})")

    def fingerprint(self) -> dict[str, Any]:
        """Return size, hashes of samples, and facts about the stream, as JSON values."""
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
    """Yield pictures from `start` on while timestamps and checksums match the scan."""
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


def _from_search(decoder: TrackDecoder, scan: Scan, start: int, back: int) -> Iterator[VideoFrame]:
    """Yield pictures from `start` on, found by the checksums of the frames before."""
    before = _unique_before(scan, start)
    if before is None or start < back or not decoder.seek(scan.in_source(start - back)):
        return
    seen = ""
    index = start
    for count, picture in enumerate(decoder.frames()):
        check = checksum(picture)
        if index > start or seen.endswith(before):
            if check != scan.checks[4 * index : 4 * index + 4]:
                return
            yield picture
            index += 1
        elif count > 2 * back + len(before):
            return
        else:
            seen = seen[-len(before) :] + check


def _unique_before(scan: Scan, start: int) -> str | None:
    """Return the checksums of the frames before `start` if unique in the scan, else None."""
    for count in SEARCH_FRAMES:
        before = scan.checks[4 * max(0, start - count) : 4 * start]
        places = re.finditer(f"(?={before})", scan.checks)
        if start >= count and sum(place.start() % 4 == 0 for place in places) == 1:
            return before
    return None


def _shapes(
    found: Sequence[tuple[int, Fraction]], first: int, stop: int
) -> tuple[tuple[int, Fraction], ...]:
    """Return the changes of shape in frames `first:stop`, with indices relative to `first`."""
    before = [wider for index, wider in found if index <= first][-1:]
    start = [(0, wider) for wider in before if wider != 1]
    return (*start, *((i - first, wider) for i, wider in found if first < i < stop))


class Converter:
    """Converts decoded pictures to RGB in the size and shape of the source."""

    def __init__(self, info: SourceInfo, shapes: Sequence[tuple[int, Fraction]]) -> None:
        self._info = info
        self._shapes = shapes
        self._scaler = VideoReformatter()

    def convert(self, frame: VideoFrame, index: int) -> tuple[Any, Any]:
        """Return RGB (3, H, W) and alpha (H, W) or None, both float32 in [0, 1].

        Args:
            frame: as decoded.
            index: of the frame in the scan.
        """
        info = self._info
        spec = color_of(frame, siting=info.color.siting, default=info.color)
        if (frame.width, frame.height) != info.decoded_size:
            flags = Interpolation.LANCZOS | Interpolation.ACCURATE_RND
            frame = self._scaler.reformat(frame, *info.decoded_size, interpolation=flags, threads=1)
        alpha = frame_to_alpha(frame) if info.has_alpha else None
        wider = [wider for start, wider in self._shapes if start <= index][-1:] or [Fraction(1)]
        return self._fitted(frame_to_rgb(frame, spec), wider[0]), (
            None if alpha is None else self._fitted(alpha, wider[0])
        )

    def _fitted(self, picture: FloatArray, wider: Fraction) -> FloatArray:
        """Return a picture (..., H, W) cropped, with black bars if its shape differs."""
        left, right, top, bottom = self._info.crop
        height, width = picture.shape[-2:]
        picture = picture[..., top : height - bottom, left : width - right]
        height, width = picture.shape[-2:]
        if wider == 1:
            return np.ascontiguousarray(picture)
        inner = round(height / max(wider, 1)), round(width * min(wider, 1))
        y, x = (height - inner[0]) // 2, (width - inner[1]) // 2
        framed = np.zeros_like(picture, order="C")
        framed[..., y : y + inner[0], x : x + inner[1]] = resize(picture, *inner)
        return framed
