"""The account that `--report` asks for, also of what failed."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from vsrpp_cli.cli.text import with_flags
from vsrpp_cli.durable import write_durably
from vsrpp_cli.errors import VsrppError
from vsrpp_cli.records import to_bytes
from vsrpp_cli.runs.account import Account


def write_account(account: Account, path: Path) -> None:
    """Write an account as JSON."""
    write_durably(path, to_bytes(with_flags(account.record()), indent=2))


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
                write_account(account, path)
        raise
