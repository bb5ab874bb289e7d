"""The work folder of a run: plan, journal, lock and finished segments."""

import hashlib
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from vsrpp_cli.durable import beside, disk_errors, remove
from vsrpp_cli.errors import UsageError, WorkFolderBusyError
from vsrpp_cli.runs.work.journal import Journal
from vsrpp_cli.runs.work.locks import held

LOCK = "lock"


class WorkFolder:
    """`OUTPUT.vsrpp/`, or a folder of that run's own under `--work-dir`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.plan = path / "plan.json"
        self.segments = path / "segments"
        self.journal = Journal(path / "journal.jsonl")
        self._removed = False
        self._made_parent = False

    @classmethod
    def of(cls, output: Path, work_dir: str | Path | None) -> "WorkFolder":
        """Return the folder a run that makes `output` works in; nothing is created."""
        if work_dir is None:
            return cls(beside(output, "", output.name, ".vsrpp"))
        # Outputs of one name in different places may share a --work-dir.
        place = hashlib.sha256(os.fsencode(output.absolute())).hexdigest()[:8]
        return cls(beside(Path(work_dir) / output.name, "", output.name, f"-{place}.vsrpp"))

    @contextmanager
    def locked(self, *, shared: bool = False) -> Iterator[None]:
        """Hold the folder for this process, creating it where needed; a crash lets go of it.

        Args:
            shared: for one of several `vsrpp worker` processes; the run itself holds it alone, as
                far as the file system lets one machine know of another.

        Raises:
            WorkFolderBusyError: another process holds it.
            UsageError, DiskFullError: it cannot be created.
        """
        self._make_parent()
        with disk_errors(self.path):
            self.segments.mkdir(parents=True, exist_ok=True)
        try:
            with held(self.path / LOCK, shared=shared):
                yield
        finally:
            if self._removed:  # Windows keeps what is open, as the lock was until now
                shutil.rmtree(self.path, ignore_errors=True)
            if self._made_parent:
                with suppress(OSError):  # others work in it, too
                    self.path.parent.rmdir()

    def _make_parent(self) -> None:
        """Make the folder that work folders stand in, as `--work-dir` may name a new one."""
        parent = self.path.absolute().parent
        if not parent.parent.is_dir():
            raise UsageError(f"{parent.parent} is no folder: create it for {parent}")
        self._made_parent = self._made_parent or not parent.exists()
        with disk_errors(parent):
            parent.mkdir(exist_ok=True)

    def segment(self, index: int, suffix: str) -> Path:
        """Return the path of the finished segment; `suffix` is empty for a folder of frames."""
        return self.segments / f"{index:06d}{suffix}"

    def clear(self) -> None:
        """Remove everything but the lock, which this process holds."""
        with disk_errors(self.path):
            for child in self.path.iterdir():
                if child.name != LOCK:
                    remove(child)
            self.segments.mkdir()

    def remove(self) -> None:
        """Remove the folder; the journal goes last, so that a crash in between is understood."""
        for child in (self.segments, self.plan, self.journal.path):
            remove(child)
        self._removed = True
        shutil.rmtree(self.path, ignore_errors=True)

    def discard_if_empty(self) -> None:
        """Remove what a run leaves that dies at the very end of `remove`: a folder and its lock."""
        if not self.path.is_dir():
            return
        with suppress(WorkFolderBusyError), self.locked():
            always = {LOCK, self.journal.lock.name, self.segments.name}
            kept = [p for p in self.path.iterdir() if p.name not in always]
            if not kept and not any(self.segments.iterdir()):
                shutil.rmtree(self.path, ignore_errors=True)
