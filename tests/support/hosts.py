"""Two hosts on one machine, for which a lock of the kernel on a file they share is none."""

import subprocess
import sys

HOST = 'hostname "$1" && mount --bind "$2" "$3" && shift 3 && exec "$@"'
"""A shell's script: take a name, put a file of one's own in the place of another, run a command."""

NAMESPACES = ("unshare", "--map-root-user", "--mount", "--uts", "--pid", "--fork")


def can_be_hosts():
    """Whether this system lets us have namespaces of mounts, names and processes."""
    if sys.platform != "linux":
        return False
    tried = [*NAMESPACES, "sh", "-c", "hostname elsewhere && mount -t tmpfs none /mnt"]
    return subprocess.run(tried, check=False, capture_output=True).returncode == 0


def start_on_host(name, lock, *command, **settings):
    """Start a command on a host of this name, which has a file of its own in the place of `lock`.

    Processes have small numbers there, the same on each host. Returns the process.
    """
    lock.touch()
    own = lock.with_name(f"{lock.name}-of-{name}")
    own.touch()
    words = [*NAMESPACES, "sh", "-c", HOST, "sh", name, own, lock, *command]
    return subprocess.Popen(list(map(str, words)), **settings)
