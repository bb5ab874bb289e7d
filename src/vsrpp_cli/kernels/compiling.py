"""Compiles loops with numba; results are cached on disk until a source of the kernels changes."""

# Numba has hardly any type hints, and none of its cache.
# mypy: disable-error-code="no-untyped-def, no-untyped-call, misc, attr-defined"

import hashlib
from contextlib import suppress
from functools import cache
from pathlib import Path

import numba
from numba.core.caching import FunctionCache


@cache
def sources_digest() -> str:
    """Return the SHA-256 of all Python sources of this package, names included."""
    digest = hashlib.sha256()
    folder = Path(__file__).parent
    for path in sorted(folder.rglob("*.py")):
        digest.update(path.relative_to(folder).as_posix().encode() + b"\0")
        digest.update(path.read_bytes() + b"\0")
    return digest.hexdigest()


class _KernelCache(FunctionCache):
    """Numba's cache of a function, invalidated when the source of any kernel changes.

    Numba itself checks only the file of the function, but much of its code is inlined from other
    files.

    Raises:
        RuntimeError: there is no writable folder for the cache.
    """

    def __init__(self, function) -> None:
        super().__init__(function)
        file = self._cache_file
        file._source_stamp = file._source_stamp, sources_digest()  # noqa: SLF001


def compiled(function):
    """Return a function that numba compiles on first use, cached on disk if possible."""
    dispatcher = numba.njit(nogil=True, error_model="numpy")(function)
    with suppress(RuntimeError):  # neither the package's folder nor the user's can be written to
        dispatcher._cache = _KernelCache(function)  # noqa: SLF001 - as `enable_caching` does
    return dispatcher
