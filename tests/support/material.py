"""A tiny recipe of training, and pictures that move, to train by it."""

import numpy as np

from vsrpp_cli.training.recipe import parse_recipe

TINY = """
name = "tiny"
seed = 3
save_every = {save_every}
held_out = ["held.y4m"]

[model]
channels = 4
blocks = 1
deform_groups = 2
extract_blocks = 1
reconstruct_blocks = 1
hr_channels = 4
flow_levels = 2
flow_kernel = 3
flow_widths = [4, 4, 4, 4]

[preparation]
frames = 4
size = 64
crops = 1
downscale = [1, 1]
detail = 0.5
held_out_frames = 3
held_out_size = 64

[data]
synthetic = 0.5

[optimiser]
warm_up = 2
flow_fixed = 2

[loss]
flow = 0.01

[validation]
every = {validate_every}

[[stages]]
kind = "flow"
steps = 2
rate = 1e-3
batch = 2
frames = 2
patch = 8

[[stages]]
steps = {steps}
rate = 1e-3
batch = 2
frames = 3
patch = 12
"""


def scene(frames, *, size=96, seed=0, speed=1.0):
    """Return a textured picture moving under a window, (T, size, size, 3)."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(60, 190, (40, 40, 3), np.uint8)
    still = np.kron(coarse, np.ones((6, 6, 1), np.uint8))
    shift = [round(speed * t) for t in range(frames)]
    return [still[s : s + size, s : s + size] for s in shift]


def recipe_text(*, steps=4, save_every=2, validate_every=0):
    return TINY.format(steps=steps, save_every=save_every, validate_every=validate_every)


def tiny_recipe(**changes):
    return parse_recipe(recipe_text(**changes), "tiny.toml")
