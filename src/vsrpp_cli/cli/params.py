"""Option groups and value types that several commands share."""

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import click

from vsrpp_cli.cli import suggestions
from vsrpp_cli.cli.command import F, Heading, option
from vsrpp_cli.cli.config import load_config, use_preset
from vsrpp_cli.errors import UsageError
from vsrpp_cli.options import (
    BATCH_NAME,
    DEINTERLACE,
    FORMATS,
    PRECISIONS,
    UpscaleOptions,
    byte_size,
    rational,
    raw_video,
    seconds,
)
from vsrpp_cli.runs.path_map import parse_path_map


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


def _count(option: str, text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise UsageError(f"{option} {text!r}: must be a whole number, at least 1")
    return int(text)


COUNT = Parsed("n", _count)
RATIO = Parsed("ratio", rational)
SECONDS = Parsed("time", seconds)
RAW = Parsed("raw", raw_video)
BYTES = Parsed("size", byte_size)
KEY_VALUE = Parsed("key=value", _key_value)
PATH_MAP = Parsed("old=new", parse_path_map)
WORKERS = Parsed("auto|number", _workers)


def _stack(options: list[Callable[[F], F]]) -> Callable[[F], F]:
    def decorate(function: F) -> F:
        for each in reversed(options):
            function = each(function)
        return function

    return decorate


def without(name: str, text: str, heading: Heading = Heading.OPTIONS) -> Callable[[F], F]:
    """Return a flag `--no-NAME` that sets the parameter NAME to false."""
    return option(
        f"--no-{name}", name, is_flag=True, flag_value=False, default=True, help=text,
        heading=heading,
    )  # fmt: skip


def _former(name: str, meanings: dict[str, Any]) -> Callable[[F], F]:
    """Return the option `--NAME on|off` of earlier versions, which still works and is not shown."""

    def parse(option: str, text: str) -> Any:
        if text not in meanings:
            raise UsageError(f"{option} {text!r}: must be {' or '.join(meanings)}")
        return meanings[text]

    kind = Parsed("|".join(meanings), parse)
    return click.option(f"--{name}", type=kind, hidden=True, default=next(iter(meanings)))


model = partial(option, heading=Heading.MODEL)
size = partial(option, heading=Heading.SIZE)
output = partial(option, heading=Heading.OUTPUT)
source = partial(option, heading=Heading.INPUT)
computing = partial(option, heading=Heading.COMPUTING)
run = partial(option, heading=Heading.RUN)
messages = partial(option, heading=Heading.MESSAGES)
machines = partial(option, heading=Heading.MACHINES)

_config_option = run(
    "--config", type=click.Path(dir_okay=False), is_eager=True, expose_value=False,
    envvar="VSRPP_CONFIG", show_envvar=True, callback=load_config,
    help="Read defaults from a TOML file whose keys are option names.",
)  # fmt: skip
_use_option = run(
    "--use", metavar="PRESET", expose_value=False, is_eager=True, callback=use_preset,
    help="Take the options of [presets.PRESET] in the config file.",
)  # fmt: skip
config_option = _stack([_config_option, _use_option])

DEVICES = suggestions.among(("auto", "cpu", "cuda", "mps"))

ensemble_option = model(
    "--ensemble", is_flag=True,
    help="Average eight flipped and turned passes: slightly better, eight times slower.",
)  # fmt: skip
device_option = computing("--device", metavar="DEVICE", default="auto", show_default=True,
                          shell_complete=DEVICES,
                          help="auto, cpu, cuda, cuda:N or mps.")  # fmt: skip
threads_option = computing("--threads", type=COUNT,
                           help="CPU threads of the network.  [default: all cores]")  # fmt: skip
offline_option = model(
    "--offline", is_flag=True, envvar="VSRPP_OFFLINE", show_envvar=True, help="Never download."
)
precision_option = computing(
    "--precision", type=click.Choice(PRECISIONS), default="auto", show_default=True,
    help="Number format of the network; auto takes the fastest that is safe.",
)  # fmt: skip
quiet_option = messages("-q", "--quiet", is_flag=True, help="Print errors only.")
overwrite_option = output("-y", "--yes", "overwrite", is_flag=True,
                          help="Replace an existing OUTPUT.")  # fmt: skip
skip_option = output("--skip-existing", is_flag=True, help="Do nothing where OUTPUT exists.")
verify_option = output(
    "--no-verify", "verify", is_flag=True, flag_value=False, default=True,
    help="Do not decode the finished file to check it.",
)  # fmt: skip
path_map_option = option(
    "--path-map", "maps", type=PATH_MAP, multiple=True, metavar="OLD=NEW",
    heading=Heading.MACHINES,
    help="Look for the plan's files below OLD in NEW on this machine; may be repeated.",
)  # fmt: skip
keep_work_option = run("--keep-work", is_flag=True, help="Keep the work folder after the run.")

workers_option = computing(
    "--workers", type=WORKERS, default="auto", show_default=True,
    help="Processes that compute segments at once; auto is one per GPU.",
)  # fmt: skip

compute_options = _stack([
    model("-m", "--model", metavar="MODEL", default="auto", show_default=True,
          shell_complete=suggestions.models,
          help="Name (see vsrpp models list), file, hf:OWNER/REPO/FILE, or a chain: A,B."),
    ensemble_option,
    offline_option,
    computing("--device", metavar="DEVICE", default="auto", show_default=True,
              shell_complete=DEVICES,
              help="auto, cpu, cuda, cuda:N or mps; several GPUs with commas."),
    precision_option,
    computing("--fp16", "precision", flag_value="fp16", help="Same as --precision fp16."),
    threads_option,
    workers_option,
])  # fmt: skip

geometry_options = _stack([
    computing("--memory-limit", type=BYTES,
              help="Memory to use, e.g. 8G.  [default: a share of the machine's]"),
    computing("--tile", default="auto", show_default=True, metavar="auto|off|N|WxH",
              help="Size of spatial tiles in input pixels."),
    computing("--tile-overlap", type=int, metavar="PIXELS",
              help="How far a tile extends beyond its borders.  [default: 24]"),
    computing("--chunk", type=int, metavar="FRAMES",
              help="Frames per network call, overlap included.  [default: from memory]"),
    computing("--overlap", type=int, metavar="FRAMES",
              help="Context frames on each side of a chunk.  [default: 4 to 8, from memory]"),
    computing("--segment", type=int, metavar="FRAMES",
              help="Frames per segment, the unit of resume.  [default: about a minute's work]"),
    computing("--no-scenes", "scenes", flag_value="off",
              help="Let chunks extend across scene cuts."),
    _former("scenes", {"auto": "auto", "off": "off"}),
    computing("--compile", is_flag=True,
              help="Use torch.compile: for GPUs; the first run takes minutes longer."),
    computing("--graphs", is_flag=True,
              help="Use CUDA graphs: for small frames on GPUs; needs a little more memory."),
    without("guard", "Do not check results for black and broken frames.", Heading.COMPUTING),
    _former("guard", {"on": True, "off": False}),
])  # fmt: skip

size_options = _stack([
    size("--scale", type=RATIO, help="Output size divided by input size, e.g. 2 or 1.5.  "
         "[default: the model's, 4 or 1]"),
    size("--height", type=int, metavar="PIXELS", help="Height of the output."),
    size("--width", type=int, metavar="PIXELS",
         help="Width of the output; with --height alone the width follows, and vice versa."),
])  # fmt: skip

part_options = _stack([
    source("--start", type=SECONDS, help="Begin here: seconds or H:MM:SS."),
    source("--end", type=SECONDS, help="End before this time."),
    source("--frames", type=COUNT, help="Process at most N frames."),
    source("--video-track", type=int, metavar="N", help="Video track to use, counted from 0."),
    source("--deinterlace", type=click.Choice(DEINTERLACE), default="auto", show_default=True,
           help="auto deinterlaces where the input is interlaced."),
    source("--fps", type=RATIO, help="Frame rate of a folder of frames."),
])  # fmt: skip

selection_options = _stack([size_options, part_options])

name_option = output(
    "--name",
    metavar="TEMPLATE",
    help="Names of files in a folder, from {stem}, {suffix} and {name} of the input.  "
    f"[default: {BATCH_NAME}]",
)

output_options = _stack([
    overwrite_option,
    output("--codec", metavar="ENCODER", shell_complete=suggestions.encoders,
           help="libx264, libx265, libsvtav1, ...  [default: from OUTPUT's suffix]"),
    output("--crf", type=float, help="Constant quality; lower is better.  [default: 16]"),
    output("--preset", metavar="NAME", shell_complete=suggestions.presets,
           help="Speed of the encoder.  [default: medium]"),
    output("--pix-fmt", metavar="NAME",
           help="E.g. yuv420p, yuv420p10le.  [default: from the input]"),
    output("--encoder-option", "encoder_options", type=KEY_VALUE, multiple=True,
           metavar="KEY=VALUE", help="Pass an option to the encoder; may be repeated."),
    without("audio", "Leave out sound.", Heading.OUTPUT),
    without("subtitles", "Leave out subtitles.", Heading.OUTPUT),
    without("chapters", "Leave out chapters.", Heading.OUTPUT),
    without("metadata", "Leave out titles and tags.", Heading.OUTPUT),
    output("--strict", is_flag=True, help="Refuse to run if anything would be lost."),
    verify_option,
])  # fmt: skip

cluster_options = _stack([
    machines("--cluster", metavar="ray|auto|HOST:PORT",
              help="Compute on a Ray cluster; ray starts one on this machine for the run."),
    machines("--mixed", is_flag=True,
              help="Accept cluster workers with other software or another processor."),
])  # fmt: skip

pipe_options = _stack([
    source("--raw", type=RAW, metavar="WxH@FPS:PIXFMT",
           help="INPUT is frames without a header, e.g. 320x240@25:yuv420p."),
    output("--format", type=click.Choice(FORMATS),
           help="What goes into a pipe (OUTPUT is -).  [default: y4m]"),
])  # fmt: skip

run_options = _stack([
    skip_option,
    run("--resume", "resume", flag_value="must", default="auto",
        help="Fail unless there is interrupted work to continue."),
    run("--restart", "resume", flag_value="restart", help="Discard interrupted work."),
    run("--work-dir", type=click.Path(file_okay=False),
        help="Folder of work in progress.  [default: OUTPUT.vsrpp]"),
    keep_work_option,
])  # fmt: skip


def _check_report(ctx: click.Context, param: click.Parameter, value: Path | None) -> Path | None:
    """Refuse a report that could not be written, before hours of work."""
    if value is None:
        return None
    if str(value) == "-":
        raise click.BadParameter("a report goes into a file: give its name", ctx, param)
    if value.exists() and not value.is_file():
        raise click.BadParameter(f"{value} is no file", ctx, param)
    if not value.absolute().parent.is_dir():
        raise click.BadParameter(f"{value.parent} is no folder: create it first", ctx, param)
    if not os.access(value if value.exists() else value.absolute().parent, os.W_OK):
        raise click.BadParameter(f"no permission to write {value}", ctx, param)
    return value


report_option = messages(
    "--report",
    type=click.Path(dir_okay=False, path_type=Path),
    callback=_check_report,
    help="Write a report of the run as JSON.",
)


def _with_the_groups(ctx: click.Context, _param: click.Parameter, value: int) -> int:
    """Return how often `-v` was given, before the command's name and after it."""
    return value + int(ctx.find_root().params.get("verbose", 0))


def verbose_option(text: str) -> Callable[[F], F]:
    """Return `-v`, which may stand before the command's name, too."""
    return messages("-v", "--verbose", count=True, callback=_with_the_groups, help=text)


def make_options(values: dict[str, Any]) -> UpscaleOptions:
    """Return the options object from click's parameters.

    Raises:
        UsageError: a value is out of range.
    """
    return UpscaleOptions(**values)
