"""Takes nodes away from a Ray cluster under runs, and holds every result against the expected.

    python tests/soak/cluster.py [LOSSES] [SEED]

Twenty losses unless told otherwise, each followed by a new node. Prints a line for each completed
run and a summary; `docs/reliability.md` has the last one.
"""

import random
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from support.clips import tiny_checkpoint, write_clip
from support.commands import frame_hashes
from support.rays import add_a_node, small_cluster
from vsrpp_cli.options import UpscaleOptions
from vsrpp_cli.runs.run import upscale

OPTIONS = {"threads": 1, "segment": 4, "chunk": 4, "overlap": 0, "preset": "ultrafast"}
FRAMES = 96


class Losses:
    """Takes a random node away at random points of a run's progress."""

    def __init__(self, cluster, wanted, chance):
        self.cluster, self.wanted, self.chance = cluster, wanted, chance
        self.next, self.count = 1, 0

    def begin(self):
        self.next = self.chance.randint(0, 8)

    def __call__(self, progress):
        if progress.phase != "compute" or progress.done < self.next or self.count == self.wanted:
            return
        nodes = sorted(self.cluster.worker_nodes, key=lambda node: node.node_id)
        time.sleep(self.chance.random())  # not always as a segment has just ended
        self.cluster.remove_node(self.chance.choice(nodes), allow_graceful=False)
        add_a_node(self.cluster)
        self.count += 1
        self.next = progress.done + self.chance.randint(1, 16)


def main(losses=20, seed=0):
    chance, started, runs, again = random.Random(seed), time.monotonic(), 0, 0
    with tempfile.TemporaryDirectory() as name, small_cluster() as cluster:
        folder = Path(name)
        clip = write_clip(folder / "clip.mp4", FRAMES)
        model = str(tiny_checkpoint(folder / "tiny.pth"))
        upscale(clip, folder / "expected.mp4", UpscaleOptions(model=model, **OPTIONS))
        expected = frame_hashes(folder / "expected.mp4")
        options = UpscaleOptions(model=model, cluster=cluster.address, overwrite=True, **OPTIONS)
        lose = Losses(cluster, losses, chance)
        while lose.count < losses:
            lose.begin()
            report = upscale(clip, folder / "out.mp4", options, on_progress=lose)
            assert report.frames_computed == FRAMES  # what is committed is not computed again
            assert frame_hashes(folder / "out.mp4") == expected
            runs += 1
            again += sum("was lost" in event for event in report.events)
            print(f"run {runs}: equal after {lose.count} losses in all", flush=True)
    seconds = time.monotonic() - started
    print(f"{runs} runs, {lose.count} nodes lost with {again} segments, all equal, {seconds:.0f} s")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
