"""What the rest of the program sees of an output: the twin of `media.source`."""

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from vsrpp_cli.media.encode.writer import Writer
from vsrpp_cli.media.mux.joined import Joined, Portion
from vsrpp_cli.media.types import OutputPlan, Scan, SourceInfo


class Output(Protocol):
    """A video file, a folder of frames or a single image, as a plan has it."""

    plan: OutputPlan
    segment_suffix: str
    """How names of segments end; empty where a segment is a folder."""

    def check(self, frames: int) -> None:
        """Raise an error if it cannot hold this number of frames.

        Raises:
            UsageError: it cannot.
        """

    def names(self, scan: Scan, source: SourceInfo) -> list[str]:
        """Return the names of the files inside; of none where the output is one file."""

    def open_writer(self, path: Path, *, first: int = 0) -> Writer:
        """Return the writer of a segment.

        Args:
            path: of the segment.
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
        """Join finished segments and everything the plan keeps of the source.

        Args:
            segments: in their order; together they hold exactly the scan's frames.
            scan: the run's frames.
            source: the input.
            temporary: what to write, replaced where it exists.
            portion: how much to carry over of the source's other streams; None for all.

        Returns:
            What became of the source's other streams.
        """

    def verify(self, path: Path, scan: Scan, source: SourceInfo, *, decode: bool) -> list[str]:
        """Compare what was joined with the plan.

        Args:
            path: of the result, not under its final name yet.
            scan: the run's frames.
            source: the input.
            decode: decode all pictures from end to end, too.

        Returns:
            How it differs although all pictures are there, one sentence each.

        Raises:
            VerificationError: it cannot be read back, or pictures are missing or damaged.
        """


def output_of(plan: OutputPlan) -> Output:
    """Return the output that a plan means."""
    # Each imports much that the other does without.
    if plan.encode.kind == "frames":
        from vsrpp_cli.media.output.frames import FrameFolder  # noqa: PLC0415

        return FrameFolder(plan)
    from vsrpp_cli.media.output.video import VideoFile  # noqa: PLC0415

    return VideoFile(plan)
