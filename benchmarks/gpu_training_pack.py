"""The command `pack` of gpu_training.py."""

import argparse

from vsrpp_cli.training.job import TrainingOptions, packed
from vsrpp_cli.training.material.small_pack import shrink
from vsrpp_cli.training.processes import Processes
from vsrpp_cli.training.recipe import load_recipe
from vsrpp_cli.training.shipped_recipes import find_recipe


def pack(given: argparse.Namespace) -> None:
    """Write the small pack, and print its contents."""
    recipe = load_recipe(find_recipe(given.recipe))
    folder = given.pack or given.file.with_name(f"{given.file.name}.whole")
    options = TrainingOptions(tuple(given.data), folder, tuple(given.stills), folder)
    whole = packed(recipe, options, Processes(), lambda *told: print("packed", *told, flush=True))
    limit = int(given.megabytes * 1e6)
    counts = shrink(whole, given.file, recipe, limit=limit, seed=given.seed)
    found = ", ".join(f"{count} of kind {kind}" for kind, count in counts.items())
    print(f"{given.file}: {given.file.stat().st_size / 1e6:.1f} MB, {found}")
