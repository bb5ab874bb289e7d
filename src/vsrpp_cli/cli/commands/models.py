"""`vsrpp models`."""

import json
from collections.abc import Iterable, Sequence

import click

from vsrpp_cli.checkpoints.cache import models_folder, place_of
from vsrpp_cli.checkpoints.download import is_cached, resolve, verify
from vsrpp_cli.checkpoints.registry import MATERIALS, MODELS, ModelRow, lookup
from vsrpp_cli.cli.command import Command, option
from vsrpp_cli.cli.text import echo
from vsrpp_cli.errors import ModelError
from vsrpp_cli.records import to_json

ALL = "all"

WORDS = """\
The same network was trained on different material, and gives its best on what it was trained on.
How the small frames came about decides:

  BI   bicubic: an editor, converter or camera made the frames smaller with a good filter. Sharp
       for their size, edges a little jagged. Most clean video is like this.
  BD   blur, then every fourth pixel: the frames are soft, as if slightly out of focus.
       A BD model sharpens strongly: on BI input it overshoots; a BI model leaves BD input soft.
  compressed   blocks, ringing, smeared texture of web video: a 4x model would enlarge these, too.
       Clean first with a same-size model, then enlarge: --model ntire-decompress-3,reds4
"""


@click.group("models")
def command() -> None:
    """List, inspect, download and verify models."""


@command.command("list", cls=Command)
@option("--json", "as_json", is_flag=True, help="One JSON array.")
def list_models(*, as_json: bool) -> None:
    """List all models.

    Shown are output size, size of the file, whether it is here, and what it was trained for.
    """
    if as_json:
        click.echo(json.dumps([_record(row) for row in MODELS.values()], indent=2))
        return
    header = ("model", "output", "file", "here", "trained for")
    rows = [
        (row.name, _output(row), _megabytes(row), _presence(row), row.trained_for)
        for row in MODELS.values()
    ]
    _table([header, *rows])


@command.command("info", cls=Command)
@click.argument("name", required=False)
@option("--json", "as_json", is_flag=True, help="One JSON object.")
def info(*, name: str | None, as_json: bool) -> None:
    """Describe a model.

    Without NAME: which model suits which material.
    """
    if name is None:
        for line in WORDS.splitlines():
            echo(line)
        _table([("your material", "--model"), *MATERIALS])
        return
    row = lookup(name)
    if as_json:
        click.echo(json.dumps(_record(row), indent=2))
        return
    _table(_facts(row))
    if row.scores:
        echo("")
        echo("published results:")
        scores = [(s.dataset, f"{s.psnr:.4f}", f"{s.ssim:.4f}", s.on) for s in row.scores]
        _table([("test set", "PSNR dB", "SSIM", "measured on"), *scores])


@command.command("download", cls=Command)
@click.argument("names", nargs=-1, required=True)
@option("--offline", is_flag=True, help="Only check the models that are here.")
def download(*, names: tuple[str, ...], offline: bool) -> None:
    """Download models into the cache and check them.

    Each of NAMES is a name of `vsrpp models list`, hf:OWNER/REPO/FILE, or `all`.
    """
    from vsrpp_cli.cli.download_bar import DownloadBar

    failures: list[ModelError] = []
    for name in MODELS if ALL in names else names:
        try:
            with DownloadBar() as bar:
                model = resolve(name, offline=offline, on_progress=bar)
        except ModelError as error:
            failures.append(error)
        else:
            echo(f"{model.name}: {model.path}")
    _fail(failures)


@command.command("verify", cls=Command)
@click.argument("names", nargs=-1)
def verify_models(*, names: tuple[str, ...]) -> None:
    """Check the SHA-256 of models.

    Without NAMES: of all that are here.
    """
    chosen = [lookup(name) for name in names if name != ALL]
    if not chosen:
        chosen = [row for row in MODELS.values() if is_cached(row)]
    failures: list[ModelError] = []
    for row in chosen:
        try:
            echo(f"{row.name}: good, {verify(row)}")
        except ModelError as error:
            failures.append(error)
    _fail(failures)


@command.command("path", cls=Command)
@click.argument("name", required=False)
def path(*, name: str | None) -> None:
    """Print where the file of a model lies or belongs.

    Without NAME: the folder of models.
    """
    if name is None:
        echo(models_folder())
        return
    row = lookup(name)
    echo(place_of(row))
    if not is_cached(row):
        echo(f"not there yet: `vsrpp models download {row.name}` fetches it", err=True)


def _fail(failures: Sequence[ModelError]) -> None:
    """Raise the only failure, or say all but the last, which is raised."""
    for error in failures[:-1]:
        echo(f"vsrpp: {error}", err=True)
    if failures:
        raise failures[-1]


def _facts(row: ModelRow) -> list[tuple[str, ...]]:
    config = row.config
    facts: list[tuple[str, ...]] = [
        ("model", row.name),
        ("also called", ", ".join(row.aliases) or "-"),
        ("take it", row.advice),
        ("trained for", row.trained_for),
        ("output", _output(row)),
        ("network", f"{config.channels} channels, {config.blocks} blocks a branch"),
        ("parameters", f"{row.parameters / 1e6:.1f} million"),
        ("frames", f"at least {row.minimum}x{row.minimum} pixels (smaller ones are padded)"),
        ("chunks", f"{row.overlap} frames overlap, at most {row.frame_cap} frames"),
        ("source", row.source),
        ("licence", row.licence),
        ("file", f"{row.file}, {_megabytes(row)}, SHA-256 {row.digest}..."),
        ("here", f"{_presence(row)}: {place_of(row)}"),
    ]
    return facts + [("from", url) for url in row.urls]


def _record(row: ModelRow) -> dict[str, object]:
    return {
        **to_json(row),
        "urls": row.urls,
        "scale": row.scale,
        "path": str(place_of(row)),
        "here": is_cached(row),
    }


def _output(row: ModelRow) -> str:
    return f"{row.scale}x" if row.scale > 1 else "same size"


def _megabytes(row: ModelRow) -> str:
    return f"{row.approximate_bytes / 1e6:.0f} MB"


def _presence(row: ModelRow) -> str:
    if row.embedded:
        return "built in" if is_cached(row) else "missing"
    return "cached" if is_cached(row) else "no"


def _table(rows: Iterable[Sequence[str]]) -> None:
    """Print rows as columns; the last one runs free."""
    rows = list(rows)
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]) - 1)]
    for *cells, last in rows:
        padded = (cell.ljust(width) for cell, width in zip(cells, widths, strict=True))
        echo("  ".join([*padded, last]))
