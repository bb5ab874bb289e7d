"""Option groups and value types that several commands share."""

import os
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any, TypeVar

import click

from vsrpp_cli.cli.config import load_config
from vsrpp_cli.errors import UsageError
from vsrpp_cli.options import (
    DEINTERLACE,
    PRECISIONS,
    UpscaleOptions,
    byte_size,
    rational,
    seconds,
)

F = TypeVar("F", bound=Callable[..., Any])


class Parsed(click.ParamType[Any]):
    """A value read by one of the parsers of `vsrpp_cli.options`."""

    def __init__(self, name: str, parse: Callable[[str, str], Any]) -> None:
        self.name = name
        self._parse = parse

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the parsed value; click shows the error with the usage line."""
        if not isinstance(value, str):
            return value
        try:
            return self._parse(param.opts[-1] if param else "value", value)
        except UsageError as error:
            self.fail(str(error), param, ctx)


def _key_value(option: str, text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not equals or not key:
        raise UsageError(f"{option} {text!r}: must be KEY=VALUE")
    return key, value


def _workers(option: str, text: str) -> int | None:
    if text == "auto":
        return None
    if not text.isdigit():
        raise UsageError(f"{option} {text!r}: must be auto or a number")
    return int(text)


RATIO = Parsed("ratio", rational)
SECONDS = Parsed("time", seconds)
BYTES = Parsed("size", byte_size)
KEY_VALUE = Parsed("key=value", _key_value)
WORKERS = Parsed("auto|number", _workers)


def _stack(options: list[Callable[[F], F]]) -> Callable[[F], F]:
    def decorate(function: F) -> F:
        for option in reversed(options):
            function = option(function)
        return function

    return decorate


def switch(name: str, text: str) -> Callable[[F], F]:
    """Return an option `--NAME on|off`."""
    return click.option(
        f"--{name}",
        type=click.Choice(["on", "off"]),
        default="on",
        show_default=True,
        callback=lambda _ctx, _param, value: value == "on",
        help=text,
    )


def without(name: str, text: str) -> Callable[[F], F]:
    """Return a flag `--no-NAME` that sets the parameter NAME to false."""
    return click.option(
        f"--no-{name}", name, is_flag=True, flag_value=False, default=True, help=text
    )


config_option = click.option(
    "--config", type=click.Path(dir_okay=False), is_eager=True, expose_value=False,
    callback=load_config, help="TOML file with defaults, named as the options are.",
)  # fmt: skip

compute_options = _stack([
    click.option("-m", "--model", default="auto", show_default=True,
                 help="Name, path, hf:OWNER/REPO/FILE, or a chain with commas."),
    click.option("--device", default="auto", show_default=True,
                 help="auto, cpu, cuda, cuda:N or mps; several GPUs with commas."),
    click.option("--precision", type=click.Choice(PRECISIONS), default="auto", show_default=True),
    click.option("--fp16", "precision", flag_value="fp16", help="Short for --precision fp16."),
    click.option("--threads", type=int, help="CPU threads of the network.  [default: all]"),
    click.option("--ensemble", is_flag=True,
                 help="8-fold self-ensemble: a little better, eight times slower."),
    click.option("--compile", is_flag=True,
                 help="Go through torch.compile: meant for GPUs, takes minutes at first."),
    switch("guard", "Watch for black and broken frames and recompute them."),
    click.option("--offline", is_flag=True, envvar="VSRPP_OFFLINE", help="Never download."),
])  # fmt: skip

geometry_options = _stack([
    click.option("--chunk", type=int, metavar="FRAMES",
                 help="Frames one network call sees, overlap included.  [default: from memory]"),
    click.option("--overlap", type=int, metavar="FRAMES",
                 help="Frames of context on each side.  [default: 4 to 8, from memory]"),
    click.option("--segment", type=int, metavar="FRAMES",
                 help="Frames a segment, the unit of resume.  [default: about a minute]"),
    click.option("--scenes", type=click.Choice(["auto", "off"]), default="auto",
                 show_default=True, help="Whether scene cuts bound chunks."),
    click.option("--tile", default="auto", show_default=True, metavar="auto|off|N|WxH",
                 help="Spatial tiles, in input pixels."),
    click.option("--tile-overlap", type=int, metavar="PIXELS",
                 help="How far tiles reach over their borders.  [default: 24]"),
    click.option("--memory-limit", type=BYTES, help="E.g. 8G.  [default: a share of the machine]"),
])  # fmt: skip

selection_options = _stack([
    click.option("--start", type=SECONDS, help="Seconds or H:MM:SS from the beginning."),
    click.option("--end", type=SECONDS, help="Up to, not including."),
    click.option("--frames", type=int, help="At most so many frames."),
    click.option("--scale", type=RATIO, help="Output size over source size.  [default: 4]"),
    click.option("--height", type=int, help="Final height in pixels."),
    click.option("--width", type=int, help="Final width in pixels."),
    click.option("--fps", type=RATIO, help="Frame rate of a folder of frames."),
    click.option("--deinterlace", type=click.Choice(DEINTERLACE), default="auto",
                 show_default=True),
    click.option("--video-track", type=int, help="Which video track, from 0."),
])  # fmt: skip

output_options = _stack([
    click.option("--codec", help="libx264, libx265, libsvtav1, ...  [default: by the suffix]"),
    click.option("--crf", type=float, help="Constant quality, lower is better.  [default: 16]"),
    click.option("--preset", help="The encoder's speed.  [default: medium]"),
    click.option("--pix-fmt", help="E.g. yuv420p, yuv420p10le.  [default: by the source]"),
    click.option("--encoder-option", "encoder_options", type=KEY_VALUE, multiple=True,
                 metavar="K=V", help="Passed to the encoder; may be repeated."),
    without("audio", "Leave out sound."),
    without("subtitles", "Leave out subtitles."),
    without("chapters", "Leave out chapters."),
    without("metadata", "Leave out titles and tags."),
    click.option("--strict", is_flag=True, help="Refuse if anything would be lost."),
    click.option("--no-verify", "verify", is_flag=True, flag_value=False, default=True,
                 help="Do not decode the whole result to check it."),
])  # fmt: skip

run_options = _stack([
    click.option("--resume", "resume", flag_value="must", default="auto",
                 help="Insist on going on with interrupted work."),
    click.option("--restart", "resume", flag_value="restart", help="Discard interrupted work."),
    click.option("--work-dir", type=click.Path(file_okay=False),
                 help="Where to keep work in progress.  [default: beside OUTPUT]"),
    click.option("--keep-work", is_flag=True, help="Keep the work folder at the end."),
    click.option("--workers", type=WORKERS, default="auto", show_default=True,
                 help="Processes computing segments at once; auto is one a GPU."),
    click.option("-y", "overwrite", is_flag=True, help="Replace an existing OUTPUT."),
])  # fmt: skip


def _check_report(ctx: click.Context, param: click.Parameter, value: Path | None) -> Path | None:
    """Refuse a report that could not be written, before hours of work that it would be about."""
    if value is None:
        return None
    if str(value) == "-":
        raise click.BadParameter("pipes are not supported yet, give a file's name", ctx, param)
    if value.exists() and not value.is_file():
        raise click.BadParameter(f"{value} is no file", ctx, param)
    if not value.absolute().parent.is_dir():
        raise click.BadParameter(f"{value.parent} is no folder: create it first", ctx, param)
    if not os.access(value if value.exists() else value.absolute().parent, os.W_OK):
        raise click.BadParameter(f"no permission to write {value}", ctx, param)
    return value


report_option = click.option(
    "--report",
    type=click.Path(dir_okay=False, path_type=Path),
    callback=_check_report,
    help="Write the account as JSON.",
)


def _with_the_groups(ctx: click.Context, _param: click.Parameter, value: int) -> int:
    """Return how often `-v` was given, before the command's name and after it."""
    return value + int(ctx.find_root().params.get("verbose", 0))


def verbose_option(text: str) -> Callable[[F], F]:
    """Return `-v`, which may stand before the command's name, too."""
    return click.option("-v", "--verbose", count=True, callback=_with_the_groups, help=text)


def make_options(values: dict[str, Any]) -> UpscaleOptions:
    """Return the options object from click's parameters.

    Raises:
        UsageError: a value is out of range.
    """
    if isinstance(values.get("scale"), float):
        values["scale"] = Fraction(values["scale"])
    return UpscaleOptions(**values)
