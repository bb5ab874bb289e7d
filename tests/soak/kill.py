"""Kills a run two hundred times (or as often as told) and holds every result against the expected.

    python tests/soak/kill.py [KILLS] [SEED]

Prints a line for each completed run and a summary; `docs/reliability.md` has the last one.
"""

import collections
import random
import signal
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from support.clips import tiny_checkpoint, write_clip
from support.commands import vsrpp
from support.faults import Victim

OPTIONS = ("--precision", "fp32", "--threads", 1, "--segment", 4, "--chunk", 8, "--overlap", 2,
           "--preset", "ultrafast")  # fmt: skip


def main(kills=200, seed=0):
    chance = random.Random(seed)
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        clip = write_clip(folder / "clip.mp4", 32, cuts=(10, 22), audio=True)
        options = ("--model", tiny_checkpoint(folder / "tiny.pth"), *OPTIONS)
        vsrpp("upscale", clip, folder / "expected.mp4", *options, check=0)
        runs = 0
        victim = Victim(clip, folder / "out.mp4", folder / "expected.mp4", *options, seed=seed)
        while len(victim.kills) < kills:
            for _ in range(chance.randint(1, 5)):
                number = chance.choice([signal.SIGKILL] * 4 + [signal.SIGINT, signal.SIGTERM])
                victim.kill_somewhere(number)
                if victim.output.exists():
                    break
            victim.finish()
            runs += 1
            print(f"run {runs}: equal after {len(victim.kills)} kills in all", flush=True)
    for phase, count in sorted(collections.Counter(kill[0] for kill in victim.kills).items()):
        print(f"{phase:>8}: {count} kills")
    for number, count in collections.Counter(kill[2] for kill in victim.kills).items():
        print(f"{signal.Signals(number).name:>8}: {count}")
    print(f"{runs} runs, {len(victim.kills)} kills, all equal, {time.monotonic() - started:.0f} s")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
