"""Writes the files that show a comparison; options are checked before anything is measured."""

from dataclasses import dataclass
from pathlib import Path

from vsrpp_cli.errors import UsageError
from vsrpp_cli.evaluation.comparison.compare import Comparison
from vsrpp_cli.evaluation.comparison.inputs import Crop, Inputs
from vsrpp_cli.evaluation.comparison.page import FRAMES, SIZE, PageSettings, read_report, write_page
from vsrpp_cli.evaluation.comparison.panes import captions, check_frame, over_time, side_by_side
from vsrpp_cli.evaluation.comparison.pictures import image_format, write_picture

FULL = "full"
"""Value of `crop` that means the whole frame."""


@dataclass(frozen=True, kw_only=True)
class ShowOptions:
    """The files to write, and what they show; the fields are the options of `vsrpp compare`."""

    picture: Path | None = None
    scan_line: Path | None = None
    html: Path | None = None
    html_frames: int | None = None
    html_size: float | None = None
    """Megabytes."""
    report: Path | None = None
    frame: int | None = None
    crop: str | None = None
    """`WxH+X+Y` in pixels of the first input, or `full`."""
    labels: tuple[str, ...] = ()


class Show:
    """Pictures and a page of a comparison.

    Args:
        inputs: what is compared.
        options: what is wanted.

    Raises:
        UsageError: an option is invalid, or has no effect.
        InputError: the report cannot be read.
    """

    def __init__(self, inputs: Inputs, options: ShowOptions) -> None:
        self._options = options
        _refuse_idle(options)
        for path in filter(None, (options.picture, options.scan_line)):
            image_format(path)
        _refuse_inputs(inputs, options)
        captions(inputs, options.labels)
        self._crop: Crop | None = None
        if options.crop not in (None, FULL):
            self._crop = Crop.parse(options.crop).inside(inputs.sizes[0])
        if options.frame is not None:
            check_frame(inputs, options.frame)
        self._report = None if options.report is None else read_report(options.report)

    def write(self, found: Comparison) -> list[str]:
        """Write the requested files; return a line about what each of them shows."""
        wanted = self._options
        frame = found.frame if wanted.frame is None else wanted.frame
        told = []
        if wanted.picture is not None:
            told.append(f"{wanted.picture}: {self._write_picture(wanted.picture, found, frame)}")
        if wanted.scan_line is not None:
            told.append(f"{wanted.scan_line}: {self._write_line(wanted.scan_line, found, frame)}")
        if wanted.html is not None:
            told.append(f"{wanted.html}: {self._write_page(wanted.html, found)}")
        return told

    def _write_picture(self, path: Path, found: Comparison, frame: int) -> str:
        part = None if self._options.crop == FULL else self._crop or found.part(frame)
        write_picture(path, side_by_side(found.inputs, frame, part, self._options.labels))
        shown = "whole" if part is None else f"`crop={str(part)!r}`"
        return f"frame {frame}, {found.inputs.times[frame]:.2f} s, {shown}"

    def _write_line(self, path: Path, found: Comparison, frame: int) -> str:
        row = found.row(self._crop or found.part(frame))
        frames = found.slice_frames(frame)
        write_picture(path, over_time(found.inputs, row, frames, self._crop, self._options.labels))
        return f"row {row} of {found.inputs.size[1]}, frames {frames[0]} to {frames[-1]}"

    def _write_page(self, path: Path, found: Comparison) -> str:
        wanted = self._options
        settings = PageSettings(
            frames=wanted.html_frames or FRAMES,
            size=SIZE if wanted.html_size is None else round(wanted.html_size * 1e6),
            frame=wanted.frame,
            crop=self._crop,
            labels=wanted.labels,
            report=self._report,
        )
        made = write_page(path, found, settings)
        fewer = made.frames < min(settings.frames, found.inputs.frames)
        why = "; `html_size` allows more" if fewer and wanted.frame is None else ""
        return f"{made.frames} frames, quality {made.quality}, {made.size / 1e6:.1f} MB{why}"


def _refuse_idle(options: ShowOptions) -> None:
    """Raise UsageError for options that would have no effect."""
    if options.html is None:
        for name in ("html_frames", "html_size", "report"):
            if getattr(options, name) is not None:
                raise UsageError(f"`{name}` is about the page: give `html` too")
    if options.picture is None and options.scan_line is None and options.html is None:
        for name in ("frame", "crop", "labels"):
            if getattr(options, name) not in (None, ()):
                raise UsageError(
                    f"`{name}` says what is shown: give `picture`, `scan_line` or `html` too"
                )


def _refuse_inputs(inputs: Inputs, options: ShowOptions) -> None:
    """Raise UsageError if a file to write is one of the inputs."""
    known = {path.resolve() for path in inputs.paths}
    for path in filter(None, (options.picture, options.scan_line, options.html)):
        if path.resolve() in known:
            raise UsageError(f"{path} is one of the inputs: give what is written another name")
