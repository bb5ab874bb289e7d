"""Folders of frames and single images as output: segments, join and verification.

A segment is a folder of finished files named by their number in the run. Joining links them under
their final names into one folder, which costs no time and leaves the segments as they are.
"""

import errno
import os
import shutil
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np

from vsrpp_cli.errors import UsageError, VerificationError, VsrppError
from vsrpp_cli.media.images import timestamps_file
from vsrpp_cli.media.images.headers import ImageHeader, read_header
from vsrpp_cli.media.images.pixels import (
    ENCODERS,
    FloatArray,
    ImageEncoder,
    read_image,
    rgb_to_image_frame,
)
from vsrpp_cli.media.images.source import files_of, frame_names
from vsrpp_cli.media.resample import resize
from vsrpp_cli.media.suffixes import IMAGE_SUFFIXES
from vsrpp_cli.media.types import (
    EncodeSettings,
    Frame,
    OutputPlan,
    Scan,
    SegmentStats,
    SourceInfo,
)

ENCODER_OPTIONS = {
    "png": {"compression_level": "4", "pred": "mixed"},
    "jpeg": {"qmin": "1", "qmax": "1", "flags": "+qscale", "global_quality": "118"},
    "tiff": {"compression_algo": "deflate"},
    "bmp": {},
    "webp": {"lossless": "1", "quality": "60"},
}
"""By image format; what the user gives comes on top.

Lossless but for JPEG, which is at its best: quantiser 1, no chroma subsampling.
"""

FILE_SUFFIXES = {"jpeg": ".jpg", "tiff": ".tif"}
"""Of image formats whose files are not called after them."""


def _depth(settings: EncodeSettings) -> int:
    return 16 if any(mark in settings.pix_fmt for mark in ("16", "48", "64")) else 8


def file_suffix(settings: EncodeSettings) -> str:
    """Return the suffix of the output's files."""
    return FILE_SUFFIXES.get(settings.codec, f".{settings.codec}")


def shown_size(settings: EncodeSettings) -> tuple[int, int]:
    """Return width and height of the files: images are stored the way they are to be seen."""
    matrix = settings.display_matrix
    if matrix is not None and abs(matrix[1]) > abs(matrix[0]):
        return settings.height, settings.width
    return settings.width, settings.height


def turned(picture: FloatArray, matrix: Sequence[int]) -> FloatArray:
    """Return `picture` (..., H, W) as a display matrix (ISO/IEC 14496-12, 8.2.2) wants it seen."""
    a, b, _, c, d = matrix[:5]
    if abs(a) > abs(b):
        flip_x, flip_y = a < 0, d < 0
    else:
        picture = picture.swapaxes(-1, -2)
        flip_x, flip_y = c < 0, b < 0
    flipped = picture[..., :: -1 if flip_y else 1, :: -1 if flip_x else 1]
    return np.ascontiguousarray(flipped)


