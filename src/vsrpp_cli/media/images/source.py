"""Folders of frames, patterns and single images as sources of frames.

Frames are found by their file names; the format of a file is determined by its first bytes.
"""

import glob
import hashlib
import os
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from vsrpp_cli.errors import InputError
from vsrpp_cli.media.decode.scenes import CutDetector, small_luma
from vsrpp_cli.media.images.headers import read_header
from vsrpp_cli.media.images.pixels import encoder_format, read_image
from vsrpp_cli.media.images.timestamps_file import NAME as TIMESTAMPS
from vsrpp_cli.media.images.timestamps_file import Timestamps, read_timestamps, usual_rate
from vsrpp_cli.media.part import no_frame
from vsrpp_cli.media.suffixes import IMAGE_SUFFIXES
from vsrpp_cli.media.types import ASSUMED_RATE, ColorSpec, Frame, Loss, Scan, SourceInfo, Timing

OnProgress = Callable[[int, int | None], None]
"""Called with the number of frames done and their total."""

COUNTER = re.compile(r"%(0(\d+))?d")


def is_image_input(path: str | os.PathLike[str]) -> bool:
    """Return whether `path` is a folder, an image, or a pattern of images."""
    text = os.fspath(path)
    if Path(text).exists():
        return Path(text).is_dir() or Path(text).suffix.lower() in IMAGE_SUFFIXES
    return Path(text).suffix.lower() in IMAGE_SUFFIXES and _is_pattern(text)


def _is_pattern(text: str) -> bool:
    return bool(COUNTER.search(Path(text).name)) or glob.has_magic(text)


def natural_key(name: str) -> tuple[list[tuple[int, int, str]], str]:
    """Return a sort key with which `frame_2` precedes `frame_10`."""
    parts = re.split(r"(\d+)", name.casefold())
    return [(1, int(p), "") if p.isdecimal() else (0, 0, p) for p in parts], name


def find_frames(path: str) -> list[Path]:
    """Return the files of a folder, pattern or image path, in natural order.

    Raises:
        InputError: there are none.
    """
    given = Path(path)
    if given.is_dir():
        found = [p for p in given.iterdir() if p.suffix.lower() in IMAGE_SUFFIXES]
        missing = (
            f"{path}: no frames in this folder (PNG, JPEG, TIFF, BMP or WebP); "
            "for a folder of videos there is vsrpp batch"
        )
    elif given.exists():
        return [given]
    elif COUNTER.search(given.name):
        found = [p for p in _entries(given.parent) if _counter_regex(given.name).fullmatch(p.name)]
        missing = f"{path}: no file fits this pattern"
    elif glob.has_magic(path):
        found = [
            Path(p)
            for p in glob.glob(path)  # noqa: PTH207 - Path.glob refuses absolute patterns
            if Path(p).suffix.lower() in IMAGE_SUFFIXES
        ]
        missing = f"{path}: no image fits this pattern"
    else:
        raise InputError(f"{path}: no such file or folder")
    frames = [p for p in found if p.is_file() and not p.name.startswith(".")]
    if not frames:
        raise InputError(missing)
    return sorted(frames, key=lambda p: natural_key(p.name if given.is_dir() else str(p)))


def _entries(folder: Path) -> list[Path]:
    return list(folder.iterdir()) if folder.is_dir() else []


def _counter_regex(name: str) -> re.Pattern[str]:
    """Return the regular expression for names like `frame_%05d.png`; more digits are allowed."""
    match = COUNTER.search(name)
    assert match
    digits = rf"\d{{{match[2]},}}" if match[2] else r"\d+"
    return re.compile(re.escape(name[: match.start()]) + digits + re.escape(name[match.end() :]))


def frame_names(files: Sequence[Path], suffix: str) -> list[str]:
    """Return the output's file names: the stems of the input `files` with a new `suffix`.

    If stems are not unique (`a.png` and `a.jpg`), the suffix is added to the whole name.
    """
    repeated = Counter(p.stem.casefold() for p in files).most_common(1)[0][1] > 1
    return [(p.name if repeated else p.stem) + suffix for p in files]


