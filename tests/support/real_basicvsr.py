"""RealBasicVSR with the weights of its golden file, and published tables of its shapes."""

import json
from functools import cache

import numpy as np
import torch

from support.golden import golden_weights
from support.places import DATA
from vsrpp_cli.network.basicvsr import RealBasicVSR
from vsrpp_cli.network.config import BasicVSRConfig, SpynetConfig

SHAPES = json.loads((DATA / "golden/real_basicvsr_shapes.json").read_text())
SMALL, PUBLISHED = "real-basicvsr-c16b2", "real-basicvsr-c64b20"
CLEANED_ONCE, CLEANED_THRICE = 1.0, 1 / 255
"""Thresholds of the golden outputs with one cleaning and with three."""


def config_of(name, threshold=CLEANED_ONCE):
    row = SHAPES[name]
    return BasicVSRConfig(
        channels=row["mid_channels"],
        blocks=row["num_blocks"],
        cleaning_blocks=row["num_cleaning_blocks"],
        cleaning_threshold=threshold,
    )


def shape_table(name):
    return {key: tuple(shape) for key, shape in SHAPES[name]["shapes"].items()}


@cache
def small_weights():
    """Return the golden file's weights, which keep residues of cleaning small."""
    golden = golden_weights()
    weights = golden.state_dict(shape_table(SMALL))
    for name in ("mean", "std"):
        weights[f"basicvsr.spynet.{name}"] = golden.BUFFERS[f"spynet.{name}"]
    for name in ("weight", "bias"):
        weights[f"image_cleaning.1.{name}"] = weights[f"image_cleaning.1.{name}"] * np.float32(0.05)
    return {name: torch.from_numpy(value) for name, value in weights.items()}


def small_network(threshold=CLEANED_ONCE):
    network = RealBasicVSR(config_of(SMALL, threshold))
    network.load_state_dict(small_weights(), strict=True)
    return network.eval().requires_grad_(requires_grad=False)


def forgetful_network():
    """Return a network whose branches forget within a few frames; the golden one's never settle."""
    torch.manual_seed(0)
    spynet = SpynetConfig(levels=3, kernel=3, widths=(8, 8))
    network = RealBasicVSR(BasicVSRConfig(16, 1, 1, 16, spynet=spynet))
    for parameter in network.parameters():
        fan_in = parameter[0].numel() if parameter.dim() > 1 else 1000
        torch.nn.init.normal_(parameter, std=0.7 / fan_in**0.5)
    return network.eval().requires_grad_(requires_grad=False)


def plain_table():
    """Return weights of a BasicVSR without cleaning, in its published naming."""
    return {
        name.removeprefix("basicvsr."): value
        for name, value in small_weights().items()
        if name.startswith("basicvsr.")
    }
