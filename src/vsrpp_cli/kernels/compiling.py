"""Compiling loops, with results kept on disk until a source of the kernels changes."""

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
    """Numba's cache of a function, out of date when any kernel's source is another.

    Numba looks at the file of the function alone, while most of what is compiled is inlined from
    other files.

    Raises:
        RuntimeError: no folder to keep it in can be written to.
    """

    def __init__(self, function) -> None:
        super().__init__(function)
        file = self._cache_file
        file._source_stamp = file._source_stamp, sources_digest()  # noqa: SLF001


def compiled(function):
    """Compile on first use; keep the result on disk where there is a place for it."""
    dispatcher = numba.njit(nogil=True, error_model="numpy")(function)
    with suppress(RuntimeError):  # neither the package's folder nor the user's can be written to
        dispatcher._cache = _KernelCache(function)  # noqa: SLF001 - as `enable_caching` does
    return dispatcher
