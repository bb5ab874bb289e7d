"""Killing runs for real and holding what is left against an uninterrupted run."""

import json
import random
import signal
import time

from support import warm
from support.commands import ENVIRONMENT, VSRPP, frame_hashes, packets

PHASES = ("scan", "compute", "join", "verify")


class Victim:
    """One command that is killed again and again and must end with the expected file."""

    def __init__(self, source, output, expected, *options, seed=0):
        self.source, self.output, self.options = source, output, [*map(str, options)]
        self.expected = fingerprint(expected)
        self.random = random.Random(seed)
        self.kills = []

    def command(self):
        return [VSRPP, "upscale", str(self.source), str(self.output), *self.options,
                "--progress", "json"]  # fmt: skip

    def run(self, *, phase=None, done=0, delay=0.0, signal_number=signal.SIGKILL):
        """Run once; kill it `delay` seconds after it has `done` frames of `phase`.

        Returns the exit code.
        """
        said = []
        with warm.followed(ENVIRONMENT, self.command()[1:]) as (process, lines):
            for line in lines:
                said.append(line)
                if phase is not None and _reached(line, phase, done):
                    time.sleep(delay)
                    if process.send_signal(signal_number):
                        self.kills.append((phase, round(delay, 3), signal_number))
                    phase = None
            code = process.wait()
        if code not in (0, -9, 130, 143) and not self._is_complete():
            raise AssertionError(f"exit {code}: {''.join(said)}")
        return code

    def kill_somewhere(self, signal_number=signal.SIGKILL):
        """Kill a run at a random moment of a random phase, then look at what is left."""
        phase = self.random.choice(PHASES)
        self.run(phase=phase, delay=self.random.random() ** 2, signal_number=signal_number)
        self.assert_nothing_broken()

    def assert_nothing_broken(self):
        """Whatever stands under OUTPUT's name is complete."""
        if self.output.exists():
            assert fingerprint(self.output) == self.expected

    def _is_complete(self):
        return self.output.exists() and fingerprint(self.output) == self.expected

    def finish(self):
        """Run to the end without killing and compare."""
        self.run()
        assert fingerprint(self.output) == self.expected
        assert not self.output.with_name(f"{self.output.name}.vsrpp").exists()
        self.output.unlink()


def _reached(line, phase, done):
    try:
        record = json.loads(line)
    except ValueError:
        return False
    return record.get("phase") == phase and record.get("done", 0) >= done


def fingerprint(path):
    """Return what must be equal: decoded frames, and timestamps and bytes of all packets."""
    return frame_hashes(path), packets(path, "v"), packets(path, "a")
