"""Conversion of the source's times to the output's."""

from dataclasses import dataclass
from fractions import Fraction

from vsrpp_cli.media.types import EncodeSettings, Scan


@dataclass(frozen=True)
class Timeline:
    """Which part of the source is kept, and the shift of its times.

    Times are not changed, even if the first is after zero, with three exceptions. If the beginning
    is cut off, the first kept frame is at zero. Recordings, whose timestamps begin anywhere, begin
    at zero. If the video begins before zero, which players hide and some containers cannot store,
    all streams are shifted to later times together.
    """

    time_base: Fraction
    shift: int
    """Units of `time_base` subtracted from every time of the source."""
    start: Fraction | None
    """Source time in seconds from which on sound and subtitles are kept; None for all."""
    end: Fraction | None
    """Source time in seconds up to which sound and subtitles are kept; None for all."""

    @property
    def shift_seconds(self) -> Fraction:
        """The shift in seconds."""
        return self.shift * self.time_base

    def shift_in(self, unit: Fraction) -> int:
        """Return the shift in units of another time base, to the nearest."""
        return round(self.shift_seconds / unit)

    def keeps(self, begin: Fraction, end: Fraction | None = None) -> bool:
        """Return whether a packet or chapter is kept.

        Args:
            begin: its source time in seconds.
            end: its end in seconds, if it may begin before the cut (subtitles, chapters); None to
                decide by `begin` alone.
        """
        if self.start is not None:
            late = begin >= self.start if end is None else end > self.start
            if not late:
                return False
        return self.end is None or begin < self.end


def timeline(scan: Scan, settings: EncodeSettings, time_base: Fraction) -> Timeline:
    """Return the timeline of a run."""
    first = scan.pts[0]
    return Timeline(
        time_base=time_base,
        shift=first if settings.cut_start else min(scan.origin, first),
        start=first * time_base if settings.cut_start else None,
        end=(scan.pts[-1] + scan.last_duration) * time_base if settings.cut_end else None,
    )
