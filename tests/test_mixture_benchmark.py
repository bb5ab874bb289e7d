"""`benchmarks/mixture.py`: what is left out of a recipe, and what is measured."""

from dataclasses import asdict

import numpy as np
import pytest

from support.benchmarks import script
from vsrpp_cli.training.material.degradation import draw_encodings
from vsrpp_cli.training.recipe import load_recipe
from vsrpp_cli.training.shipped_recipes import find_recipe

mixture = script("mixture")


def shares(recipe):
    return {name: getattr(recipe.data.mixture, name) for name in mixture.PARTS.values()}


def test_variants_lack_one_part_each_and_nothing_else_of_the_recipe_changes():
    recipe = load_recipe(find_recipe("compact-web"))
    variants = mixture.variants(recipe)
    assert variants["whole"] == recipe
    for word, part in mixture.PARTS.items():
        assert shares(variants[f"without {word}"]) == shares(recipe) | {part: 0.0}
    rest = dict.fromkeys(mixture.PARTS.values(), 0.0) | {"clean": recipe.data.mixture.clean}
    assert shares(variants["clean and x264 alone"]) == rest
    same = {"seed": 0, "data": 0}
    for variant in variants.values():
        assert asdict(variant) | same == asdict(recipe) | same


@pytest.mark.parametrize("name", mixture.SHOWN)
def test_what_is_measured_is_one_thing_alone(name):
    shown = mixture.SHOWN[name]
    drawn = [draw_encodings(np.random.default_rng(i), shown) for i in range(20)]
    assert {len(encodings) for encodings in drawn} == {{"clean": 0, "twice, 23": 2}.get(name, 1)}
    last = [encodings[-1] for encodings in drawn if encodings]
    assert {e.codec == "libx264" for e in last} <= {name != "other codecs"}
    assert {e.pix_fmt == "yuv420p" for e in last} <= {name != "full chroma, 23"}
    if name.startswith("CRF"):
        assert {round(e.quality) for e in last} == {int(name.removeprefix("CRF "))}
    assert (shown.blurred, shown.noisy) == (float("blur" in name), float("noise" in name))
