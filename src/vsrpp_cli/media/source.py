"""The interface of inputs, and the function that opens one."""

import os
from collections.abc import Callable, Iterator
from fractions import Fraction
from typing import Any, Protocol

from vsrpp_cli.errors import UsageError
from vsrpp_cli.media.decode.reader import VideoSource
from vsrpp_cli.media.images.source import ImageSource, is_image_input
from vsrpp_cli.media.types import Frame, Scan, SourceInfo
from vsrpp_cli.options import Deinterlace

OnProgress = Callable[[int, int | None], None]
"""Called with the number of frames scanned, and the total or None if it is unknown."""


class FrameSource(Protocol):
    """A video file, a folder of frames or a single image."""

    info: SourceInfo

    def scan(
        self,
        *,
        on_progress: OnProgress | None = None,
        scenes: bool = True,
        start: Fraction | None = None,
        end: Fraction | None = None,
        frames: int | None = None,
    ) -> Scan:
        """Decode the input once and return the frames to upscale.

        Args:
            on_progress: called after frames were scanned.
            scenes: whether to look for cuts.
            start: frames shown earlier are left out; seconds from the first frame.
            end: frames shown at this time or later are left out; seconds from the first frame.
            frames: the largest number of frames; None for no limit.

        Raises:
            InputError: it cannot be read.
            UsageError: `start` is after the last frame, or there is no frame before `end`.
        """
        ...

    def read(self, scan: Scan, start: int, stop: int) -> Iterator[Frame]:
        """Yield frames `start:stop` of a scan, identical to those of a pass from the beginning.

        Raises:
            InputError: it cannot be read, or changed since the scan.
        """
        ...

    def fingerprint(self) -> dict[str, Any]:
        """Return JSON values that differ if the input was changed."""
        ...


def open_source(
    path: str | os.PathLike[str],
    *,
    video_track: int | None = None,
    fps: Fraction | None = None,
    deinterlace: Deinterlace = "auto",
    threads: int | None = None,
) -> FrameSource:
    """Open an input of any kind.

    Args:
        path: video file, folder of frames, pattern of frames or image file.
        video_track: index among the video tracks, from 0; None for the first one that is not cover
            art.
        fps: frames per second of a folder of frames; None for timestamps.txt or `ASSUMED_RATE`.
        deinterlace: `auto`, `off` or `bwdif`.
        threads: threads that decode; None for a number suited to this machine.

    Raises:
        InputError: it cannot be read.
        UsageError: `fps` was given for a video file, or there is no such track.
    """
    if is_image_input(path):
        return ImageSource(path, fps=fps, threads=threads)
    if fps is not None:
        raise UsageError(f"`fps={fps}` is for folders of frames: {path} has its own timestamps")
    return VideoSource(path, video_track=video_track, deinterlace=deinterlace, threads=threads)
