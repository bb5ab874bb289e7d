"""`vsrpp bench`: how fast this machine is."""

import json
import re
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from vsrpp_cli.cli import params, suggestions
from vsrpp_cli.cli.command import Command, option
from vsrpp_cli.cli.params import Parsed
from vsrpp_cli.cli.text import echo, with_flags
from vsrpp_cli.errors import UsageError
from vsrpp_cli.version import __version__

if TYPE_CHECKING:
    from vsrpp_cli.evaluation.bench import Result, Size

SCHEMA = 1
MODELS = ("compact", "reds4")
SIZES = {"cpu": ((320, 180), (640, 360)), "cuda": ((640, 360), (1280, 720))}
"""What is measured by default; Apple's GPUs as NVIDIA's."""

EXAMPLES = """
vsrpp bench
vsrpp bench -m reds4 -m real-basicvsr --size 960x540 --seconds 300
vsrpp bench --json > machine.json
"""


def _size(option: str, text: str) -> "Size":
    if not (found := re.fullmatch(r"(\d{2,5})x(\d{2,5})", text.lower())):
        raise UsageError(f"{option} {text!r}: must be WIDTHxHEIGHT, e.g. 320x180")
    return int(found[1]), int(found[2])


@click.command("bench", cls=Command, examples=EXAMPLES)
@params.model(
    "-m",
    "--model",
    "models",
    metavar="MODEL",
    multiple=True,
    default=MODELS,
    show_default=True,
    shell_complete=suggestions.models,
    help="Name of a model; may be repeated. Models that are not here run with random weights.",
)
@option(
    "--size",
    "sizes",
    multiple=True,
    type=Parsed("WxH", _size),
    metavar="WxH",
    help="Size of the input; may be repeated.  [default: 320x180 and 640x360, twice that on a GPU]",
)
@option("--seconds", type=float, metavar="SECONDS", default=120, show_default=True,
        help="Time for everything.")  # fmt: skip
@option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@params.device_option
@params.precision_option
@params.threads_option
@params.quiet_option
def command(
    *, models: tuple[str, ...], sizes: tuple["Size", ...], seconds: float, as_json: bool,
    quiet: bool, **values: Any,
) -> None:  # fmt: skip
    """Measure how fast this machine runs the networks, in about two minutes.

    Prints frames per second and memory for each model and size, and a row to share.
    """
    from vsrpp_cli.evaluation.bench import processor_name, run_bench

    options = params.make_options({**values, "guard": False})
    found = []
    for result in run_bench(models, sorted(sizes or _sizes(options.device)), options, seconds):
        found.append(result)
        if not quiet:
            echo(_line(result), err=True)
    name = processor_name(next((r.device for r in found if r.device), ""))
    if as_json:
        click.echo(json.dumps(with_flags(_record(found, name)), indent=2))
    else:
        echo(_row(found, name))


def _sizes(device: str) -> "tuple[Size, ...]":
    from vsrpp_cli.inference.machine.device import resolve_devices

    return SIZES["cpu" if resolve_devices(device)[0].type == "cpu" else "cuda"]


def _line(result: "Result") -> str:
    name = f"{result.model} {result.width}x{result.height}"
    if result.skipped:
        return f"{name}: skipped: {result.skipped}"
    memory = f"{result.memory / 2**30:.1f} GiB"
    if result.device_memory:
        memory += f", {result.device_memory / 2**30:.1f} GiB on the GPU"
    weights = ", random weights" if result.random_weights else ""
    return f"{name}: {result.fps:.2f} frames/s, {memory} ({result.frames} frames{weights})"


def _row(found: "list[Result]", processor: str) -> str:
    """Return one row of a table in Markdown: the machine, how it computes, and each speed."""
    measured = [r for r in found if not r.skipped]
    if not measured:
        raise UsageError("nothing could be measured: see the reasons above, or give more --seconds")
    first = measured[0]
    how = f"{first.device}, {first.precision}, {first.threads} threads"
    speeds = (f"{r.model} {r.width}x{r.height}: {r.fps:.2f}/s" for r in measured)
    return f"| {' | '.join((processor, how, f'vsrpp {__version__}', *speeds))} |"


def _record(found: "list[Result]", processor: str) -> dict[str, Any]:
    from vsrpp_cli.cli.commands.doctor import versions

    results = [{**asdict(result), "fps": round(result.fps, 3)} for result in found]
    facts = {"schema": SCHEMA, "processor": processor, "versions": versions()}
    return {**facts, "results": results}
