"""Finds the recipes that are part of the package, by name."""

from importlib import resources
from pathlib import Path

from vsrpp_cli.errors import UnknownNameError


def shipped_recipes() -> list[str]:
    """Return the names of the recipes in the package."""
    folder = resources.files("vsrpp_cli.training") / "recipes"
    return sorted(item.name[:-5] for item in folder.iterdir() if item.name.endswith(".toml"))


def find_recipe(text: str) -> Path:
    """Return the path of a recipe given as a path or as the name of a shipped one.

    Raises:
        UnknownNameError: there is no such file and no such recipe.
    """
    if Path(text).is_file():
        return Path(text)
    name = text.removesuffix(".toml")
    if name in shipped_recipes():
        with resources.as_file(resources.files("vsrpp_cli.training") / "recipes") as folder:
            return folder / f"{name}.toml"
    raise UnknownNameError(
        f"there is no recipe {text!r}: give a file, or one of {', '.join(shipped_recipes())}"
    )
