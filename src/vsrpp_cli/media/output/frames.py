"""Folders of frames and single images as output.

Joining makes hard links to the segments' files under their final names in one folder, which copies
no data and does not change the segments.
"""

import errno
import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from vsrpp_cli.durable import remove
from vsrpp_cli.errors import UsageError, VerificationError, VsrppError
from vsrpp_cli.media.images import timestamps_file
from vsrpp_cli.media.images.headers import ImageHeader, read_header
from vsrpp_cli.media.images.pixels import read_image
from vsrpp_cli.media.images.source import files_of, frame_names
from vsrpp_cli.media.images.writer import ImageSegmentWriter, depth, file_suffix, shown_size
from vsrpp_cli.media.mux.joined import Joined, Portion
from vsrpp_cli.media.suffixes import IMAGE_SUFFIXES
from vsrpp_cli.media.types import EncodeSettings, OutputPlan, Scan, SourceInfo


class FrameFolder:
    """A folder of image files, or one image file; see `Output` for what each method does."""

    segment_suffix = ""

    def __init__(self, plan: OutputPlan) -> None:
        self.plan = plan

    @property
    def is_single_image(self) -> bool:
        """Whether the output is one image file, not a folder."""
        path = Path(self.plan.path)
        return not path.is_dir() and path.suffix.lower() in IMAGE_SUFFIXES

    def check(self, frames: int) -> None:
        """Raise `UsageError` if the output is one image and there are several frames."""
        if frames > 1 and self.is_single_image:
            raise UsageError(
                f"{self.plan.path} is one image, the input has {frames} frames: "
                "give a folder, or `frames=1`"
            )

    def names(self, scan: Scan, source: SourceInfo) -> list[str]:
        """Return the names of the files: as in the input, or numbers from 1 for a video.

        Raises:
            InputError: the input's folder cannot be read.
        """
        suffix = file_suffix(self.plan.encode)
        if source.kind != "frames":
            return [f"{number:08d}{suffix}" for number in range(1, scan.frames + 1)]
        return frame_names(files_of(source, scan), suffix)

    def open_writer(self, path: Path, *, first: int = 0) -> ImageSegmentWriter:
        """See `Output`."""
        return ImageSegmentWriter(path, self.plan.encode, first=first)

    def join(
        self,
        segments: Sequence[Path],
        scan: Scan,
        source: SourceInfo,
        temporary: Path,
        *,
        portion: Portion | None = None,  # noqa: ARG002  frames have no other streams
    ) -> Joined:
        """See `Output`.

        Raises:
            VerificationError: the segments do not hold as many frames as the scan.
            UsageError: several frames, but the output is one image.
            OSError: files cannot be written.
        """
        files = [file for segment in segments for file in sorted(segment.iterdir())]
        if len(files) != scan.frames:
            raise VerificationError(f"the segments hold {len(files)} frames of {scan.frames}")
        remove(temporary)
        self.check(scan.frames)
        if self.is_single_image:
            _link(files[0], temporary)
            return Joined()
        temporary.mkdir()
        for file, name in zip(files, self.names(scan, source), strict=True):
            _link(file, temporary / name)
        if not _wants_timestamps(source):
            return Joined()
        text = timestamps_file.format_timestamps(scan.shown, scan.last_duration, source.time_base)
        (temporary / timestamps_file.NAME).write_text(text, "utf-8")
        return Joined(notes=[f"when each frame is shown stands in {timestamps_file.NAME}"])

    def verify(self, path: Path, scan: Scan, source: SourceInfo, *, decode: bool) -> list[str]:
        """See `Output`."""
        if self.is_single_image:
            _verify_image(path, self.plan.encode, decode=decode)
            return []
        names = self.names(scan, source)
        extra = [timestamps_file.NAME] if _wants_timestamps(source) else []
        there = {child.name for child in path.iterdir()}
        if missing := sorted({*names, *extra} - there):
            raise VerificationError(f"{len(missing)} files are missing, the first is {missing[0]}")
        if surplus := sorted(there - {*names, *extra}):
            raise VerificationError(f"{len(surplus)} files too many, the first is {surplus[0]}")
        for name in names:
            _verify_image(path / name, self.plan.encode, decode=decode)
        if extra:
            _verify_times(path / timestamps_file.NAME, scan, source)
        return []


def _wants_timestamps(source: SourceInfo) -> bool:
    """Return whether to write timestamps.txt: not if the times were only assumed."""
    return source.timing != "assumed"


def _link(source: Path, target: Path) -> None:
    """Hard-link `target` to `source`; copy it if the file system does not allow that."""
    try:
        os.link(source, target)
    except OSError as error:
        if error.errno not in (errno.EXDEV, errno.EPERM, errno.ENOTSUP, errno.EMLINK, errno.ENOSYS):
            raise
        shutil.copyfile(source, target)


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
    if header.bit_depth != depth(settings):
        return f"has {header.bit_depth} bits instead of those of {settings.pix_fmt}"
    if settings.keep_alpha and not header.alpha:
        return "has lost its transparency"
    return ""


def _verify_times(path: Path, scan: Scan, source: SourceInfo) -> None:
    times = timestamps_file.read_timestamps(path, scan.frames)
    if times.time_base != source.time_base or times.pts != scan.shown:
        raise VerificationError(f"{path.name} does not hold the times of the source")
