"""What the reports of a single run and of a batch have in common."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, Literal

from vsrpp_cli.errors import VsrppError

Status = Literal["waiting", "planned", "running", "done", "skipped", "failed", "interrupted"]
"""Status of a run or of an item of a batch; `skipped`: the output existed before."""

STOPPED = (130, 143)
"""Exit codes of runs that were stopped and can be continued."""


def exit_code(error: BaseException) -> int:
    """Return the exit code of the command line for an error."""
    return error.exit_code if isinstance(error, VsrppError) else VsrppError.exit_code


@dataclass(kw_only=True)
class Account(ABC):
    """The result of a run or a batch; plain values only."""

    status: Status = "running"
    error: str = ""
    """The message of the error, if it failed."""
    error_kind: str = ""
    """The name of the error's class."""
    exit_code: int = 0
    """The exit code of the command."""

    def fail(self, error: BaseException) -> None:
        """Record the error that ended it."""
        self.error, self.error_kind = str(error), type(error).__name__
        self.exit_code = exit_code(error)
        self.status = "interrupted" if self.exit_code in STOPPED else "failed"

    @property
    @abstractmethod
    def made(self) -> str | None:
        """The name of the one file or folder that is the result; None where there are several."""

    @abstractmethod
    def record(self) -> dict[str, Any]:
        """Return it as JSON values."""
