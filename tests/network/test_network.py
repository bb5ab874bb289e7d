"""The network against what the published one computes."""

import json

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file

from support.golden import GOLDEN, golden_weights
from support.places import ROOT
from vsrpp_cli.network.basicvsrpp import BasicVSRPP
from vsrpp_cli.network.config import NetworkConfig, SpynetConfig

SHAPES = json.loads((GOLDEN / "parameter_shapes.json").read_text())
COMPACT = NetworkConfig(
    channels=32,
    blocks=4,
    deform_groups=8,
    extract_blocks=2,
    reconstruct_blocks=2,
    hr_channels=32,
    spynet=SpynetConfig(levels=5, kernel=5, widths=(16, 32, 16, 8)),
)
GOLDEN_NAMES = ("c16n2", "c16n2-same-size")


def config_of(name: str) -> NetworkConfig:
    row = SHAPES[name]
    return NetworkConfig(
        channels=row["mid_channels"],
        blocks=row["num_blocks"],
        same_size=not row["is_low_res_input"],
    )


def shape_table(name: str) -> dict[str, tuple[int, ...]]:
    tables = [value for value in SHAPES[name].values() if isinstance(value, dict)]
    assert len(tables) == 1
    return {key: tuple(shape) for key, shape in tables[0].items()}


def golden_network(name: str) -> BasicVSRPP:
    weights = golden_weights().state_dict(shape_table(name))
    network = BasicVSRPP(config_of(name))
    network.load_state_dict({key: torch.from_numpy(value) for key, value in weights.items()})
    return network.eval()


def golden_file(name: str) -> dict[str, np.ndarray]:
    with np.load(GOLDEN / f"basicvsrpp_{name}.npz") as file:
        return dict(file)


def golden_clip(golden: dict[str, np.ndarray]) -> torch.Tensor:
    return torch.from_numpy(golden["frames"]).float() / 255


def assert_golden(output: torch.Tensor, golden: dict[str, np.ndarray]) -> None:
    """The output, (T, 3, sH, sW), is within 1e-4 of the output's range of the published one."""
    expected = torch.from_numpy(golden["output_every_4th"])
    tolerance = 1e-4 * float(expected.max() - expected.min())
    assert (output[..., ::4, ::4] - expected).abs().max() <= tolerance
    np.testing.assert_allclose(output.mean((2, 3)), golden["output_mean"], atol=tolerance)
    np.testing.assert_allclose(output.std((2, 3)), golden["output_std"], atol=tolerance)


@pytest.mark.parametrize("name", GOLDEN_NAMES)
def test_output_is_that_of_the_published_network(name: str) -> None:
    golden = golden_file(name)
    with torch.inference_mode():
        output = golden_network(name)(golden_clip(golden)[None])[0]
    assert_golden(output, golden)


@pytest.mark.parametrize("name", GOLDEN_NAMES)
def test_flows_are_those_of_the_published_network(name: str) -> None:
    golden = golden_file(name)
    with torch.inference_mode():
        _, to_next = golden_network(name).flows(golden_clip(golden)[None])
    assert np.abs(to_next[0].numpy() - golden["flow_to_next"]).max() <= 1e-3


@pytest.mark.parametrize("name", sorted(SHAPES))
def test_parameters_have_the_published_names_and_shapes(name: str) -> None:
    with torch.device("meta"):
        network = BasicVSRPP(config_of(name))
    shapes = {key: tuple(value.shape) for key, value in network.state_dict().items()}
    assert shapes == shape_table(name)
    assert sum(p.numel() for p in network.parameters()) == SHAPES[name]["parameters"]


def test_embedded_weights_load_strictly() -> None:
    path = ROOT / "weights" / "compact-x4.safetensors"
    BasicVSRPP(COMPACT).load_state_dict(load_file(path), strict=True)
    with safe_open(path, "pt") as file:
        config = json.loads(file.metadata()["config"])
    assert (config["mid_channels"], config["num_blocks"]) == (COMPACT.channels, COMPACT.blocks)


def tiny(*, same_size: bool = False) -> BasicVSRPP:
    """A small network with weights large enough for every part to matter."""
    config = NetworkConfig(
        channels=8,
        blocks=1,
        same_size=same_size,
        deform_groups=4,
        extract_blocks=1,
        reconstruct_blocks=1,
        hr_channels=8,
        spynet=SpynetConfig(levels=3, kernel=3, widths=(8, 8)),
    )
    torch.manual_seed(0)
    network = BasicVSRPP(config)
    for parameter in network.parameters():
        if parameter.dim() > 1:
            torch.nn.init.normal_(parameter, std=0.7 / parameter[0].numel() ** 0.5)
        else:
            torch.nn.init.normal_(parameter, std=0.02)
    return network


@pytest.mark.parametrize("same_size", [False, True])
def test_every_parameter_gets_a_gradient(same_size: bool) -> None:
    network = tiny(same_size=same_size)
    side = 16 * network.config.multiple_of
    network(torch.rand(2, 3, 3, side, side)).square().mean().backward()
    without = [
        name
        for name, p in network.named_parameters()
        if p.grad is None or not bool(p.grad.isfinite().all()) or not bool(p.grad.any())
    ]
    assert without == []


def test_a_batch_is_computed_as_its_clips_are() -> None:
    network = tiny()
    clips = torch.rand(2, 3, 3, 16, 20)
    with torch.inference_mode():
        together = network(clips)
        alone = torch.cat([network(clip[None]) for clip in clips])
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=1e-5)


def test_flows_stay_float32_under_autocast() -> None:
    network = tiny()
    clip = torch.rand(1, 3, 3, 16, 20)
    with torch.autocast("cpu", torch.bfloat16):
        forward, backward = network.flows(clip)
        output = network(clip)
    assert forward.dtype == backward.dtype == output.dtype == torch.float32
    assert (output - network(clip)).abs().max() < 0.2


def test_one_frame_alone_is_enough() -> None:
    assert tiny()(torch.rand(1, 1, 3, 16, 20)).shape == (1, 1, 3, 64, 80)
