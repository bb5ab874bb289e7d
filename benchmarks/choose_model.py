"""Compares the two embedded models, and checks which of them `--model auto` chooses.

Usage: python benchmarks/choose_model.py DATASET [DATASET ...] [--frames 8] [--crf 0 12 18 23 28 33]

Each DATASET is a folder of sharp sequences (folders of frames, or videos) at full size, as
`vsrpp evaluate` takes them. Each is made into a video by `vsrpp degrade --kind web` at each CRF,
measured as `--model auto` measures it, and upscaled by both models; PSNR on Y. After the table it
prints in how many of the cases `auto` chooses the better model, how much PSNR wrong choices lose,
and the thresholds with the most right choices.
"""

import argparse
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vsrpp_cli.checkpoints.download import resolve_chain
from vsrpp_cli.evaluation.degrading import degrade_input
from vsrpp_cli.evaluation.methods import Network
from vsrpp_cli.evaluation.sequences import find_sequences, read_8bit
from vsrpp_cli.inference.machine.device import default_threads
from vsrpp_cli.inference.session import Session, compute_spec
from vsrpp_cli.media.compression import CLEAN_QUANTISER, Compression, compression_of
from vsrpp_cli.media.source import open_source
from vsrpp_cli.metrics import Picture, psnr, to_8bit
from vsrpp_cli.options import UpscaleOptions

MODELS = ("compact", "compact-web")
CRF = (0.0, 12.0, 18.0, 23.0, 28.0, 33.0)


@dataclass(frozen=True)
class Case:
    """One clip at one CRF."""

    clip: str
    crf: float
    found: Compression
    scores: tuple[float, float]
    """dB, as `MODELS`."""

    @property
    def gain(self) -> float:
        """By how much the model for compressed footage is better, dB."""
        return self.scores[1] - self.scores[0]

    @property
    def right(self) -> bool:
        """Whether the better model is chosen."""
        return self.found.strong == (self.gain > 0)


def networks(threads: int) -> list[Network]:
    """Return both models, ready to run."""
    options = UpscaleOptions(threads=threads)
    compute = compute_spec(options)
    chains = ((name, resolve_chain(name, offline=True)) for name in MODELS)
    return [Network(name, Session(chain, options, compute)) for name, chain in chains]


def score(network: Network, low: list[Picture], truth: list[Picture]) -> float:
    """Return the mean PSNR on Y, dB, of what both pictures have: x264 wants even sizes."""
    found = []
    for got, want in zip(network.run(low), truth, strict=True):
        height, width = (min(sides) for sides in zip(got.shape[1:], want.shape[1:], strict=True))
        found.append(psnr(to_8bit(got)[:, :height, :width], want[:, :height, :width]))
    return float(np.mean(found))


def measured(path: Path, name: str, crf: float, frames: int, methods: list[Network]) -> Case:
    """Return one case."""
    with tempfile.TemporaryDirectory() as folder:
        small = Path(folder) / "small.mkv"
        degrade_input(path, small, "web", UpscaleOptions(crf=crf, frames=frames, audio=False))
        found = compression_of(open_source(small).info)
        low = read_8bit(small, frames)
    truth = read_8bit(path, frames)
    first, second = (score(network, low, truth) for network in methods)
    return Case(name, crf, found, (first, second))


def conclude(cases: list[Case]) -> None:
    """Print how good the automatic choice is."""
    right = sum(case.right for case in cases)
    lost = [abs(case.gain) for case in cases if not case.right]
    print(
        f"\nright in {right} of {len(cases)} cases ({100 * right / len(cases):.0f} percent)", end=""
    )
    print(f"; wrong ones cost {max(lost):.2f} dB at most" if lost else "")
    for name, chosen in (("compact", 0), ("compact-web", 1)):
        loss = np.mean([max(case.scores) - case.scores[chosen] for case in cases])
        print(f"always {name}: {loss:.3f} dB below the better model on average")
    auto = np.mean([max(case.scores) - case.scores[int(case.found.strong)] for case in cases])
    print(f"auto, up to {CLEAN_QUANTISER:.0f}: {auto:.3f} dB")
    shares = {
        threshold: sum((round(c.found.quantiser or 0) > threshold) == (c.gain > 0) for c in cases)
        for threshold in range(52)
    }
    best = max(shares.values())
    at = [threshold for threshold, share in shares.items() if share == best]
    print(f"most are right ({best}) with a threshold from {at[0]} to {at[-1]}")


def main() -> None:
    """Print a table and what follows from it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("datasets", nargs="+", type=Path, metavar="DATASET")
    parser.add_argument("--frames", type=int, default=8)
    parser.add_argument("--crf", type=float, nargs="+", default=CRF)
    parser.add_argument("--threads", type=int, default=default_threads())
    given = parser.parse_args()
    methods = networks(given.threads)
    print("| clip | CRF | quantiser | bits a pixel | compact | compact-web | auto |")
    print("|---|---|---|---|---|---|---|")
    cases = []
    for dataset in given.datasets:
        for footage in find_sequences(dataset, None, ()):
            for crf in given.crf:
                case = measured(footage.path, footage.name, crf, given.frames, methods)
                cases.append(case)
                chosen = MODELS[case.found.strong] + ("" if case.right else ", wrong")
                print(
                    f"| {case.clip} | {crf:g} | {case.found.quantiser or 0:.1f} "
                    f"| {case.found.bits or 0:.2f} | {case.scores[0]:.2f} | {case.scores[1]:.2f} "
                    f"| {chosen} |",
                    flush=True,
                )
    conclude(cases)


if __name__ == "__main__":
    main()
