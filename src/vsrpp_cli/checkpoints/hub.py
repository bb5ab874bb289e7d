"""Weight files on the Hugging Face hub, by its own client, which honours `HF_ENDPOINT`."""

import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vsrpp_cli.checkpoints.registry import embedded_model
from vsrpp_cli.checkpoints.transfer import OnProgress, Progress
from vsrpp_cli.durable import FULL
from vsrpp_cli.errors import DiskFullError, ModelUnavailableError, UsageError

PREFIX = "hf:"
_PATTERN = re.compile(r"(?P<repo>[^/@]+/[^/@]+)/(?P<file>[^@]+)(@(?P<revision>[^@]+))?")


@dataclass(frozen=True, slots=True)
class HubFile:
    """A file in a repository of the hub."""

    repo: str
    """OWNER/REPO."""
    file: str
    """Path inside the repository."""
    revision: str | None = None
    """Branch, tag or commit; None for the default branch."""

    def __str__(self) -> str:
        return f"{PREFIX}{self.repo}/{self.file}" + (f"@{self.revision}" if self.revision else "")


def parse(text: str) -> HubFile:
    """Parse `hf:OWNER/REPO/FILE[@REVISION]`.

    Raises:
        UsageError: it is not of that form.
    """
    match = _PATTERN.fullmatch(text.removeprefix(PREFIX))
    if match is None:
        raise UsageError(f"{text!r}: must be hf:OWNER/REPO/FILE or hf:OWNER/REPO/FILE@REVISION")
    return HubFile(match["repo"], match["file"], match["revision"])


def fetch(
    wanted: HubFile,
    *,
    offline: bool,
    folder: Path | None = None,
    on_progress: OnProgress | None = None,
) -> Path:
    """Return the path of a file of the hub on this machine; download it if necessary.

    Args:
        wanted: the file.
        offline: only look into the hub's cache.
        folder: where to download it to; None for the hub's cache.
        on_progress: called during the download.

    Raises:
        ModelUnavailableError: it cannot be downloaded; the message says why and what to do.
    """
    # Costs half a second, which only those pay who need it.
    from huggingface_hub import hf_hub_download, try_to_load_from_cache  # noqa: PLC0415

    if offline:
        # The client's own way of asking its cache only was seen to ask its server for other things.
        found = try_to_load_from_cache(wanted.repo, wanted.file, revision=wanted.revision)
        if not isinstance(found, str):
            raise _unavailable(wanted, "not in the hub's cache, and offline was asked for")
        return Path(found)
    with _mapped_errors(wanted), _silence():
        return Path(
            hf_hub_download(
                wanted.repo,
                wanted.file,
                revision=wanted.revision,
                local_dir=folder,
                library_name="vsrpp",
                tqdm_class=_reporter(wanted, on_progress),
            )
        )


@contextmanager
def _silence() -> Iterator[None]:
    """Keep the client, which logs to stderr, from printing its retries."""
    logger = logging.getLogger("huggingface_hub")
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(before)


@contextmanager
def _mapped_errors(wanted: HubFile) -> Iterator[None]:
    from huggingface_hub import errors  # noqa: PLC0415

    try:
        yield
    except errors.LocalEntryNotFoundError as error:
        # Said also of servers that cannot be reached, whose error is behind it.
        raise _unavailable(
            wanted, f"not to be reached ({_line(error.__cause__ or error)})"
        ) from error
    except errors.GatedRepoError as error:
        raise _unavailable(wanted, "access has to be asked for on its page first") from error
    except errors.RepositoryNotFoundError as error:
        raise _unavailable(wanted, "no such repository, or private and HF_TOKEN not set") from error
    except errors.RevisionNotFoundError as error:
        raise _unavailable(wanted, f"no revision {wanted.revision!r}") from error
    except errors.EntryNotFoundError as error:
        raise _unavailable(wanted, "the repository has no such file") from error
    # Errors of the client's own HTTP library have no exported base and are no OSErrors.
    except Exception as error:
        if isinstance(error, OSError) and error.errno in FULL:
            raise DiskFullError(
                f"no room for {wanted} in {error.filename or 'the cache'}: make room, or name "
                f"another folder with HF_HOME"
            ) from error
        raise _unavailable(wanted, _line(error)) from error


def _line(error: BaseException) -> str:
    return str(error).strip().partition("\n")[0] or type(error).__name__


def _unavailable(wanted: HubFile, reason: str) -> ModelUnavailableError:
    return ModelUnavailableError(
        f"{wanted} cannot be had: {reason}; fetch it elsewhere and give its path, "
        f"or go on with the built-in one: `model={embedded_model().name!r}`"
    )


def _reporter(wanted: HubFile, on_progress: OnProgress | None) -> Any:
    """Return a class that the hub's client uses as tqdm: it prints nothing, calls `on_progress`."""
    from tqdm import tqdm  # noqa: PLC0415

    class Reporter(tqdm):  # type: ignore[misc]
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            kwargs.pop("name", None)
            super().__init__(*args, **{**kwargs, "disable": True})
            self._size = kwargs.get("total")
            self._done = int(kwargs.get("initial") or 0)

        def update(self, n: float | None = 1) -> None:
            self._done += int(n or 0)
            if on_progress is not None:
                total = int(self._size) if self._size else None
                on_progress(Progress(wanted.file, str(wanted), self._done, total))

    return Reporter
