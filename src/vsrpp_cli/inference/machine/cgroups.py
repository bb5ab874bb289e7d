"""The limits that Linux control groups (those of containers, too) set for this process."""

from pathlib import Path

ROOT = Path("/")


def settings(controller: str, new: str, old: str, *, root: Path = ROOT) -> list[str]:
    """Return the contents of a settings file in this process's control group and its parents.

    Args:
        controller: e.g. `memory` or `cpu`.
        new: the file's name in version 2 of control groups.
        old: its name in version 1.
        root: the folder that contains `proc` and `sys`.

    Returns:
        The texts, innermost group first; none where there are no control groups.
    """
    table = root / "proc/self/cgroup"
    if not table.exists():
        return []
    found = []
    for line in table.read_text("utf-8").splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers == "":
            found += _texts(root / "sys/fs/cgroup", path, new)
        elif controller in controllers.split(","):
            found += _texts(root / "sys/fs/cgroup" / controller, path, old)
    return found


def _texts(mount: Path, path: str, name: str) -> list[str]:
    group = mount / path.lstrip("/")
    # Inside a container the group's path may not exist; then the root of the mount is the group.
    folders = (folder for folder in (group, *group.parents) if folder.is_relative_to(mount))
    files = (folder / name for folder in folders)
    return [file.read_text("utf-8").strip() for file in files if file.exists()]
