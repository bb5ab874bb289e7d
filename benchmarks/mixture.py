"""What each part of the degradation that compact-web is trained with buys.

Usage: python benchmarks/mixture.py PACK FOLDER [--steps 200] [--frames 7] [--from compact]

From the same weights, with the same seed and for as many steps, a network is trained with the whole
mixture, once more without each of its parts, and without all but clean input and x264, in FOLDER
(interrupted, the same command goes on; `--only NAME ...` trains some of them, for several processes
side by side). Then the held-out clips of PACK (see `vsrpp train --pack`) are degraded by one part
alone, always the same way, and each network is measured on each. The table has the PSNR on Y of
bicubic interpolation, of the weights begun from and of the whole mixture, in dB, and what the
others have more or less than the whole one. "again" is the whole mixture with another seed:
differences like its are chance.
"""

import argparse
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import torch

from vsrpp_cli.checkpoints.load import load_network
from vsrpp_cli.degrade import bicubic_upsample
from vsrpp_cli.metrics import psnr, to_8bit
from vsrpp_cli.network.basicvsrpp import BasicVSRPP
from vsrpp_cli.training.material.degradation import Degrade
from vsrpp_cli.training.material.sampler import Pack
from vsrpp_cli.training.networks import TrainedNetwork
from vsrpp_cli.training.recipe import Mixture, Recipe, load_recipe
from vsrpp_cli.training.shipped_recipes import find_recipe
from vsrpp_cli.training.trainer import Trainer, quick_arithmetic

WEIGHTS = Path(__file__).parents[1] / "weights"

PARTS = {
    "clean input": "clean",
    "blur": "blurred",
    "noise": "noisy",
    "second generation": "twice",
    "other codecs": "other_codecs",
    "full chroma": "full_chroma",
}
"""Shares of the mixture, by the words of the table."""

NOTHING = Mixture(**dict.fromkeys(PARTS.values(), 0.0))
"""4:2:0 by x264 and nothing else."""


def at(crf: float, **shares: float) -> Mixture:
    """Return a mixture that is one thing alone, at one CRF."""
    return replace(NOTHING, crf=(crf, crf + 1e-6), usual_crf=crf, **shares)


SHOWN = {
    "clean": at(23, clean=1.0),
    "CRF 18": at(18),
    "CRF 23": at(23),
    "CRF 28": at(28),
    "blur, 23": at(23, blurred=1.0),
    "noise, 23": at(23, noisy=1.0),
    "twice, 23": replace(NOTHING, crf=(22.0, 24.0), usual_crf=23.0, twice=1.0),
    "other codecs": replace(NOTHING, other_codecs=1.0),
    "full chroma, 23": at(23, full_chroma=1.0),
}
"""What is measured."""


def variants(recipe: Recipe) -> dict[str, Recipe]:
    """Return the recipe, with another seed, without each part of its mixture, and without most."""

    def without(*parts: str) -> Recipe:
        mixture = replace(recipe.data.mixture, **dict.fromkeys(parts, 0.0))
        return replace(recipe, data=replace(recipe.data, mixture=mixture))

    known = {"whole": recipe, "again": replace(recipe, seed=recipe.seed + 1)}
    known |= {f"without {word}": without(part) for word, part in PARTS.items()}
    return known | {"clean and x264 alone": without(*list(PARTS.values())[1:])}


def short(recipe: Recipe, given: argparse.Namespace) -> Recipe:
    """Return a recipe for a few steps from trained weights: its last stage, decaying."""
    stage = replace(recipe.stages[-1], steps=given.steps, frames=given.frames)
    return replace(
        recipe,
        stages=(stage,),
        held_out=(),
        save_every=50,
        validation=replace(recipe.validation, every=0),
        # An average over the last steps, and a rate that has risen and fallen by then.
        optimiser=replace(recipe.optimiser, ema=0.95, warm_up=20, schedule="cosine"),
    )


