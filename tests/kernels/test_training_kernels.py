"""The kernels training samples with, held against their slow twins."""

import itertools

import pytest
import torch
from torch import Tensor

from vsrpp_cli.kernels.training.sampling import column_weight, deform_columns, warp
from vsrpp_cli.network.basicvsrpp import BasicVSRPP
from vsrpp_cli.network.config import NetworkConfig, SpynetConfig
from vsrpp_cli.network.warp import warp as slow_warp
from vsrpp_cli.training.forward import cast, restore

BATCH, CHANNELS, HEIGHT, WIDTH, GROUPS = 2, 8, 5, 7, 4


def inputs(dtype=torch.float32):
    generator = torch.Generator().manual_seed(0)

    def draw(channels, scale=1.0):
        x = scale * torch.randn(BATCH, channels, HEIGHT, WIDTH, generator=generator)
        return x.to(dtype)

    raw = draw(27 * GROUPS, 0.2)
    # Large flows, so that samples fall on and beyond every border.
    flows = [draw(2, 3.0).float() for _ in range(2)]
    tensors = [draw(CHANNELS), draw(CHANNELS), raw, *flows]
    return [tensor.requires_grad_() for tensor in tensors]


def slow_columns(x1: Tensor, x2: Tensor, raw: Tensor, flow1: Tensor, flow2: Tensor) -> Tensor:
    """Gather by grid sampling, one tap of one group at a time."""
    first, second, mask = raw.chunk(3, 1)
    offset = 10 * torch.tanh(torch.cat((first, second), 1))
    mask = torch.sigmoid(mask)
    lanes = 2 * CHANNELS // GROUPS
    columns = []
    for group, tap in itertools.product(range(GROUPS), range(9)):
        half, inner = divmod(group, GROUPS // 2)
        x, flow = ((x1, flow1), (x2, flow2))[half]
        at = 2 * (9 * group + tap)
        tap_x, tap_y = tap % 3 - 1, tap // 3 - 1
        move = flow + offset[:, [at + 1, at]] + torch.tensor([tap_x, tap_y]).view(1, 2, 1, 1)
        part = x[:, inner * lanes : (inner + 1) * lanes]
        columns.append(slow_warp(part, move) * mask[:, 9 * group + tap, None])
    return torch.cat(columns, 1).permute(0, 2, 3, 1).flatten(0, 2)


def test_columns_and_their_gradients_are_those_of_grid_sampling():
    tensors = inputs()
    fast, slow = deform_columns(*tensors), slow_columns(*tensors)
    assert torch.allclose(fast, slow, atol=1e-5)
    weights = torch.randn(fast.shape, generator=torch.Generator().manual_seed(1))
    ours = torch.autograd.grad(fast, tensors, weights)
    theirs = torch.autograd.grad(slow, tensors, weights)
    for one, other in zip(ours, theirs, strict=True):
        assert torch.allclose(one, other, atol=1e-4 * float(other.abs().max()))


def test_columns_in_bfloat16_are_those_of_float32_rounded():
    tensors = inputs(torch.bfloat16)
    fast = deform_columns(*tensors)
    exact = slow_columns(*(tensor.float() for tensor in tensors))
    assert fast.dtype == torch.bfloat16
    assert torch.allclose(fast.float(), exact, rtol=2**-7, atol=1e-5)
    fast.float().sum().backward()
    assert all(tensor.grad is not None and tensor.grad.dtype == tensor.dtype for tensor in tensors)


def test_warping_and_its_gradients_are_those_of_grid_sampling():
    x, _, _, flow, _ = inputs()
    fast, slow = warp(x, flow), slow_warp(x, flow)
    assert torch.allclose(fast, slow, atol=1e-5)
    ours = torch.autograd.grad(fast.square().sum(), (x, flow))
    theirs = torch.autograd.grad(slow.square().sum(), (x, flow))
    for one, other in zip(ours, theirs, strict=True):
        assert torch.allclose(one, other, atol=1e-4 * float(other.abs().max()))


def test_a_flow_that_is_no_number_stays_inside_memory():
    x1, x2, raw, flow1, flow2 = (tensor.detach() for tensor in inputs())
    flow1[:] = torch.nan
    flow2[:] = torch.inf
    deform_columns(x1, x2, raw, flow1, flow2)
    warp(x1, flow1)


def test_column_weight_turns_the_product_into_the_convolution():
    weight = torch.randn(3, 2 * CHANNELS, 3, 3)
    x1, x2, raw, flow1, _ = (tensor.detach() for tensor in inputs())
    # No offset, no flow, half open masks: an ordinary convolution of half the input.
    zeros = torch.zeros_like(flow1)
    columns = deform_columns(x1, x2, torch.zeros_like(raw), zeros, zeros)
    out = columns @ column_weight(weight, GROUPS)
    x = torch.cat((x1, x2), 1)
    expected = torch.nn.functional.conv2d(0.5 * x, weight, padding=1)
    assert torch.allclose(
        out.view(BATCH, HEIGHT, WIDTH, 3).permute(0, 3, 1, 2), expected, atol=1e-4
    )


@pytest.fixture
def network():
    torch.manual_seed(0)
    config = NetworkConfig(
        channels=8, blocks=1, deform_groups=4, extract_blocks=1, reconstruct_blocks=1,
        hr_channels=4, spynet=SpynetConfig(2, 3, (4, 4, 4, 4)),
    )  # fmt: skip
    return BasicVSRPP(config)


def test_the_training_forward_pass_is_the_networks_own(network):
    clips = torch.rand(2, 4, 3, 12, 10)
    weights = cast(dict(network.state_dict(keep_vars=True)), torch.float32)
    ours, to_next, to_last = restore(weights, clips)
    theirs = network(clips)
    flows_to_last, flows_to_next = network.flows(clips)
    assert torch.allclose(ours, theirs, atol=1e-4)
    assert torch.allclose(to_next, flows_to_next, atol=1e-4)
    assert torch.allclose(to_last, flows_to_last, atol=1e-4)
    parameters = list(network.parameters())
    mine = torch.autograd.grad(ours.square().mean(), parameters)
    own = torch.autograd.grad(theirs.square().mean(), parameters)
    for one, other in zip(mine, own, strict=True):
        assert torch.allclose(one, other, atol=2e-3 * float(other.abs().max()) + 1e-7)
