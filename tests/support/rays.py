"""A Ray cluster of several nodes on this machine, and what may happen to it."""

import os
import signal
import subprocess
import sys
from contextlib import contextmanager, suppress

import psutil

WORKER = "ray::RemoteWorker"
"""What Ray calls the processes of our workers."""


@contextmanager
def small_cluster(nodes=2):
    """Yield a cluster whose head has no cores and whose other nodes have one each."""
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    from ray.cluster_utils import Cluster  # noqa: PLC0415 - an extra

    cluster = Cluster()
    try:
        add_a_node(cluster, num_cpus=0, include_dashboard=False)  # the first one is the head
        for _ in range(nodes):
            add_a_node(cluster)
        yield cluster
    finally:
        cluster.shutdown()


def add_a_node(cluster, **options):
    """Have one more node, which on a busy machine may miss Ray's half minute for that."""
    with suppress(Exception):
        cluster.add_node(**{"num_cpus": 1, **options})
        return
    cluster.add_node(**{"num_cpus": 1, **options})


def workers():
    """Return the processes of our workers on the nodes that this process has started."""
    names = [(process, _title(process)) for process in psutil.Process().children(recursive=True)]
    return [process for process, name in names if name.startswith(WORKER)]


def _title(process):
    with suppress(psutil.Error):
        return next(iter(process.cmdline()), "")
    return ""


def remove_a_node(cluster):
    """Take a node that is not the head away, at once and with all that runs there."""
    cluster.remove_node(next(iter(cluster.worker_nodes)), allow_graceful=False)


def kill_a_worker(number=signal.SIGKILL):
    """Send a signal to one of the workers, and return its process."""
    process = workers()[0]
    process.send_signal(number)
    return process


HIDING = 'for place in $HIDDEN; do mount -t tmpfs none "$place" || exit 1; done; exec "$@"'
"""A shell's script: in a mount namespace of its own, put empty file systems over places."""


def can_hide():
    """Whether this system lets us have mount namespaces."""
    command = ["unshare", "-rm", "sh", "-c", "mount -t tmpfs none /mnt"]
    return sys.platform == "linux" and subprocess.run(command, check=False).returncode == 0


@contextmanager
def node_that_does_not_see(cluster, *hidden, cache):
    """Have a node with one core for which `hidden` folders are empty; `cache` is its own."""
    environment = {**os.environ, "HIDDEN": " ".join(map(str, hidden)), "VSRPP_CACHE": str(cache)}
    start = [sys.executable, "-m", "ray.scripts.scripts", "start", "--block", "--num-cpus=1"]
    node = subprocess.Popen(
        ["unshare", "-rm", "sh", "-c", HIDING, "sh", *start, f"--address={cluster.address}"],
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield node
    finally:
        node.terminate()
        node.wait()
