"""What the rest of the program sees of an input, and how one is opened."""

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
"""Called with the number of frames looked at so far, and of all of them where that is known."""


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
        """Go through the input once and return which frames a run has.

        Args:
            on_progress: told how far it is.
            scenes: whether to look for cuts.
            start: seconds from the first frame; the first kept is at or after it.
            end: seconds from the first frame; the first not kept is at or after it.
            frames: the largest number to take.
        """
        ...

    def read(self, scan: Scan, start: int, stop: int) -> Iterator[Frame]:
        """Yield frames `start:stop` of a scan, exactly those of a linear pass."""
        ...

    def fingerprint(self) -> dict[str, Any]:
        """Return JSON values that change when the input does."""
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
        video_track: which of the video tracks, counted from 0; None for the first real one.
        fps: frame rate of a folder of frames.
        deinterlace: `auto`, `off` or `bwdif`.
        threads: threads that decode; None for a number fit for this machine.

    Raises:
        InputError: it cannot be read.
        UsageError: `fps` was given for a video file, or there is no such track.
    """
    if is_image_input(path):
        return ImageSource(path, fps=fps, threads=threads)
    if fps is not None:
        raise UsageError(f"`fps={fps}` is for folders of frames: {path} has its own timestamps")
    return VideoSource(path, video_track=video_track, deinterlace=deinterlace, threads=threads)
