"""`vsrpp doctor`: what this machine has, and what of it works."""

import json
import platform
import shutil
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import click

from vsrpp_cli.cli.command import Command, option
from vsrpp_cli.cli.text import echo
from vsrpp_cli.version import __version__

SCHEMA = 1
PACKAGES = ("torch", "torchvision", "av", "numpy", "numba", "huggingface-hub", "safetensors")


@click.command("doctor", cls=Command)
@option(
    "--warm",
    "compile_ahead",
    is_flag=True,
    help="Compile now what the first run on this processor would compile.",
)
@option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def command(*, compile_ahead: bool, as_json: bool) -> None:
    """Show versions, devices, encoders, caches and free space.

    Each encoder encodes a few frames. If there is no GPU, the reasons are shown.
    """
    facts = examine()
    if compile_ahead:
        facts["compiled"] = _warm()
    if as_json:
        click.echo(json.dumps({"schema": SCHEMA, **facts}, indent=2))
        return
    for section, lines in _texts(facts).items():
        echo(f"{section}:")
        for name, value in lines:
            echo(f"  {name:<18} {value}")


def examine() -> dict[str, Any]:
    """Return the facts, section by section, as JSON values; sizes are in bytes."""
    from vsrpp_cli.inference.machine.gpus import why_no_gpu

    return {
        "versions": versions(),
        "machine": _machine(),
        "devices": _devices(),
        "no_gpu": why_no_gpu(),
        "encoders": _encoders(),
        "places": _places(),
    }


def _texts(facts: dict[str, Any]) -> dict[str, list[tuple[str, str]]]:
    """Return the facts as names and texts for people."""
    return {
        "versions": list(facts["versions"].items()),
        "machine": list(_machine_texts(**facts["machine"])),
        "devices": [
            *(
                (name, f"{d['name']}, precision {d['precision']}")
                for name, d in facts["devices"].items()
            ),
            *(("no GPU", reason) for reason in facts["no_gpu"]),
        ],
        "encoders": [(name, _encoder_text(name, **e)) for name, e in facts["encoders"].items()],
        "places": [
            (name, f"{p['path']}, {p['free'] / 1e9:.1f} GB free")
            for name, p in facts["places"].items()
        ],
        **(
            {"compiled ahead": list(_warm_texts(**facts["compiled"]))}
            if "compiled" in facts
            else {}
        ),
    }


def _warm() -> dict[str, Any]:
    from vsrpp_cli.evaluation.warming import warm

    done = warm()
    return {
        "functions": list(done.functions),
        "folders": [str(path) for path in done.folders],
        "seconds": round(done.seconds, 1),
    }


def _warm_texts(
    *, functions: list[str], folders: list[str], seconds: float
) -> Iterator[tuple[str, str]]:
    if not functions:
        yield "kernels", "all were compiled already"
        return
    yield "kernels", f"{len(functions)} in {seconds:.0f} s"
    for folder in folders:
        yield "kept in", folder
    if not folders:
        yield "kept in", "no folder: none can be written to, set NUMBA_CACHE_DIR"


def versions() -> dict[str, str]:
    """Return the versions of this program and of what it computes with."""
    found = {"vsrpp": __version__, "python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "missing"
    return found


def _machine() -> dict[str, Any]:
    from vsrpp_cli.inference.machine.device import cpu_capability, default_threads
    from vsrpp_cli.inference.machine.memory import default_limit, total_memory

    return {
        "system": platform.platform(),
        "processor": f"{platform.machine()}, {cpu_capability()}",
        "threads": default_threads(),
        "memory": total_memory(),
        "memory_of_a_run": default_limit(),
    }


def _machine_texts(
    *, system: str, processor: str, threads: int, memory: int, memory_of_a_run: int
) -> Iterator[tuple[str, str]]:
    yield "system", system
    yield "processor", processor
    yield "threads", str(threads)
    yield "memory", f"{memory / 2**30:.1f} GiB, of which a run uses {memory_of_a_run / 2**30:.1f}"


def _devices() -> dict[str, dict[str, Any]]:
    from vsrpp_cli.inference.machine.device import (
        available_devices,
        device_memory,
        device_name,
        resolve_device,
        resolve_precision,
    )

    found = {name: resolve_device(name) for name in available_devices()}
    return {
        name: {
            "name": device_name(device),
            "precision": resolve_precision("auto", device),
            "memory_of_a_run": device_memory(device),
        }
        for name, device in found.items()
    }


def _encoders() -> dict[str, dict[str, Any]]:
    from vsrpp_cli.media.encode.selection import try_all_encoders

    return {
        row.encoder: {
            "coding": row.coding,
            "containers": list(row.containers),
            "hardware": row.hardware,
            "works": not error,
            "error": error,
        }
        for row, error in try_all_encoders().items()
    }


def _encoder_text(name: str, *, coding: str, containers: list[str], error: str, **_: Any) -> str:
    """Return what an encoder writes, or what is wrong with it without what to do about it."""
    if error:
        return error.partition(";")[0].removeprefix(f"{name} ")
    return f"{coding} into {', '.join(containers)}"


def _places() -> dict[str, dict[str, Any]]:
    from vsrpp_cli.checkpoints.cache import models_folder

    return {"model cache": _place(models_folder()), "working folder": _place(Path.cwd())}


def _place(path: Path) -> dict[str, Any]:
    there = next(p for p in (path, *path.parents) if p.exists())
    return {"path": str(path), "free": shutil.disk_usage(there).free}