def numbering_notes(files: Sequence[Path]) -> list[str]:
    """Return a note if numbers are missing between the first and the last frame, else nothing."""
    numbers = []
    for path in files:
        digits = re.findall(r"\d+", path.stem)
        if not digits:
            return []
        numbers.append(int(digits[-1]))
    steps = [b - a for a, b in pairwise(numbers)]
    if not steps or min(steps) < 1:
        return []
    usual = min(steps)
    gaps = [(a + usual, b - usual) for a, b in pairwise(numbers) if b - a > usual]
    if not gaps:
        return []
    missing = sum((last - first) // usual + 1 for first, last in gaps)
    named = ", ".join(str(a) if a == b else f"{a}-{b}" for a, b in gaps[:5])
    more = f" and {len(gaps) - 5} more gaps" if len(gaps) > 5 else ""
    frames = "frame is" if missing == 1 else "frames are"
    return [f"{missing} {frames} missing from the numbering ({named}{more}); the rest follow on"]


@dataclass(frozen=True)
class FrameTimes:
    """The timestamps of the frames of a folder, and their origin."""

    times: Timestamps
    rate: Fraction | None
    origin: Timing
    notes: tuple[str, ...] = ()


def find_times(path: str, files: Sequence[Path], fps: Fraction | None) -> FrameTimes:
    """Return the times of `files`: by `fps`, else by `timestamps.txt` beside them, else assumed.

    Raises:
        InputError: `timestamps.txt` is invalid.
    """
    beside = files[0].parent / TIMESTAMPS
    has_times = beside.is_file() and not (len(files) == 1 and Path(path).is_file())
    if fps is None and has_times:
        times = read_timestamps(beside, len(files))
        return FrameTimes(times, usual_rate(times), "file")
    notes = (f"{TIMESTAMPS} is set aside for `fps={fps}`",) if fps and has_times else ()
    times = Timestamps(tuple(range(len(files))), 1 / (fps or ASSUMED_RATE), 1)
    return FrameTimes(times, fps or ASSUMED_RATE, "fps" if fps else "assumed", notes)


def files_of(info: SourceInfo, scan: Scan) -> list[Path]:
    """Return the files of a scan's frames, by their names only.

    Raises:
        InputError: the folder cannot be read, or has changed.
    """
    files = find_frames(info.path)
    found = find_times(info.path, files, info.frame_rate if info.timing == "fps" else None)
    index = {pts: i for i, pts in enumerate(found.times.pts)}
    if not index.keys() >= set(scan.pts):
        raise InputError(f"{info.path}: its frames have changed since the run was planned")
    return [files[index[pts]] for pts in scan.pts]


class ImageSource:
    """A folder of frames, a pattern or a single image, as a `FrameSource`.

    Args:
        path: folder, `frame_%05d.png`, glob or image file.
        fps: frames per second; None for `timestamps.txt` beside the frames, else `ASSUMED_RATE`.
        threads: number of threads that read headers and decode ahead; 1 by default.

    Raises:
        InputError: there are no frames, a frame cannot be read, or sizes differ.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        fps: Fraction | None = None,
        threads: int | None = None,
    ) -> None:
        self.path = os.fspath(path)
        self.files = find_frames(self.path)
        self._threads = max(1, threads or 1)
        with ThreadPoolExecutor(self._threads) as pool:
            self.headers = list(pool.map(read_header, self.files))
        self._check_sizes()
        self._timing = find_times(self.path, self.files, fps)
        self._index = {pts: i for i, pts in enumerate(self._timing.times.pts)}
        self.info = self._describe()

    def _check_sizes(self) -> None:
        first = self.headers[0]
        for path, header in zip(self.files, self.headers, strict=True):
            if (header.width, header.height) != (first.width, first.height):
                raise InputError(
                    f"frames differ in size: {self.files[0].name} is {first.width}x{first.height}, "
                    f"{path.name} is {header.width}x{header.height}"
                )

    def _describe(self) -> SourceInfo:
        first = self.headers[0]
        depth = max(h.bit_depth for h in self.headers)
        gray = all(h.gray for h in self.headers)
        alpha = any(h.alpha for h in self.headers)
        times = self._timing.times
        span = times.pts[-1] + times.last_duration - times.pts[0]
        return SourceInfo(
            path=self.path,
            kind="frames",
            container=self.files[0].suffix.lower().lstrip("."),
            stream_index=0,
            codec=first.format,
            width=first.width,
            height=first.height,
            pix_fmt=encoder_format("tiff", bit_depth=depth, gray=gray, alpha=alpha),
            bit_depth=depth,
            has_alpha=alpha,
            color=ColorSpec(
                matrix="gbr", full_range=True, primaries=first.primaries, transfer=first.transfer
            ),
            sample_aspect_ratio=first.aspect,
            display_matrix=None,
            time_base=times.time_base,
            frame_rate=self._timing.rate,
            duration=span * times.time_base,
            frame_estimate=len(self.files),
            timing=self._timing.origin,
            notes=self._notes(),
            losses=self._losses(),
        )

    def _losses(self) -> tuple[Loss, ...]:
        if not any(h.icc for h in self.headers):
            return ()
        text = "embedded ICC profiles are dropped; pixel values are kept as they are"
        return (Loss(kind="profile", text=text),)

    def _notes(self) -> tuple[str, ...]:
        notes = [*self._timing.notes, *numbering_notes(self.files)]
        depths = {h.bit_depth for h in self.headers}
        formats = sorted({h.format for h in self.headers})
        if len(depths) > 1:
            notes.append("8-bit and 16-bit frames are mixed: all are taken as 16-bit")
        if len(formats) > 1:
            notes.append(f"frames of several formats are mixed: {', '.join(formats)}")
        if any(h.cmyk for h in self.headers):
            notes.append("CMYK is converted to RGB without a profile, as image viewers do")
        if any(h.animated for h in self.headers):
            notes.append("of animated PNG files only the first picture is used")
        return tuple(notes)

    def scan(
        self,
        *,
        on_progress: OnProgress | None = None,
        scenes: bool = True,
        start: Fraction | None = None,
        end: Fraction | None = None,
        frames: int | None = None,
    ) -> Scan:
        """Return the frames of a run, and where scenes begin.

        Args:
            on_progress: called with the number of frames seen, and of all frames.
            scenes: whether to detect cuts, for which every frame is decoded.
            start: seconds from the first frame; frames before it are left out.
            end: likewise; frames at or after it are left out.
            frames: the largest number of frames.

        Raises:
            InputError: a frame cannot be decoded.
            UsageError: nothing is left between `start` and `end`.
        """
        times = self._timing.times
        chosen = [
            i
            for i, pts in enumerate(times.pts)
            if (start is None or (pts - times.pts[0]) * times.time_base >= start)
            and (end is None or (pts - times.pts[0]) * times.time_base < end)
        ][:frames]
        if not chosen:
            passed = times.pts[-1] - times.pts[0]
            raise no_frame(self.path, start, passed * times.time_base)
        after = chosen[-1] + 1
        last = times.pts[after] - times.pts[after - 1] if after < len(times.pts) else None
        return Scan(
            pts=tuple(times.pts[i] for i in chosen),
            last_duration=last or times.last_duration,
            cuts=self._cuts(chosen, on_progress) if scenes and len(chosen) > 1 else (),
        )

    def _cuts(self, chosen: Sequence[int], on_progress: OnProgress | None) -> tuple[int, ...]:
        detector = CutDetector()
        cuts: list[int] = []
        for done, (rgb, _) in enumerate(self._decoded(chosen), 1):
            cuts += detector.push(small_luma(rgb))
            if on_progress:
                on_progress(done, len(chosen))
        return (*cuts, *detector.flush())

    def read(self, scan: Scan, start: int, stop: int) -> Iterator[Frame]:
        """Yield frames `start:stop` of the scan, decoded ahead in threads.

        Raises:
            InputError: a frame cannot be decoded or has changed its size.
        """
        indices = [self._index[pts] for pts in scan.pts[start:stop]]
        shape = (self.info.height, self.info.width)
        for pts, (rgb, alpha) in zip(scan.pts[start:stop], self._decoded(indices), strict=True):
            if self.info.has_alpha and alpha is None:
                alpha = np.ones(shape, np.float32)  # noqa: PLW2901
            yield Frame(pts, rgb, alpha)

    def _decoded(self, indices: Sequence[int]) -> Iterator[tuple[Any, Any]]:
        """Yield RGB and alpha of the files; at most two for each thread are decoded ahead."""
        with ThreadPoolExecutor(self._threads) as pool:
            pending = []
            try:
                for i in indices:
                    pending.append(pool.submit(read_image, self.files[i], self.headers[i]))
                    if len(pending) >= 2 * self._threads:
                        yield pending.pop(0).result()
                while pending:
                    yield pending.pop(0).result()
            finally:
                for future in pending:
                    future.cancel()

    def fingerprint(self) -> dict[str, Any]:
        """Return JSON values that identify the frames: names, sizes, hashes of some; no dates."""
        sizes = [p.stat().st_size for p in self.files]
        listing = "\n".join(f"{p.name} {s}" for p, s in zip(self.files, sizes, strict=True))
        count = len(self.files)
        sample = sorted({count * k // 16 for k in range(16)} | {count - 1})
        return {
            "kind": "frames",
            "files": count,
            "size": sum(sizes),
            "names": _digest(os.fsencode(listing)),
            "samples": [_digest(self.files[i].read_bytes()) for i in sample],
            "times": _digest(repr(self._timing.times).encode()),
            "stream": f"{self.info.width}x{self.info.height} {self.info.pix_fmt}",
        }


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def is_frame(path: Path) -> bool:
    """Return whether a file belongs to a folder of frames: an image, or `timestamps.txt`."""
    return path.name == TIMESTAMPS or (path.is_file() and path.suffix.lower() in IMAGE_SUFFIXES)
