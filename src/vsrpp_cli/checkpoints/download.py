"""Finds the weight files for the option `model`; downloads them if necessary."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from vsrpp_cli.checkpoints import hub, registry, transfer
from vsrpp_cli.checkpoints.cache import place_of, sha256_of
from vsrpp_cli.checkpoints.registry import ModelRow
from vsrpp_cli.checkpoints.transfer import OnProgress, Patience, TransferError
from vsrpp_cli.errors import (
    CheckpointError,
    ModelError,
    ModelUnavailableError,
    UsageError,
)

AUTO = "auto"
SUFFIXES = (".pth", ".pt", ".ckpt", ".safetensors")
IMPATIENT = Patience(timeout=10, attempts=2, pause=0.5)
"""For a model that can be replaced by an embedded one."""


@dataclass(frozen=True, slots=True)
class ResolvedModel:
    """A model whose file is on this machine."""

    name: str
    """A registry name, a path or `hf:...`, which can be given again."""
    path: Path
    """Absolute path of the file."""
    sha256: str
    """SHA-256 of the file, 64 hex digits."""
    row: ModelRow | None
    """Its row of the registry, found by the file's hash; None for other weights."""
    note: str | None = None
    """A note for the user about the choice; None if there is none."""
    why: str = ""
    """For `auto`, the property of the source that decided; empty otherwise."""


def is_offline(option: bool) -> bool:
    """Return whether internet access is forbidden.

    By `option`, or by the environment variable `VSRPP_OFFLINE` or `HF_HUB_OFFLINE`.
    """
    switches = (os.environ.get(name, "") for name in ("VSRPP_OFFLINE", "HF_HUB_OFFLINE"))
    return option or any(s.strip().lower() in {"1", "true", "yes", "on"} for s in switches)


def is_cached(row: ModelRow) -> bool:
    """Return whether the model's file exists; its content is not checked."""
    return place_of(row).is_file()


def verify(row: ModelRow) -> Path:
    """Check the SHA-256 of a model's file, and return its path.

    Raises:
        ModelUnavailableError: it does not exist.
        CheckpointError: it is not the published file.
    """
    place = place_of(row)
    if not place.is_file():
        raise ModelUnavailableError(_how_to_get(row, "is not here"))
    found = sha256_of(place)
    if not found.startswith(row.digest):
        raise CheckpointError(
            f"{place} is not the file of model {row.name}: its SHA-256 begins with "
            f"{found[:8]}, not with {row.digest}; "
            + (
                "install the package again"
                if row.embedded
                else f"remove it and run `vsrpp models download {row.name}`"
            )
        )
    return place


def locate(
    row_or_name: ModelRow | str,
    *,
    offline: bool = False,
    on_progress: OnProgress | None = None,
    patience: Patience | None = None,
) -> Path:
    """Return the path of a registry model's file, verified; download it if necessary.

    A damaged file in the cache is downloaded again.

    Args:
        row_or_name: the model.
        offline: never download.
        on_progress: called during a download.
        patience: timeouts and retries; None for the default.

    Raises:
        UnknownNameError: no model has that name.
        ModelUnavailableError: the file is missing, and the download failed or is not allowed.
        CheckpointError: the file is damaged and cannot be replaced.
        DiskFullError: the disk is full.
    """
    row = registry.lookup(row_or_name) if isinstance(row_or_name, str) else row_or_name
    try:
        return verify(row)
    except ModelError:
        if row.embedded or (is_offline(offline) and is_cached(row)):
            raise
    if is_offline(offline):
        raise ModelUnavailableError(_how_to_get(row, "is not here, and offline was asked for"))
    try:
        _download(row, on_progress, patience)
    except TransferError as error:
        raise ModelUnavailableError(_how_to_get(row, f"cannot be had ({error})")) from error
    return verify(row)


def _download(row: ModelRow, on_progress: OnProgress | None, patience: Patience | None) -> None:
    place = place_of(row)
    with _writable(place):
        try:
            transfer.fetch(row.urls, place, row.digest, patience=patience, on_progress=on_progress)
        except TransferError as error:
            repo = os.environ.get("VSRPP_HF_REPO")
            if not repo:
                raise
            try:
                _download_from_hub(row, repo, on_progress)
            except (ModelError, TransferError) as hub_error:
                raise TransferError(f"{error}; {hub_error}") from hub_error


def _download_from_hub(row: ModelRow, repo: str, on_progress: OnProgress | None) -> None:
    """Fetch a row's file from the user's own hub repository, `OWNER/REPO[@REVISION]`."""
    name, _, revision = repo.partition("@")
    wanted = hub.HubFile(name, row.file, revision or None)
    place = place_of(row)
    with transfer.locked(place), _scratch(place.parent) as folder:
        found = hub.fetch(wanted, offline=False, folder=folder, on_progress=on_progress)
        transfer.put(found, place, row.digest)


