"""The interface of outputs (for inputs see `media.source`)."""

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from vsrpp_cli.media.encode.writer import Writer
from vsrpp_cli.media.mux.joined import Joined, Portion
from vsrpp_cli.media.types import OutputPlan, Scan, SourceInfo


class Output(Protocol):
    """A video file, a folder of frames or a single image, as planned."""

    plan: OutputPlan
    segment_suffix: str
    """Suffix of segment files; empty if a segment is a folder."""

    def check(self, frames: int) -> None:
        """Check the number of frames.

        Raises:
            UsageError: the output cannot hold so many.
        """

    def names(self, scan: Scan, source: SourceInfo) -> list[str]:
        """Return the names of the files in the output folder; empty for a video file."""

    def open_writer(self, path: Path, *, first: int = 0) -> Writer:
        """Return a writer of a segment.

        Args:
            path: the segment to write.
            first: index of the segment's first frame in the run.

        Raises:
            EncoderError: the encoder refuses its settings.
        """

    def join(
        self,
        segments: Sequence[Path],
        scan: Scan,
        source: SourceInfo,
        temporary: Path,
        *,
        portion: Portion | None = None,
    ) -> Joined:
        """Join finished segments and the source's other streams as planned.

        Args:
            segments: in order; together they hold exactly the scan's frames.
            scan: the run's frames.
            source: the input.
            temporary: the file or folder to write; replaced if it exists.
            portion: how much to carry over of the source's other streams; None for all.

        Returns:
            What was done with the source's other streams.
        """

    def verify(self, path: Path, scan: Scan, source: SourceInfo, *, decode: bool) -> list[str]:
        """Compare the joined output with the plan.

        Args:
            path: the file or folder written by `join`.
            scan: the run's frames.
            source: the input.
            decode: whether to decode all pictures.

        Returns:
            Differences that leave the pictures complete, one sentence each.

        Raises:
            VerificationError: it cannot be read back, or pictures are missing or damaged.
        """


def output_of(plan: OutputPlan) -> Output:
    """Return the output object for a plan."""
    # Imported late: each imports much that the other does not need.
    if plan.encode.kind == "frames":
        from vsrpp_cli.media.output.frames import FrameFolder  # noqa: PLC0415

        return FrameFolder(plan)
    from vsrpp_cli.media.output.video import VideoFile  # noqa: PLC0415

    return VideoFile(plan)
