"""What accounts of one run and of many have in common."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, Literal

from vsrpp_cli.errors import VsrppError

Status = Literal["waiting", "planned", "running", "done", "skipped", "failed", "interrupted"]
"""Of a run or of one item of many; `skipped` was there before."""

STOPPED = (130, 143)
"""Exit codes of runs that were stopped and can be continued."""


def exit_code(error: BaseException) -> int:
    """Return what the command line exits with for an error."""
    return error.exit_code if isinstance(error, VsrppError) else VsrppError.exit_code


@dataclass(kw_only=True)
class Account(ABC):
    """How it went; plain values only."""

    status: Status = "running"
    error: str = ""
    """The message, where it failed."""
    error_kind: str = ""
    """The name of the error's class."""
    exit_code: int = 0
    """What the command exits with."""

    def fail(self, error: BaseException) -> None:
        """Note that an error ended it."""
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