class ImageSegmentWriter:
    """Writes a segment: a folder of image files, which appears under `path` when complete.

    Args:
        path: the folder to make; must not exist.
        settings: `codec` is an image format (`png`, `jpeg`, ...).
        on_note: called with sentences for the user; nothing is noted at present.
        first: number of the first frame, from which the files are named.

    Raises:
        EncoderError: the encoder refuses its settings or fails; here, in `write` or in `close`.
        OSError: the files cannot be written.
    """

    def __init__(
        self,
        path: Path,
        settings: EncodeSettings,
        on_note: Callable[[str], None] | None = None,  # noqa: ARG002 - the writers' common interface
        *,
        first: int = 0,
    ) -> None:
        self._path = path
        self._partial = path.with_name(f"{path.name}.writing")
        self._settings = settings
        self._next = first
        self._sizes: list[int] = []
        self._pending: list[Future[int]] = []
        self._encoders: list[ImageEncoder] = []
        self._threads = max(1, settings.threads)
        self._encoders = [self._new_encoder()]  # refused settings show at once
        _remove(self._partial)
        self._partial.mkdir(parents=True)
        self._pool = ThreadPoolExecutor(self._threads, thread_name_prefix="images")

    def _new_encoder(self) -> ImageEncoder:
        s = self._settings
        options = {**ENCODER_OPTIONS[s.codec], **dict(s.options)}
        return ImageEncoder(
            ENCODERS[s.codec], s.pix_fmt, shown_size(s), options, aspect=s.sample_aspect_ratio
        )

    def write(self, frame: Frame) -> None:
        """Encode and write one frame in another thread; waits while all of them are busy."""
        name = f"{self._next:08d}{file_suffix(self._settings)}"
        self._next += 1
        self._pending.append(self._pool.submit(self._write_file, frame, self._partial / name))
        if len(self._pending) > self._threads:
            self._sizes.append(self._pending.pop(0).result())

    def _write_file(self, frame: Frame, path: Path) -> int:
        s = self._settings
        rgb = resize(frame.rgb, s.height, s.width)
        alpha = None
        if s.keep_alpha and frame.alpha is not None:
            alpha = resize(frame.alpha, s.height, s.width, "bicubic")
        if s.display_matrix is not None:
            rgb = turned(rgb, s.display_matrix)
            alpha = None if alpha is None else turned(alpha, s.display_matrix)
        picture = rgb_to_image_frame(rgb, alpha, s.pix_fmt, s.color)
        # list.pop and append are atomic: each thread works with an encoder of its own.
        encoder = self._encoders.pop() if self._encoders else self._new_encoder()
        data = encoder.encode(picture)
        self._encoders.append(encoder)
        path.write_bytes(data)
        return len(data)

    def close(self) -> SegmentStats:
        """Finish all files, give the folder its name, and return what was written."""
        try:
            self._sizes += [future.result() for future in self._pending]
        except BaseException:
            self.abort()
            raise
        self._pending = []
        self._pool.shutdown()
        self._partial.rename(self._path)
        return SegmentStats(len(self._sizes), sum(self._sizes))

    def abort(self) -> None:
        """Give up and remove what was written."""
        self._pool.shutdown(cancel_futures=True)
        _remove(self._partial)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is not None:
            self.abort()
        elif self._partial.exists():
            self.close()


def check_frame_count(output: Path, frames: int) -> None:
    """Make sure that one image is not asked to hold several frames.

    Raises:
        UsageError: it is.
    """
    if frames > 1 and not output.is_dir() and output.suffix.lower() in IMAGE_SUFFIXES:
        raise UsageError(
            f"{output} is one image, the input has {frames} frames: give a folder, or --frames 1"
        )


def final_names(scan: Scan, source: SourceInfo, settings: EncodeSettings) -> list[str]:
    """Return the names of the output's files: the input's, or numbers from 1 for a video.

    Raises:
        InputError: the input's folder cannot be read any more.
    """
    suffix = file_suffix(settings)
    if source.kind != "frames":
        return [f"{number:08d}{suffix}" for number in range(1, scan.frames + 1)]
    return frame_names(files_of(source, scan), suffix)


def longest_name(scan: Scan, source: SourceInfo, settings: EncodeSettings) -> str:
    """Return the longest of the names of the output's files, in bytes."""
    names = final_names(scan, source, settings)
    return max(names, key=lambda name: len(os.fsencode(name)))


def join_frames(
    segments: Sequence[Path],
    scan: Scan,
    source: SourceInfo,
    output: OutputPlan,
    temporary: Path,
) -> list[str]:
    """Bring the segments' files together in `temporary`: a folder, or a file for a single image.

    Args:
        segments: the segments' folders in their order.
        scan: the run's frames.
        source: the input, from which names are taken.
        output: path and settings of the result.
        temporary: where to build it; replaced if it exists.

    Returns:
        Sentences for the user.

    Raises:
        VerificationError: the segments do not hold as many frames as the scan.
        UsageError: several frames, but the output is one image.
        OSError: files cannot be written.
    """
    files = [file for segment in segments for file in sorted(segment.iterdir())]
    if len(files) != scan.frames:
        raise VerificationError(f"the segments hold {len(files)} frames of {scan.frames}")
    _remove(temporary)
    if is_single_image(output):
        check_frame_count(Path(output.path), scan.frames)
        _link(files[0], temporary)
        return []
    temporary.mkdir()
    for file, name in zip(files, final_names(scan, source, output.encode), strict=True):
        _link(file, temporary / name)
    if _wants_timestamps(source):
        text = timestamps_file.format_timestamps(scan.shown, scan.last_duration, source.time_base)
        (temporary / timestamps_file.NAME).write_text(text, "utf-8")
        return [f"when each frame is shown stands in {timestamps_file.NAME}"]
    return []


