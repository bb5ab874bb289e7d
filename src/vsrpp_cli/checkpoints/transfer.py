"""Downloads a file over HTTP: resumes, retries, and verifies it before it gets its name.

The standard library's client honours `HTTPS_PROXY`, `NO_PROXY`, `SSL_CERT_FILE` and `SSL_CERT_DIR`;
this module adds `REQUESTS_CA_BUNDLE` and `CURL_CA_BUNDLE`.
"""

import hashlib
import http.client
import os
import shutil
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from filelock import FileLock

from vsrpp_cli.durable import FULL, fsync_path
from vsrpp_cli.errors import DiskFullError, VsrppError
from vsrpp_cli.version import __version__

_BLOCK = 1 << 17
_RETRIED = frozenset({408, 425, 429, 500, 502, 503, 504})
_HEADERS = {"User-Agent": f"vsrpp/{__version__}", "Accept-Encoding": "identity"}


@dataclass(frozen=True, slots=True)
class Progress:
    """Progress of a download."""

    file: str
    url: str
    done: int
    """Bytes so far, including those of earlier attempts."""
    total: int | None
    """Size of the file in bytes; None if the server does not state it."""


OnProgress = Callable[[Progress], None]


@dataclass(frozen=True, slots=True)
class Patience:
    """Timeouts and retries."""

    timeout: float = 20.0
    """Seconds to wait for a connection or for data before an attempt fails."""
    attempts: int = 3
    """Number of consecutive attempts without a new byte before a URL is given up."""
    pause: float = 1.0
    """Seconds before the second attempt; doubled each time."""


class TransferError(VsrppError):
    """A download failed; the message is the reason, without the URL."""

    exit_code = 4


class _AttemptError(Exception):
    """An attempt failed for a reason that may be temporary."""


class _NoDowngrade(urllib.request.HTTPRedirectHandler):
    """Follows redirects, but not from https to http, which is not secure."""

    def redirect_request(
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: http.client.HTTPMessage,
        newurl: str,
    ) -> urllib.request.Request | None:
        if req.full_url.startswith("https:") and not newurl.startswith("https:"):
            raise TransferError(f"redirected from https to {newurl}, refused")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def fetch(
    urls: tuple[str, ...],
    target: Path,
    digest: str,
    *,
    patience: Patience | None = None,
    on_progress: OnProgress | None = None,
) -> None:
    """Download a file to `target` from the first of `urls` that works.

    An unfinished download is kept in the same folder as `.NAME.partial` and resumed, even by a
    later call. The file gets its name when it is complete and its SHA-256 begins with `digest`. Of
    several processes only one downloads; the others wait for it.

    Raises:
        TransferError: no URL works; the message has the reason for each.
        DiskFullError: the disk is full.
        OSError: the folder cannot be written.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    with locked(target):
        if target.is_file() and file_digest(target).startswith(digest):
            return
        reasons = []
        for url in urls:
            try:
                _Download(url, target, digest, patience or Patience(), on_progress).run()
            except TransferError as error:
                reasons.append(f"{url}: {error}")
            else:
                return
    raise TransferError("; ".join(reasons))


def locked(target: Path) -> FileLock:
    """Return a context manager that holds a file's lock; entering waits until it is free.

    The lock is released if the process ends.
    """
    return FileLock(target.with_name(f".{target.name}.lock"))


def file_digest(path: Path) -> str:
    """Return the SHA-256 of a file's content, 64 hex digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def put(partial: Path, target: Path, digest: str) -> None:
    """Rename a complete file to its name if its SHA-256 begins with `digest`; else remove it.

    Raises:
        TransferError: it does not.
    """
    found = file_digest(partial)
    if not found.startswith(digest):
        partial.unlink()
        raise TransferError(f"its SHA-256 begins with {found[: len(digest)]}, not with {digest}")
    fsync_path(partial)
    partial.replace(target)