def trained(name: str, recipe: Recipe, given: argparse.Namespace, start: Path) -> Path:
    """Train a variant, or what is left of it; return its weights."""
    trainer = Trainer(recipe, Pack(given.pack), given.folder / name.replace(" ", "-"), start=start)
    if trainer.step < trainer.last_step:
        with quick_arithmetic():
            trainer.run(on_row=lambda row: print(f"{name}: step {row.step}, {row.loss:.5f}"))
    return trainer.places.weights


@cache
def degraded(mixture: Mixture, pack: Pack, draws: int) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Return the held-out clips' low- and high-resolution frames.

    All networks are given the same ones: x264 does not always make the same of the same frames.
    """
    degrade = Degrade("real", mixture=mixture)
    clips = [
        torch.from_numpy(np.array(pack.held_out(n)))[None] for n in range(len(pack.held_out_rows))
    ]
    return [
        degrade(clip, rng=np.random.default_rng((number, draw)))
        for number, clip in enumerate(clips)
        for draw in range(draws)
    ]


@torch.no_grad()
def measured(network: TrainedNetwork | None, mixture: Mixture, pack: Pack, draws: int) -> float:
    """Return the mean PSNR on Y, dB, over the held-out clips; of bicubic where no network is."""
    found = []
    for low, high in degraded(mixture, pack, draws):
        made = bicubic_upsample(low[0], 4) if network is None else restored(network, low)
        pairs = zip(made.numpy(), high[0].numpy(), strict=True)
        found += [psnr(to_8bit(ours), to_8bit(truth)) for ours, truth in pairs]
    return float(np.mean(found))


def restored(network: TrainedNetwork, low: torch.Tensor) -> torch.Tensor:
    """Return a clip (1, T, 3, h, w) as (T, 3, 4h, 4w), float32."""
    made, _ = network(low, "restore")
    assert made is not None
    return made[0].float()


def loaded(path: Path) -> TrainedNetwork:
    """Return a network that runs as in training, which is much quicker than the plain one."""
    network = load_network(path)
    assert isinstance(network, BasicVSRPP)
    return TrainedNetwork(network, precision="bf16")


def table(files: dict[str, Path], given: argparse.Namespace) -> None:
    """Print the measurements: bicubic, the start and the whole in dB, the others as losses."""
    pack = Pack(given.pack)

    def scores(path: Path | None) -> list[float]:
        network = None if path is None else loaded(path)
        return [measured(network, mixture, pack, given.draws) for mixture in SHOWN.values()]

    print(f"\n| | {' | '.join(SHOWN)} |\n|{'---|' * (len(SHOWN) + 1)}")
    whole = scores(files["whole"])
    row("bicubic", scores(None))
    row("the start", scores(files["the start"]))
    row("whole", whole)
    for name, path in files.items():
        if name not in ("whole", "the start"):
            lost = np.subtract(scores(path), whole)
            row(name, lost, "+.3f")


def row(name: str, values: list[float] | np.ndarray, style: str = ".2f") -> None:
    """Print a row of the table."""
    print(f"| {name} | {' | '.join(format(value, style) for value in values)} |", flush=True)


def main() -> None:
    """Train and measure."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("pack", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--recipe", default="compact-web")
    parser.add_argument("--from", dest="start", default="compact", help="model inside, or a file")
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--frames", type=int, default=7)
    parser.add_argument("--draws", type=int, default=3, help="of a degradation, for each clip")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--only", nargs="+", help="train these, and print no table")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    inside = WEIGHTS / f"{given.start}-x4.safetensors"
    start = inside if inside.is_file() else Path(given.start)
    runs = variants(short(load_recipe(find_recipe(given.recipe)), given))
    names = given.only or list(runs)
    files = {name: trained(name, runs[name], given, start) for name in names}
    if not given.only:
        table({"the start": start} | files, given)


if __name__ == "__main__":
    main()
