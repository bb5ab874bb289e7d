"""Dies at the n-th operation on the disk, for every n, and lets each run be finished.

A program of its own, because it forks: `python crash_steps.py INPUT OUTPUT MODEL`. Every child is
killed by SIGKILL just before its n-th system call that changes the disk (in the middle of writes to
the journal), which is just after the one before; a second child then runs to the end. Prints a JSON
object: how many operations a run has, and the failures.
"""

import json
import os
import pathlib
import shutil
import signal
import sys
import traceback

from support.faults import fingerprint
from support.warm import prepare_to_fork
from vsrpp_cli.errors import OutputExistsError
from vsrpp_cli.options import UpscaleOptions
from vsrpp_cli.runs.run import upscale

OPERATIONS = [
    (os, "fsync"),
    (os, "ftruncate"),
    (os, "pwrite"),
    (pathlib.Path, "replace"),
    (pathlib.Path, "rename"),
    (pathlib.Path, "unlink"),
    (pathlib.Path, "mkdir"),
    (shutil, "rmtree"),
]


class Countdown:
    """Kills this process at operation `number`."""

    def __init__(self, number):
        self.number, self.count = number, 0

    def arm(self):
        for owner, name in OPERATIONS:
            setattr(owner, name, self.wrap(getattr(owner, name), torn=name == "pwrite"))
        return self

    def wrap(self, operation, *, torn):
        def wrapped(*args, **kwargs):
            self.count += 1
            if self.count == self.number:
                if torn:
                    handle, data, offset = args
                    operation(handle, data[: len(data) // 2], offset)
                os.kill(os.getpid(), signal.SIGKILL)
            return operation(*args, **kwargs)

        return wrapped


def in_child(action):
    """Run `action` in a fork; return its exit code as `waitstatus_to_exitcode` gives it."""
    child = os.fork()
    if child == 0:
        try:
            os._exit(action())
        except BaseException:
            traceback.print_exc()
            os._exit(1)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def run(source, output, options):
    try:
        upscale(source, output, options)
    except OutputExistsError:
        return 2  # it was complete and cleaned up when the kill came
    return 0


def count_operations(source, output, options, notes):
    def counted():
        countdown = Countdown(0).arm()
        code = run(source, output, options)
        notes.write_text(str(countdown.count))
        return code

    assert in_child(counted) == 0
    return int(notes.read_text())


def complete(output, expected):
    """Whether the output is what it should be: byte for byte, or else in what is read from it."""
    return output.read_bytes() == expected[0] or fingerprint(output) == expected[1]


def main(source, output, model):
    prepare_to_fork()
    output = pathlib.Path(output)
    options = UpscaleOptions(
        model=model, precision="fp32", threads=1, segment=4, chunk=8, overlap=2,
        encoder_options=(("preset", "ultrafast"),),
    )  # fmt: skip
    operations = count_operations(source, output, options, output.with_suffix(".count"))
    expected = output.read_bytes(), fingerprint(output)
    failures = []
    for number in range(1, operations + 1):
        output.unlink(missing_ok=True)
        died = in_child(lambda n=number: (Countdown(n).arm(), run(source, output, options))[1])
        if output.exists() and not complete(output, expected):
            failures.append(f"broken output after dying at operation {number}")
        ended = in_child(lambda: run(source, output, options))
        if died != -signal.SIGKILL or ended not in (0, 2) or not complete(output, expected):
            failures.append(f"operation {number}: died {died}, then ended {ended}")
        work = pathlib.Path(f"{output}.vsrpp")
        if work.exists():
            failures.append(f"operation {number}: left {[p.name for p in work.iterdir()]}")
            shutil.rmtree(work)
    print(json.dumps({"operations": operations, "failures": failures}))


if __name__ == "__main__":
    main(*sys.argv[1:])
