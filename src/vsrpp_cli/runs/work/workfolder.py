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
    """`OUTPUT.vsrpp/`, or a folder of the run inside `UpscaleOptions.work_dir`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.plan = path / "plan.json"
        self.segments = path / "segments"
        self.journal = Journal(path / "journal.jsonl")
        self._removed = False
        self._made_parent = False

    @classmethod
    def of(cls, output: Path, work_dir: str | Path | None) -> "WorkFolder":
        """Return the work folder of the run that makes `output`; nothing is created."""
        if work_dir is None:
            return cls(beside(output, "", output.name, ".vsrpp"))
        # Outputs with the same name in different folders may share a `work_dir`.
        place = hashlib.sha256(os.fsencode(output.absolute())).hexdigest()[:8]
        return cls(beside(Path(work_dir) / output.name, "", output.name, f"-{place}.vsrpp"))

    @contextmanager
    def locked(self, *, shared: bool = False) -> Iterator[None]:
        """Create the folder if necessary and lock it; a crash releases the lock.

        Args:
            shared: for one of several `vsrpp worker` processes. A run locks the folder exclusively,
                as far as the file system supports locks between machines.

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
            if self._removed:  # Windows does not remove open files, as the lock was until now
                shutil.rmtree(self.path, ignore_errors=True)
            if self._made_parent:
                with suppress(OSError):  # others work in it, too
                    self.path.parent.rmdir()

    def _make_parent(self) -> None:
        """Create the folder that contains work folders: `work_dir` may name a new one."""
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
        """Remove everything but the lock file, which this process holds."""
        with disk_errors(self.path):
            for child in self.path.iterdir():
                if child.name != LOCK:
                    remove(child)
            self.segments.mkdir()

    def remove(self) -> None:
        """Remove the folder; the journal last, so that a crash in between can be recognised."""
        for child in (self.segments, self.plan, self.journal.path):
            remove(child)
        self._removed = True
        shutil.rmtree(self.path, ignore_errors=True)

    def discard_if_empty(self) -> None:
        """Remove a folder with only a lock file, as a crash at the end of `remove` leaves it."""
        if not self.path.is_dir():
            return
        with suppress(WorkFolderBusyError), self.locked():
            always = {LOCK, self.journal.lock.name, self.segments.name}
            kept = [p for p in self.path.iterdir() if p.name not in always]
            if not kept and not any(self.segments.iterdir()):
                shutil.rmtree(self.path, ignore_errors=True)
