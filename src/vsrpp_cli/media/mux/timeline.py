"""From the source's times to the output's."""

from dataclasses import dataclass
from fractions import Fraction

from vsrpp_cli.media.types import EncodeSettings, Scan


@dataclass(frozen=True)
class Timeline:
    """Which part of the source is kept, and by how much all of it is moved.

    Times are kept as they are, those that begin after zero, too. There are three exceptions. Where
    the beginning is cut off, the first kept frame is at zero. Recordings begin at zero whatever
    their clock shows there. Where the video begins before zero, which players hide and some
    containers cannot say, everything is moved up together.
    """

    time_base: Fraction
    shift: int
    """Units of `time_base` that are taken off every time of the source."""
    start: Fraction | None
    end: Fraction | None
    """Seconds of the source between which sound and subtitles are kept; None where open."""

    @property
    def shift_seconds(self) -> Fraction:
        """The same in seconds."""
        return self.shift * self.time_base

    def shift_in(self, unit: Fraction) -> int:
        """Return the shift in units of another time base, to the nearest."""
        return round(self.shift_seconds / unit)

    def keeps(self, begin: Fraction, end: Fraction | None = None) -> bool:
        """Return whether something shown or heard then is kept.

        Args:
            begin: seconds of the source.
            end: for what may begin before the cut and last beyond it (subtitles, chapters).
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
