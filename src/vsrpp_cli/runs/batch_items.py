"""Finds the items of a batch, videos and folders of frames, and names their outputs."""

import os
import string
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatch
from pathlib import Path

from vsrpp_cli.errors import InputError, UsageError
from vsrpp_cli.media.images.source import natural_key
from vsrpp_cli.media.suffixes import IMAGE_SUFFIXES, VIDEO_SUFFIXES
from vsrpp_cli.options import BATCH_NAME
from vsrpp_cli.runs.destination import check_input, output_suffix
from vsrpp_cli.runs.names import check_name

_FIELDS = ("stem", "suffix", "name")
_WORK = ".vsrpp"


@dataclass(frozen=True, slots=True)
class Item:
    """One thing to upscale."""

    input: Path
    output: Path
    relative: str
    """Path of the input below the batch's folder, with `/`, for messages and records."""


@dataclass(frozen=True, slots=True)
class Found:
    """The items of a batch, and what it ignores."""

    items: tuple[Item, ...]
    notes: tuple[str, ...]


def find_items(
    inputs: Path,
    outputs: Path,
    *,
    name: str = BATCH_NAME,
    include: Sequence[str] = (),
    exclude: Sequence[str] = (),
) -> Found:
    """Find everything to upscale below a folder.

    Args:
        inputs: the folder. Hidden files, work folders (`*.vsrpp`) and the folder `outputs` are
            ignored.
        outputs: the folder of outputs, with the same subfolders as `inputs`.
        name: template of output names, with `{stem}`, `{suffix}` and `{name}` of the input.
        include: patterns (`*`, `?`, `[...]`) of paths below `inputs`, or of names; only items that
            match one are taken, files whatever their suffix.
        exclude: patterns of items to leave out and of folders not to enter.

    Raises:
        InputError: there is no such folder, or nothing to upscale in it.
        UsageError: the template is wrong, or gives two items the same name.
    """
    _check_template(name)
    if not inputs.is_dir():
        what = "is no folder: `vsrpp upscale` takes files" if inputs.exists() else "no such folder"
        raise InputError(f"{inputs}: {what}")
    if outputs.exists() and not outputs.is_dir():
        raise UsageError(f"{outputs} is no folder: a batch's results go into one")
    if outputs.exists() and outputs.samefile(inputs):
        raise UsageError(f"{outputs} is the input's folder itself: give another one")
    walk = _Walk(inputs, outputs, tuple(include), tuple(exclude))
    found = list(walk.paths())
    if not found:
        raise InputError(f"{inputs}: no video and no folder of frames to upscale in it")
    below = [(path, path.relative_to(inputs)) for path in found]
    return Found(tuple(_named(below, outputs, name)), tuple(walk.notes))


def name_items(inputs: Sequence[str], outputs: Path, *, name: str = BATCH_NAME) -> Found:
    """Return the items for inputs given one by one, whose outputs go into one folder.

    Raises:
        UsageError: the template is wrong, or gives two inputs the same name.
        InputError: an input does not exist.
    """
    _check_template(name)
    if outputs.exists() and not outputs.is_dir():
        raise UsageError(f"{outputs} is no folder")
    paths = [check_input(given) for given in inputs]
    for path in paths:
        if not path.exists():
            raise InputError(f"{path}: no such file or folder")
    below = [(path, Path(path.absolute().name)) for path in paths]
    return Found(tuple(_named(below, outputs, name)), ())


def _check_template(name: str) -> None:
    try:
        fields = [field for _, field, _, _ in string.Formatter().parse(name) if field is not None]
    except ValueError as error:
        raise UsageError(f"`name={name!r}`: {error}") from error
    if unknown := [field for field in fields if field not in _FIELDS]:
        known = ", ".join(f"{{{field}}}" for field in _FIELDS)
        raise UsageError(f"`name={name!r}`: no {{{unknown[0]}}}; there are {known}")
    if not fields or Path(name).name != name:
        raise UsageError(f"`name={name!r}`: must be a file's name with {{stem}} or {{name}}")


class _Walk:
    """One pass over the tree, in natural order."""

    def __init__(
        self, inputs: Path, outputs: Path, include: tuple[str, ...], exclude: tuple[str, ...]
    ) -> None:
        self._inputs, self._outputs = inputs, outputs.absolute()
        self._include, self._exclude = include, exclude
        self.notes: list[str] = []

    def paths(self) -> Iterator[Path]:
        """Yield every video and every folder of frames."""
        for place, folders, names in os.walk(self._inputs):
            folder = Path(place)
            empty = not folders and not names
            folders[:] = [f for f in sorted(folders, key=natural_key) if self._enters(folder / f)]
            files = [folder / n for n in sorted(names, key=natural_key) if not n.startswith(".")]
            videos = [path for path in files if self._takes(path)]
            images = [path for path in files if path.suffix.lower() in IMAGE_SUFFIXES]
            if self._is_frames(folder, videos, images, empty=empty):
                yield folder
            yield from videos

    def _enters(self, folder: Path) -> bool:
        ours = folder.suffix == _WORK or folder.absolute() == self._outputs
        return not (folder.name.startswith(".") or ours or self._fits(folder, self._exclude))

    def _takes(self, path: Path) -> bool:
        if path.suffix.lower() in IMAGE_SUFFIXES or self._fits(path, self._exclude):
            return False
        if self._include:
            return self._fits(path, self._include)
        return path.suffix.lower() in VIDEO_SUFFIXES

    def _is_frames(
        self, folder: Path, videos: list[Path], images: list[Path], *, empty: bool
    ) -> bool:
        if self._include and not self._fits(folder, self._include):
            return False
        if images and videos:
            count = f"{len(images)} image{'s' if len(images) > 1 else ''}"
            self.notes.append(f"{folder}: {count} beside videos left alone")
            return False
        # An empty folder probably is a failed export of frames: it becomes an item that fails.
        return bool(images) or (empty and folder != self._inputs)

    def _fits(self, path: Path, patterns: tuple[str, ...]) -> bool:
        relative = path.relative_to(self._inputs).as_posix()
        return any(fnmatch(relative, p) or fnmatch(path.name, p) for p in patterns)


def _named(found: Iterable[tuple[Path, Path]], outputs: Path, name: str) -> Iterator[Item]:
    """Yield items with distinct outputs; where two names are equal, the second gets its suffix.

    Args:
        found: inputs, and where they lie below the folder whose tree is mirrored.
        outputs: the folder of outputs.
        name: template of names.
    """
    taken: dict[str, Path] = {}
    for path, relative in found:
        item = _item(path, relative, outputs, name, stem=_stem(path))
        if item.output.as_posix().casefold() in taken:
            kind = path.suffix[1:].lower() if path.is_file() else "frames"
            stem = f"{_stem(path)}_{kind}"
            item = _item(path, relative, outputs, name, stem=stem)
        key = item.output.as_posix().casefold()
        if key in taken:
            raise UsageError(f"`name={name!r}` gives {item.output} to {taken[key]} and to {path}")
        check_name(item.output)
        taken[key] = path
        yield item


def _stem(path: Path) -> str:
    return path.stem if path.is_file() else path.absolute().name


def _item(path: Path, relative: Path, outputs: Path, name: str, *, stem: str) -> Item:
    source = path.suffix if path.is_file() else ""
    suffix = output_suffix(path) if source else ""
    filled = name.format(stem=stem, suffix=suffix, name=f"{stem}{source}")
    item = Item(path, outputs / relative.parent / filled, relative.as_posix())
    return item if relative.parts else replace(item, relative=stem)
