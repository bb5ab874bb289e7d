"""A video file as output."""

from collections.abc import Sequence
from pathlib import Path

from vsrpp_cli.media.encode.writer import SEGMENT_SUFFIX, SegmentWriter
from vsrpp_cli.media.mux.join import join
from vsrpp_cli.media.mux.joined import Joined, Portion
from vsrpp_cli.media.mux.verify import verify
from vsrpp_cli.media.types import OutputPlan, Scan, SourceInfo


class VideoFile:
    """One file in a container; see `Output` for what each method does."""

    segment_suffix = SEGMENT_SUFFIX

    def __init__(self, plan: OutputPlan) -> None:
        self.plan = plan

    def check(self, frames: int) -> None:
        """Accept any number of frames."""

    def names(self, scan: Scan, source: SourceInfo) -> list[str]:  # noqa: ARG002
        """Return an empty list: it is no folder."""
        return []

    def open_writer(self, path: Path, *, first: int = 0) -> SegmentWriter:  # noqa: ARG002
        """See `Output`."""
        return SegmentWriter(path, self.plan.encode)

    def join(
        self,
        segments: Sequence[Path],
        scan: Scan,
        source: SourceInfo,
        temporary: Path,
        *,
        portion: Portion | None = None,
    ) -> Joined:
        """See `Output`, and `mux.join.join` for errors."""
        return join(segments, scan, source, self.plan, temporary, portion=portion)

    def verify(self, path: Path, scan: Scan, source: SourceInfo, *, decode: bool) -> list[str]:
        """See `Output`."""
        return verify(path, scan, source, self.plan, decode=decode)
