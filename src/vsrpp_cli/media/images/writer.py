"""Writes a segment of image files by several threads.

A segment is a folder of finished files, named by their numbers in the run.
"""

import shutil
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from vsrpp_cli.media.decode.side_data import quarter_turned
from vsrpp_cli.media.images.format_table import image_row
from vsrpp_cli.media.images.pixels import (
    ImageEncoder,
    rgb_to_image_frame,
)
from vsrpp_cli.media.types import EncodeSettings, FinalFrame, Frame, Rgb
from vsrpp_cli.resample import resize


def depth(settings: EncodeSettings) -> int:
    """Return the bits of a component in the output's files: 8 or 16."""
    return 16 if any(mark in settings.pix_fmt for mark in ("16", "48", "64")) else 8


def file_suffix(settings: EncodeSettings) -> str:
    """Return the suffix of the output's files."""
    return image_row(settings.codec).suffix


def shown_size(settings: EncodeSettings) -> tuple[int, int]:
    """Return width and height of the files, which are stored as they are shown."""
    if quarter_turned(settings.display_matrix):
        return settings.height, settings.width
    return settings.width, settings.height


def turned(picture: NDArray[Any], matrix: Sequence[int]) -> NDArray[Any]:
    """Return `picture` (..., H, W) turned and flipped by a display matrix (ISO/IEC 14496-12)."""
    a, b, _, c, d = matrix[:5]
    if quarter_turned(matrix):
        picture = picture.swapaxes(-1, -2)
        flip_x, flip_y = c < 0, b < 0
    else:
        flip_x, flip_y = a < 0, d < 0
    flipped = picture[..., :: -1 if flip_y else 1, :: -1 if flip_x else 1]
    return np.ascontiguousarray(flipped)


class ImageSegmentWriter:
    """Writes a segment: a folder of image files, which is renamed to `path` when complete.

    Args:
        path: the folder to create; must not exist.
        settings: `codec` is an image format (`png`, `jpeg`, ...).
        first: number of the first frame, for the names of files.

    Raises:
        EncoderError: the encoder refuses its settings or fails; here, in `write` or in `close`.
        OSError: the files cannot be written.
    """

    def __init__(
        self,
        path: Path,
        settings: EncodeSettings,
        *,
        first: int = 0,
    ) -> None:
        self._path = path
        self._partial = path.with_name(f"{path.name}.writing")
        self._settings = settings
        self._first = self._next = first
        self._pending: list[Future[None]] = []
        self._encoders: list[ImageEncoder] = []
        self._threads = max(1, settings.threads)
        self._encoders = [self._new_encoder()]  # so that refused settings raise here
        shutil.rmtree(self._partial, ignore_errors=True)
        self._partial.mkdir(parents=True)
        self._pool = ThreadPoolExecutor(self._threads, thread_name_prefix="images")

    def _new_encoder(self) -> ImageEncoder:
        s = self._settings
        row = image_row(s.codec)
        options = {**row.encoder_options, **dict(s.options)}
        return ImageEncoder(
            row.encoder, s.pix_fmt, shown_size(s), options, aspect=s.sample_aspect_ratio
        )

    def write(self, frame: Frame | FinalFrame) -> None:
        """Encode and write one frame in another thread; wait while all threads are busy."""
        name = f"{self._next:08d}{file_suffix(self._settings)}"
        self._next += 1
        self._pending.append(self._pool.submit(self._write_file, frame, self._partial / name))
        if len(self._pending) > self._threads:
            self._pending.pop(0).result()

    def _write_file(self, frame: Frame | FinalFrame, path: Path) -> None:
        s = self._settings
        rgb: Rgb = frame.rgb
        if isinstance(frame, Frame):
            rgb = resize(frame.rgb, s.height, s.width)
        alpha = None
        if s.keep_alpha and frame.alpha is not None:
            alpha = resize(frame.alpha, s.height, s.width, "bicubic")
        if s.display_matrix is not None:
            rgb = turned(rgb, s.display_matrix)
            alpha = None if alpha is None else turned(alpha, s.display_matrix)
        picture = rgb_to_image_frame(rgb, alpha, s.pix_fmt, s.color)
        # list.pop and append are atomic, so each thread has its own encoder.
        encoder = self._encoders.pop() if self._encoders else self._new_encoder()
        data = encoder.encode(picture)
        self._encoders.append(encoder)
        path.write_bytes(data)

    def close(self) -> int:
        """Finish all files, give the folder its name, and return the number of frames."""
        try:
            for future in self._pending:
                future.result()
        except BaseException:
            self.abort()
            raise
        self._pending = []
        self._pool.shutdown()
        self._partial.rename(self._path)
        return self._next - self._first

    def abort(self) -> None:
        """Stop and remove what was written."""
        self._pool.shutdown(cancel_futures=True)
        shutil.rmtree(self._partial, ignore_errors=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None:
            self.abort()
        elif self._partial.exists():
            self.close()