class _Download:
    """The attempts at one URL."""

    def __init__(
        self,
        url: str,
        target: Path,
        digest: str,
        patience: Patience,
        on_progress: OnProgress | None,
    ) -> None:
        self._url = url
        self._target = target
        self._partial = target.with_name(f".{target.name}.partial")
        self._digest = digest
        self._patience = patience
        self._on_progress = on_progress or (lambda _progress: None)

    def run(self) -> None:
        """Retry until the file is complete.

        Raises:
            TransferError: the server refuses, or all attempts failed.
        """
        failures = 0
        while True:
            before = self._have()
            try:
                self._attempt(before)
                return self._finish(resumed=before > 0)
            except _AttemptError as error:
                failures = 0 if self._have() > before else failures + 1
                if failures >= self._patience.attempts:
                    raise TransferError(str(error)) from error
                time.sleep(self._patience.pause * 2 ** max(failures - 1, 0))

    def _have(self) -> int:
        return self._partial.stat().st_size if self._partial.exists() else 0

    def _finish(self, *, resumed: bool) -> None:
        try:
            put(self._partial, self._target, self._digest)
        except TransferError as error:
            # What was there before may have been another mirror's, or damaged: once more, whole.
            if resumed:
                raise _AttemptError(str(error)) from error
            raise

    def _attempt(self, start: int) -> None:
        """Request the bytes from `start` on and append them to the partial file."""
        self._on_progress(Progress(self._target.name, self._url, start, None))
        request = urllib.request.Request(self._url, headers=dict(_HEADERS))  # noqa: S310
        if start:
            request.add_header("Range", f"bytes={start}-")
        try:
            with _opener().open(request, timeout=self._patience.timeout) as response:
                self._receive(response, start)
        except urllib.error.HTTPError as error:
            with error:
                self._refused(error)
        except (urllib.error.URLError, http.client.HTTPException, TimeoutError) as error:
            if isinstance(getattr(error, "reason", None), ssl.SSLCertVerificationError):
                raise TransferError(_reason(error)) from error
            raise _AttemptError(_reason(error)) from error
        except OSError as error:
            if error.errno in FULL:
                self._disk_full(error)
            if isinstance(error, ConnectionError | ssl.SSLError):
                raise _AttemptError(_reason(error)) from error
            raise

    def _refused(self, error: urllib.error.HTTPError) -> None:
        if error.code == 416:
            # The partial file is as long as the server's, or longer, and not the server's.
            if error.headers.get("Content-Range") == f"bytes */{self._have()}":
                return
            self._partial.unlink()
            raise _AttemptError("the server's file is shorter than what we had") from error
        message = f"HTTP {error.code} {error.reason}"
        if error.code in _RETRIED:
            raise _AttemptError(message) from error
        raise TransferError(message) from error

    def _receive(self, response: http.client.HTTPResponse, start: int) -> None:
        if response.status == 206 and not _continues(response, start):
            self._partial.unlink(missing_ok=True)
            raise _AttemptError("the server sent another range than the one asked for")
        # A server need not grant a range; then the whole file comes, from its beginning.
        start = start if response.status == 206 else 0
        length = response.headers.get("Content-Length", "")
        total = start + int(length) if length.isdigit() else None
        self._check_room((total or 0) - start)
        done = start
        with self._partial.open("r+b" if start else "wb") as file:
            file.seek(start)
            while block := response.read1(_BLOCK):
                file.write(block)
                done += len(block)
                self._on_progress(Progress(self._target.name, self._url, done, total))
        if total is not None and done < total:
            raise _AttemptError(f"the connection ended after {done} of {total} bytes")

    def _check_room(self, needed: int) -> None:
        folder = self._target.parent
        if shutil.disk_usage(folder).free < needed:
            raise DiskFullError(
                f"no room for {self._target.name} in {folder}: {needed / 1e6:.0f} MB are needed "
                f"(VSRPP_CACHE can name another folder)"
            )

    def _disk_full(self, error: OSError) -> None:
        self._partial.unlink(missing_ok=True)
        raise DiskFullError(
            f"no room left in {self._target.parent} while {self._target.name} was downloaded: "
            f"make room, or name another folder with VSRPP_CACHE"
        ) from error


def _continues(response: http.client.HTTPResponse, start: int) -> bool:
    stated: str = response.headers.get("Content-Range", "")
    return stated.startswith(f"bytes {start}-")


def _reason(error: BaseException) -> str:
    inner = getattr(error, "reason", error)
    return str(inner) or type(inner).__name__


def _opener() -> urllib.request.OpenerDirector:
    bundle = os.environ.get("REQUESTS_CA_BUNDLE") or os.environ.get("CURL_CA_BUNDLE")
    context = ssl.create_default_context()
    if bundle and not os.environ.get("SSL_CERT_FILE"):
        context.load_verify_locations(bundle)
    return urllib.request.build_opener(urllib.request.HTTPSHandler(context=context), _NoDowngrade())
