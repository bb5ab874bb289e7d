"""`vsrpp doctor`: what this machine has."""

import json
import platform
import shutil
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import click

from vsrpp_cli.cli.command import Command, option
from vsrpp_cli.cli.text import echo
from vsrpp_cli.version import __version__

PACKAGES = ("torch", "torchvision", "av", "numpy", "numba", "huggingface-hub", "safetensors")


@click.command("doctor", cls=Command)
@option("--json", "as_json", is_flag=True, help="As JSON on stdout.")
def command(*, as_json: bool) -> None:
    """Show versions, devices, instruction sets, encoders, caches and room on the disk."""
    facts = examine()
    if as_json:
        click.echo(json.dumps(facts, indent=2))
        return
    for section, values in facts.items():
        echo(f"{section}:")
        for name, value in values.items():
            echo(f"  {name:<18} {value}")


def examine() -> dict[str, dict[str, str]]:
    """Return the facts, section by section."""
    return {
        "versions": _versions(),
        "machine": _machine(),
        "devices": _devices(),
        "encoders": _encoders(),
        "places": _places(),
    }


def _versions() -> dict[str, str]:
    found = {"vsrpp": __version__, "python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "missing"
    return found


def _machine() -> dict[str, str]:
    from vsrpp_cli.inference.device import cpu_capability, default_threads
    from vsrpp_cli.inference.memory import default_limit, total_memory

    return {
        "processor": f"{platform.machine()}, {cpu_capability()}",
        "threads": str(default_threads()),
        "memory": f"{total_memory() / 2**30:.1f} GiB",
        "memory a run uses": f"{default_limit() / 2**30:.1f} GiB at most",
    }


def _devices() -> dict[str, str]:
    from vsrpp_cli.inference.device import (
        available_devices,
        device_name,
        resolve_device,
        resolve_precision,
    )

    return {
        text: f"{device_name(resolve_device(text))}, "
        f"precision {resolve_precision('auto', resolve_device(text))}"
        for text in available_devices()
    }


def _encoders() -> dict[str, str]:
    from vsrpp_cli.media.encode.encoder_table import ROWS
    from vsrpp_cli.media.encode.selection import is_present

    return {
        row.encoder: f"{row.coding} into {', '.join(row.containers)}"
        + (" (tried on the hardware when used)" if row.hardware else "")
        for row in ROWS
        if is_present(row)
    }


def _places() -> dict[str, str]:
    from vsrpp_cli.checkpoints.cache import models_folder

    cache = models_folder()
    place = next(p for p in (cache, *cache.parents) if p.exists())
    return {
        "model cache": str(cache),
        "free there": f"{shutil.disk_usage(place).free / 1e9:.1f} GB",
        "working folder": str(Path.cwd()),
        "free here": f"{shutil.disk_usage(Path.cwd()).free / 1e9:.1f} GB",
    }