def is_single_image(output: OutputPlan) -> bool:
    """Return whether the output is one image file, not a folder."""
    path = Path(output.path)
    return (
        output.encode.kind == "frames"
        and not path.is_dir()
        and path.suffix.lower() in IMAGE_SUFFIXES
    )


def _wants_timestamps(source: SourceInfo) -> bool:
    """Return whether there are times worth keeping."""
    return source.timing != "assumed"


def _link(source: Path, target: Path) -> None:
    """Make `target` the same file as `source`; a copy where file systems differ or cannot link."""
    try:
        os.link(source, target)
    except OSError as error:
        if error.errno not in (errno.EXDEV, errno.EPERM, errno.ENOTSUP, errno.EMLINK, errno.ENOSYS):
            raise
        shutil.copyfile(source, target)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def verify_frames(
    path: Path, scan: Scan, source: SourceInfo, output: OutputPlan, *, decode: bool
) -> list[str]:
    """Compare a joined folder or image with the plan; returns sentences for the user.

    Args:
        path: the folder or file, not under its final name yet.
        scan: the run's frames.
        source: the input.
        output: path and settings of the result.
        decode: decode every file instead of reading headers only.

    Raises:
        VerificationError: names, count, size, depth, times or pixels are not what the plan says.
    """
    if is_single_image(output):
        _verify_image(path, output.encode, decode=decode)
        return []
    names = final_names(scan, source, output.encode)
    extra = [timestamps_file.NAME] if _wants_timestamps(source) else []
    there = {child.name for child in path.iterdir()}
    if missing := sorted({*names, *extra} - there):
        raise VerificationError(f"{len(missing)} files are missing, the first is {missing[0]}")
    if surplus := sorted(there - {*names, *extra}):
        raise VerificationError(f"{len(surplus)} files too many, the first is {surplus[0]}")
    for name in names:
        _verify_image(path / name, output.encode, decode=decode)
    if extra:
        _verify_times(path / timestamps_file.NAME, scan, source)
    return []


def _verify_image(path: Path, settings: EncodeSettings, *, decode: bool) -> None:
    try:
        header = read_header(path)
        if decode:
            read_image(path, header)
    except VsrppError as error:
        raise VerificationError(f"a frame cannot be read back: {error}") from error
    if found := _difference(header, settings):
        raise VerificationError(f"{path.name} {found}")


def _difference(header: ImageHeader, settings: EncodeSettings) -> str:
    width, height = shown_size(settings)
    if (header.width, header.height) != (width, height):
        return f"is {header.width}x{header.height} instead of {width}x{height}"
    if header.bit_depth != _depth(settings):
        return f"has {header.bit_depth} bits instead of those of {settings.pix_fmt}"
    if settings.keep_alpha and not header.alpha:
        return "has lost its transparency"
    return ""


def _verify_times(path: Path, scan: Scan, source: SourceInfo) -> None:
    times = timestamps_file.read_timestamps(path, scan.frames)
    if times.time_base != source.time_base or times.pts != scan.shown:
        raise VerificationError(f"{path.name} does not hold the times of the source")


def is_frame(path: Path) -> bool:
    """Whether a file is what a folder of frames holds."""
    return path.name == timestamps_file.NAME or (
        path.is_file() and path.suffix.lower() in IMAGE_SUFFIXES
    )
