"""Runs of `vsrpp` that share one start of the interpreter.

Of the three seconds that a small run takes nearly all is Python importing torch and numba filling
its tables. A server does that once and forks for each run: a process of its own, with its own
number, folder, output and end, that runs the command line from its first argument to its exit and
can be killed like any other. Before it forks, the server computes nothing and starts no thread.
"""

import atexit
import gc
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
from contextlib import contextmanager
from functools import cache
from pathlib import Path


class Run:
    """A run under way."""

    def __init__(self, server, args, *, stdout=os.devnull, stderr=os.devnull, cwd=None):
        """Start `vsrpp` with `args`; its output goes to the files of these names."""
        request = {
            "args": [str(arg) for arg in args],
            "stdout": str(stdout),
            "stderr": str(stderr),
            "cwd": str(Path(cwd or Path.cwd()).absolute()),
        }
        self._server = server
        server.stdin.write(json.dumps(request) + "\n")
        server.stdin.flush()
        self.pid = int(server.stdout.readline())
        self._code = None

    def send_signal(self, number):
        """Send a signal, unless the run has ended; return whether it was sent."""
        if self._code is not None:
            return False
        try:
            os.kill(self.pid, number)
        except ProcessLookupError:  # it ended by itself, and the server has seen that
            return False
        return True

    def wait(self):
        """Wait for the end and return the exit code, below zero for a signal."""
        if self._code is None:
            self._code = int(self._server.stdout.readline())
        return self._code

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        if kind is not None:
            self.send_signal(signal.SIGKILL)
        self.wait()


def start(environment, args, **where):
    """Start a run; one at a time. All must have the same environment, which is the server's."""
    return Run(_server(tuple(environment.items())), args, **where)


@contextmanager
def followed(environment, args):
    """Start a run whose standard error can be read while it goes on: yields both."""
    with tempfile.TemporaryDirectory() as folder:
        pipe = Path(folder) / "stderr"
        os.mkfifo(pipe)
        with start(environment, args, stderr=pipe) as started, pipe.open() as said:
            yield started, said


def run(environment, args, *, cwd=None, timeout):
    """Run `vsrpp` to its end, as `subprocess.run` with captured text does."""
    with tempfile.TemporaryDirectory() as folder:
        outputs = [Path(folder) / name for name in ("stdout", "stderr")]
        with start(environment, args, stdout=outputs[0], stderr=outputs[1], cwd=cwd) as started:
            killer = threading.Timer(timeout, started.send_signal, [signal.SIGKILL])
            killer.start()
            code = started.wait()
            killer.cancel()
        return subprocess.CompletedProcess(args, code, *(path.read_text() for path in outputs))


@cache
def _server(environment):
    process = subprocess.Popen(
        [sys.executable, "-P", __file__],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=dict(environment),
    )
    atexit.register(_end, process)
    return process


def _end(process):
    process.stdin.close()
    process.wait()
    process.stdout.close()


def prepare_to_fork():
    """Do what every run would do again, so that children need not; start no thread for it."""
    import numba  # noqa: PLC0415 - costs what only those have to pay who fork

    import vsrpp_cli.cli.commands.upscale  # noqa: PLC0415
    import vsrpp_cli.runs.run  # noqa: F401, PLC0415

    numba.njit(lambda: 0)()
    gc.collect()
    gc.freeze()  # a collection in a child would touch, and thus copy, every page of its parent's
    assert threading.active_count() == 1, "threads do not survive a fork"


def serve():
    """Fork for each line of standard input; returns in the child, with what to run."""
    prepare_to_fork()
    for line in sys.stdin:
        pid = os.fork()
        if pid == 0:
            return json.loads(line)
        _answer(pid)
        _answer(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
    return None


def _answer(number):
    sys.stdout.write(f"{number}\n")
    sys.stdout.flush()


def become(request):
    """Make this process what the shell would have started."""
    os.chdir(request["cwd"])
    written = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
    opened = [
        os.open(os.devnull, os.O_RDONLY),
        os.open(request["stdout"], written),
        os.open(request["stderr"], written),
    ]
    for number, file in enumerate(opened):
        os.dup2(file, number)
        os.close(file)
    sys.argv = ["vsrpp", *request["args"]]


if __name__ == "__main__":
    if (wanted := serve()) is not None:
        become(wanted)
        from vsrpp_cli.cli.main import run as run_command

        run_command()