@contextmanager
def _scratch(parent: Path) -> Iterator[Path]:
    # In the final folder, so that the file only needs to be renamed.
    folder = Path(tempfile.mkdtemp(prefix=".hub-", dir=parent))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _writable(place: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise ModelUnavailableError(
            f"cannot write {error.filename or place} ({error.strerror or error}): VSRPP_CACHE can "
            f"name another folder for models"
        ) from error


def _how_to_get(row: ModelRow, trouble: str) -> str:
    if row.embedded:
        return (
            f"model {row.name} {trouble}: {place_of(row)} belongs to the package; install it again"
        )
    return (
        f"model {row.name} {trouble}; `vsrpp models info {row.name}` says where its file is to be "
        f"had and to be put; the built-in one is here: `model={registry.embedded_model().name!r}`"
    )


def resolve(
    text: str,
    *,
    offline: bool = False,
    on_progress: OnProgress | None = None,
    patience: Patience | None = None,
) -> ResolvedModel:
    """Return the one model that `text` names: a registry name, a path, or `hf:...`.

    Raises:
        UnknownNameError: it is none of these; the message names the nearest model, if any.
        ModelUnavailableError, CheckpointError, DiskFullError: see `locate`.
    """
    wanted = _wanted(text)
    if isinstance(wanted, ModelRow):
        path = locate(wanted, offline=offline, on_progress=on_progress, patience=patience)
        return ResolvedModel(wanted.name, path.absolute(), sha256_of(path), wanted)
    if isinstance(wanted, hub.HubFile):
        path = hub.fetch(wanted, offline=is_offline(offline), on_progress=on_progress)
        return _resolved(str(wanted), path)
    return _resolved(text, wanted)


def _wanted(text: str) -> ModelRow | hub.HubFile | Path:
    """Return what `text` names: a model, a file of the hub or a path. Needs no internet access."""
    if text.startswith(hub.PREFIX):
        return hub.parse(text)
    if row := registry.find(text):
        return row
    path = Path(text).expanduser()
    if path.is_file():
        return path
    if path.is_dir():
        raise ModelUnavailableError(f"{text}: is a folder: give a file of weights in it")
    if path.suffix.lower() in SUFFIXES or len(path.parts) > 1:
        raise ModelUnavailableError(f"{text}: no such file of weights")
    return registry.lookup(text)


def _resolved(name: str, path: Path) -> ResolvedModel:
    try:
        sha256 = sha256_of(path)
    except OSError as error:
        raise ModelUnavailableError(f"{path}: {error.strerror or error}") from error
    return ResolvedModel(name, path.absolute(), sha256, registry.find_by_digest(sha256))


def resolve_auto(
    device_kind: str,
    *,
    compressed: bool = False,
    offline: bool = False,
    on_progress: OnProgress | None = None,
) -> ResolvedModel:
    """Return the model that `auto` chooses; an embedded one, with a `note`, if it is unavailable.

    Args:
        device_kind: `cpu`, `cuda` or `mps`.
        compressed: whether the source shows compression artefacts.
        offline: never download.
        on_progress: called during a download.

    Raises:
        DiskFullError: the disk of the cache is full.
        ModelError: the embedded model is missing or damaged.
    """
    wanted = registry.automatic_model(device_kind, compressed=compressed)
    try:
        return resolve(wanted.name, offline=offline, on_progress=on_progress, patience=IMPATIENT)
    except ModelError as error:
        if wanted.embedded:
            raise
        note = f"using the built-in model instead of {wanted.name}, which is better: {error}"
    stand_in = resolve(registry.embedded_model(compressed=compressed).name)
    return replace(stand_in, note=note)


def asks_for_auto(text: str) -> bool:
    """Return whether one of the models in `NAME[,NAME...]` is `auto`."""
    return AUTO in _parts(text)


def _parts(text: str) -> list[str]:
    return [text] if Path(text).is_file() else [part.strip() for part in text.split(",")]


def resolve_chain(
    text: str,
    *,
    device_kind: str = "cpu",
    compressed: bool = False,
    offline: bool = False,
    on_progress: OnProgress | None = None,
) -> list[ResolvedModel]:
    """Return the models of `NAME[,NAME...]` in the order they are applied; `auto` may be one.

    Args:
        text: value of the option `model`.
        device_kind: see `resolve_auto`.
        compressed: see `resolve_auto`.
        offline: never download.
        on_progress: called during downloads.

    Raises:
        UsageError: a name between the commas is empty.
        UnknownNameError, ModelUnavailableError, CheckpointError, DiskFullError: see `resolve`.
    """
    parts = _parts(text)
    if not all(parts):
        raise UsageError(f"`model={text!r}`: a name is missing beside a comma")
    # Report unknown names before the known models are downloaded.
    for part in parts:
        if part != AUTO:
            _wanted(part)
    return [
        resolve_auto(device_kind, compressed=compressed, offline=offline, on_progress=on_progress)
        if part == AUTO
        else resolve(part, offline=offline, on_progress=on_progress)
        for part in parts
    ]
