"""The work folder of a run: plan, journal, lock and finished segments."""

import fcntl
import hashlib
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from vsrpp_cli.errors import WorkFolderBusyError
from vsrpp_cli.runs.durable import disk_errors
from vsrpp_cli.runs.journal import Journal


class WorkFolder:
    """`OUTPUT.vsrpp/`, or a folder of that run's own under `--work-dir`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.plan = path / "plan.json"
        self.segments = path / "segments"
        self.journal = Journal(path / "journal.jsonl")

    @classmethod
    def of(cls, output: Path, work_dir: str | None) -> "WorkFolder":
        """Return the folder a run that makes `output` works in; nothing is created."""
        if work_dir is None:
            return cls(output.with_name(f"{output.name}.vsrpp"))
        # Outputs of one name in different places may share a --work-dir.
        place = hashlib.sha256(os.fsencode(output.absolute())).hexdigest()[:8]
        return cls(Path(work_dir) / f"{output.name}-{place}.vsrpp")

    @contextmanager
    def locked(self, *, shared: bool = False) -> Iterator[None]:
        """Hold the folder for this process, creating it where needed; a crash lets go of it.

        Args:
            shared: for one of several `vsrpp worker` processes; the run itself holds it alone.

        Raises:
            WorkFolderBusyError: another process holds it.
            UsageError, DiskFullError: it cannot be created.
        """
        with disk_errors(self.path):
            handle = self._open_lock()
        try:
            try:
                fcntl.flock(handle, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
            except BlockingIOError:
                raise WorkFolderBusyError(
                    f"another run is working in {self.path}: wait for it or stop it"
                ) from None
            yield
        finally:
            os.close(handle)

    def _open_lock(self) -> int:
        self.segments.mkdir(parents=True, exist_ok=True)
        return os.open(self.path / "lock", os.O_RDWR | os.O_CREAT, 0o666)

    def segment(self, index: int, suffix: str) -> Path:
        """Return where the finished segment stands; `suffix` is empty for a folder of frames."""
        return self.segments / f"{index:06d}{suffix}"

    def clear(self) -> None:
        """Remove everything but the lock, which this process holds."""
        with disk_errors(self.path):
            for child in self.path.iterdir():
                if child.name != "lock":
                    remove(child)
            self.segments.mkdir()

    def remove(self) -> None:
        """Remove the folder; the journal goes last, so that a crash in between is understood."""
        for child in (self.segments, self.plan, self.journal.path):
            remove(child)
        shutil.rmtree(self.path, ignore_errors=True)

    def discard_if_empty(self) -> None:
        """Remove what a run leaves that dies at the very end of `remove`: a folder and its lock."""
        if not self.path.is_dir():
            return
        with suppress(WorkFolderBusyError), self.locked():
            kept = [p for p in self.path.iterdir() if p.name not in {"lock", self.segments.name}]
            if not kept and not any(self.segments.iterdir()):
                shutil.rmtree(self.path, ignore_errors=True)


def remove(path: Path) -> None:
    """Remove a file or a folder with all it holds, if it is there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        with suppress(FileNotFoundError):
            path.unlink()
