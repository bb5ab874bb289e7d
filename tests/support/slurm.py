"""A real Slurm of one node on this machine, with a munge of its own, for as long as a test runs."""

import os
import shutil
import socket
import subprocess
import time
from contextlib import ExitStack, contextmanager
from pathlib import Path

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "scontrol")
ENDED = ("COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "NODE_FAIL", "OUT_OF_MEMORY")
PATH = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin"])


def why_not():
    """Return why there can be no Slurm here; None if there can."""
    if missing := [name for name in PROGRAMS if shutil.which(name, path=PATH) is None]:
        return f"not installed: {', '.join(missing)} (Debian: slurm-wlm, munge)"
    return None if os.geteuid() == 0 else "Slurm's daemons need root"


def _free_port():
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return listening.getsockname()[1]


def _configuration(place, cpus):
    host = socket.gethostname().partition(".")[0]
    return "\n".join([
        "ClusterName=test",
        f"SlurmctldHost={host}(127.0.0.1)",
        f"NodeName={host} NodeAddr=127.0.0.1 CPUs={cpus} RealMemory=1000000 State=UNKNOWN",
        "PartitionName=main Nodes=ALL Default=YES State=UP",
        "SlurmUser=root",
        "SlurmdUser=root",
        f"AuthInfo=socket={place}/munge.socket",
        f"SlurmctldPort={_free_port()}",
        f"SlurmdPort={_free_port()}",
        f"StateSaveLocation={place}/state",
        f"SlurmdSpoolDir={place}/spool",
        f"SlurmctldPidFile={place}/slurmctld.pid",
        f"SlurmdPidFile={place}/slurmd.pid",
        "SlurmdParameters=config_overrides",  # as much memory as anybody may ask for
        "ProctrackType=proctrack/linuxproc",
        "TaskPlugin=task/none",
        "MpiDefault=none",
        # On a busy machine the daemons answer late, which must not look like a lost node or job.
        "MessageTimeout=90",
        "BatchStartTimeout=120",
        "ReturnToService=2",
        "SchedulerParameters=sched_interval=1,bf_interval=1",
        "SelectType=select/cons_tres",
        "SelectTypeParameters=CR_CPU",
        "",
    ])  # fmt: skip


@contextmanager
def _daemon(name, *args, env):
    """Run a daemon in the foreground; end it."""
    with Path(env["SLURM_LOGS"], f"{name}.log").open("w") as log:
        process = subprocess.Popen(
            [shutil.which(name, path=PATH), *map(str, args)], env=env, stdout=log, stderr=log
        )
        try:
            yield
        finally:
            process.terminate()
            process.wait(30)


class Cluster:
    """What a test does with the cluster."""

    def __init__(self, env):
        self.env = env

    def run(self, *words):
        """Run a command with the cluster's configuration; return what it prints."""
        command = list(map(str, words))
        done = subprocess.run(
            command, env=self.env, check=False, capture_output=True, text=True, timeout=60
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def job(self, number):
        """Return what Slurm knows of a job, or of a task of an array."""
        words = self.run("scontrol", "show", "job", number, "--oneliner").split()
        return dict(word.split("=", 1) for word in words if "=" in word)

    def wait(self, number, *states):
        """Wait until a job is in one of the states, and return what is known of it then."""
        return until(lambda: self.job(number), lambda known: known["JobState"] in states)

    def ended(self, number):
        """Wait until a job has ended, and return how."""
        return self.wait(number, *ENDED)["JobState"]

    def requeue(self, number, log):
        """Let a task be queued again amid its work, and start again soon.

        Slurm lets it wait for two minutes, because a node refuses to start a job by a credential of
        the second in which it was told to end the job, or from before. So the end has to be over,
        and a few seconds ago; and there has to be something to end, or it is over before the node
        was told.

        Args:
            number: of the task.
            log: its output, which is there when the node has started it.
        """
        until(log.exists, bool)
        self.run("scontrol", "requeue", number)
        self.wait(number, "PENDING")
        self.run("scontrol", "update", f"JobId={number}", "StartTime=now+5")


def until(look, right, timeout=240):
    """Look until what is seen is right, and return it."""
    end = time.monotonic() + timeout
    while not right(seen := look()):
        assert time.monotonic() < end, seen
        time.sleep(0.3)  # Slurm tells nobody; it has to be asked
    return seen


@contextmanager
def cluster(place, cpus=2):
    """Run a cluster of one node that keeps what it has in the folder `place`."""
    place.chmod(0o755)
    for name in ("state", "spool"):
        (place / name).mkdir()
    key = place / "munge.key"
    key.write_bytes(os.urandom(128))
    key.chmod(0o600)
    configuration = place / "slurm.conf"
    configuration.write_text(_configuration(place, cpus))
    env = {**os.environ, "PATH": PATH, "SLURM_CONF": str(configuration), "SLURM_LOGS": str(place)}
    munge = ["--foreground", "--force", "--num-threads=1", f"--key-file={key}",
             f"--socket={place}/munge.socket", f"--pid-file={place}/munge.pid",
             f"--seed-file={place}/munge.seed"]  # fmt: skip
    with ExitStack() as stack:
        stack.enter_context(_daemon("munged", *munge, env=env))
        stack.enter_context(_daemon("slurmctld", "-D", env=env))
        stack.enter_context(_daemon("slurmd", "-D", env=env))
        yield Cluster(env)
