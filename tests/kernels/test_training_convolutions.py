"""Chains of convolutions in Winograd's domain, held against torch's own operations."""

import pytest
import torch

from vsrpp_cli.kernels.training.convolutions import Layer, LibraryChains, WinogradChains
from vsrpp_cli.network.basicvsrpp import BasicVSRPP
from vsrpp_cli.network.config import NetworkConfig, SpynetConfig
from vsrpp_cli.training.forward import cast, restore

# Channels of the inputs, outputs of the layers, and the layers.
CHAINS = {
    "one convolution": ([16], [16], [Layer("a")]),
    "an activation at the end": ([32, 16], [32], [Layer("a", slope=0.1)]),
    "residual block": (
        [32, 4],
        [32, 32, 32],
        [Layer("a", slope=0.1), Layer("b", slope=0.0), Layer("c", skip=1)],
    ),
    "odd numbers of channels": ([3], [32, 27], [Layer("a", slope=0.1), Layer("b")]),
    "more panels than one": ([48, 32], [80, 16], [Layer("a", slope=0.1), Layer("b")]),
    "shuffles": (
        [32],
        [128, 64, 3],
        [
            Layer("a", slope=0.1, shuffled=True),
            Layer("b", slope=0.1, shuffled=True),
            Layer("c"),
        ],
    ),
}
SIZES = [(2, 9, 11), (1, 4, 4), (3, 2, 17)]


def made(name, size, dtype):
    """Return layers, inputs and float32 weights of a chain."""
    channels, outputs, layers = CHAINS[name]
    generator = torch.Generator().manual_seed(0)
    count, weights = sum(channels), {}
    for layer, out in zip(layers, outputs, strict=True):
        weight = torch.randn(out, count, 3, 3, generator=generator) / (4 * count) ** 0.5
        weights[f"{layer.name}.weight"] = weight.to(dtype).float().requires_grad_()
        bias = 0.1 * torch.randn(out, generator=generator)
        weights[f"{layer.name}.bias"] = bias.to(dtype).float().requires_grad_()
        count = out // 4 if layer.shuffled else out
    batch, height, width = size
    inputs = [
        torch.randn(batch, c, height, width, generator=generator).to(dtype).requires_grad_()
        for c in channels
    ]
    return layers, inputs, weights


def gradients(chains, layers, inputs, weights):
    """Return the result of a chain and all gradients of a random function of it, float64."""
    out = chains(layers, inputs)
    generator = torch.Generator().manual_seed(1)
    seed = torch.randn(out.shape, generator=generator, dtype=torch.float64)
    found = torch.autograd.grad(out, [*inputs, *weights.values()], seed.to(out.dtype))
    return [x.double() for x in (out.detach(), *found)]


def exact(layers, inputs, weights):
    """Return what `gradients` does, computed in float64."""
    inputs = [x.detach().double().requires_grad_() for x in inputs]
    weights = {k: v.detach().double().requires_grad_() for k, v in weights.items()}
    return gradients(LibraryChains(weights), layers, inputs, weights)


def distance(one, other):
    return float((one - other).norm() / other.norm())


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("name", CHAINS)
def test_a_chain_and_its_gradients_are_those_of_torch(name, size):
    layers, inputs, weights = made(name, size, torch.float32)
    fast = gradients(WinogradChains(weights, torch.float32), layers, inputs, weights)
    for ours, theirs in zip(fast, exact(layers, inputs, weights), strict=True):
        assert ours.shape == theirs.shape
        assert distance(ours, theirs) < 1e-5


@pytest.mark.parametrize(
    ("name", "bound"),
    [("one convolution", 0.02), ("more panels than one", 0.15), ("shuffles", 0.2)],
)
def test_bfloat16_loses_what_these_transforms_lose(name, bound):
    # Behind activations more: gradients stop elsewhere where a sum near zero changes its sign.
    layers, inputs, weights = made(name, (2, 9, 11), torch.bfloat16)
    fast = gradients(WinogradChains(weights, torch.bfloat16), layers, inputs, weights)
    truth = exact(layers, inputs, weights)
    assert distance(fast[0], truth[0]) < 0.03
    for ours, theirs in zip(fast, truth, strict=True):
        assert distance(ours, theirs) < bound


def test_a_padded_result_ends_in_zeros():
    layers, inputs, weights = made("odd numbers of channels", (1, 4, 4), torch.float32)
    chains = WinogradChains(weights, torch.float32)
    padded = chains(layers, inputs, padded=True)
    assert padded.shape[1] == 32
    assert torch.equal(padded[:, :27], chains(layers, inputs))
    assert not padded[:, 27:].any()


def test_inputs_may_be_frames_of_a_clip():
    layers, (x,), weights = made("one convolution", (4, 8, 8), torch.float32)
    clip = x.detach().contiguous(memory_format=torch.channels_last).view(2, 2, 16, 8, 8)
    chains = WinogradChains(weights, torch.float32)
    frame = clip.requires_grad_().unbind(1)[1]
    assert not frame.is_contiguous(memory_format=torch.channels_last)
    assert torch.allclose(chains(layers, [frame]), chains(layers, [x])[1::2], atol=1e-5)


def test_results_do_not_depend_on_the_number_of_threads():
    layers, inputs, weights = made("more panels than one", (2, 9, 11), torch.bfloat16)
    found = []
    before = torch.get_num_threads()
    for threads in (1, 2):
        torch.set_num_threads(threads)
        found.append(gradients(WinogradChains(weights, torch.bfloat16), layers, inputs, weights))
    torch.set_num_threads(before)
    assert all(torch.equal(one, two) for one, two in zip(*found, strict=True))


def test_inputs_that_need_no_gradients_get_none():
    layers, inputs, weights = made("residual block", (1, 4, 4), torch.float32)
    still = [inputs[0].detach(), inputs[1]]
    chains = WinogradChains(weights, torch.float32)
    (found,) = torch.autograd.grad(chains(layers, still).sum(), inputs[1:])
    (wanted,) = torch.autograd.grad(chains(layers, inputs).sum(), inputs[1:])
    assert torch.equal(found, wanted)


@pytest.mark.parametrize(
    ("dtype", "bound"), [(torch.float32, 2e-3), (torch.bfloat16, 0.2)], ids=str
)
def test_the_whole_network_trains_as_it_does_with_the_library(dtype, bound):
    torch.manual_seed(0)
    config = NetworkConfig(
        channels=16, blocks=1, deform_groups=4, extract_blocks=1, reconstruct_blocks=1,
        hr_channels=16, spynet=SpynetConfig(2, 3, (4, 4, 4, 4)),
    )  # fmt: skip
    network = BasicVSRPP(config)
    clips = torch.rand(2, 4, 3, 12, 10)
    parameters = list(network.parameters())
    weights = dict(network.state_dict(keep_vars=True))
    found = []
    for precise, chains in (
        (torch.float32, None),
        (dtype, WinogradChains(weights, dtype)),
        (dtype, None),
    ):
        out, _, _ = restore(cast(weights, precise), clips, chains)
        found.append([out.detach(), *torch.autograd.grad(out.square().mean(), parameters)])
    for truth, ours, theirs in zip(*found, strict=True):
        # Some gradients are nothing but rounding.
        allowed = max(bound * truth.norm(), 3 * (theirs - truth).norm()) + 1e-6
        assert (ours - truth).norm() < allowed
