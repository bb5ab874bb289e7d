"""The account that `--report` asks for, also of what failed."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from vsrpp_cli.errors import VsrppError
from vsrpp_cli.runs.account import Account


@contextmanager
def accounting(path: Path | None, begin: Callable[[], Account]) -> Iterator[None]:
    """Write the account of a failure to `path`; it is the error's own or one just begun."""
    try:
        yield
    except Exception as error:
        own = getattr(error, "report", None)
        account = own if isinstance(own, Account) else begin()
        account.fail(error)
        if isinstance(error, VsrppError):
            error.report = account
        if path is not None:
            with suppress(OSError, VsrppError):  # the first error is the one to be told of
                account.write(path)
        raise
