import pytest
import torch
from torch import nn

from kseg.networks.frozen import FrozenParts
from kseg.networks.passes import EveryPass


def step(module: nn.Module, x: torch.Tensor, parameters) -> None:
    """One step of training, as a trainer does it."""
    module.train()
    optimizer = torch.optim.SGD(parameters, lr=1.0)
    optimizer.zero_grad()
    module(x)[-1].square().mean().backward()
    optimizer.step()


def test_frozen_parts_stay_as_they_are_and_the_rest_learns(make_network, scan, noise):
    network, x = make_network(block="autoencoder", n_recurrences=1), scan(noise(2, 1, 12, 10))
    before = {name: value.clone() for name, value in network.state_dict().items()}
    frozen = FrozenParts(EveryPass(network), network, ["reconstruction"])
    step(frozen, x, network.parameters())
    changed = {name for name, value in network.state_dict().items() if not torch.equal(value, before[name])}
    assert not any(name.startswith("reconstruction.") for name in changed)
    statistics = {name for name in changed if "running_mean" in name}
    assert {name.partition(".")[0] for name in statistics} == {"segmenter", "attention"}
    assert not any(part.training for part in network.reconstruction.modules())
    assert network.segmenter.training


def test_without_the_wrapper_the_statistics_would_move(make_network, scan, noise):
    network, x = make_network(block="autoencoder"), scan(noise(2, 1, 12, 10))
    network.reconstruction.requires_grad_(False)
    before = {name: value.clone() for name, value in network.reconstruction.state_dict().items()}
    step(EveryPass(network), x, network.parameters())
    after = network.reconstruction.state_dict()
    assert any(not torch.equal(value, before[name]) for name, value in after.items())


def test_nothing_frozen_is_the_module_itself(make_network, scan, noise):
    network, x = make_network(), scan(noise(1, 1, 12, 10))
    frozen = FrozenParts(network, network, [])
    assert torch.equal(frozen(x), network(x))
    assert all(part.training for part in frozen.train().modules())
    assert not any(part.training for part in frozen.eval().modules())
    assert all(value.requires_grad for value in network.parameters())


def test_evaluation_is_not_entered_by_wrapping(make_network):
    network = make_network().train()
    frozen = FrozenParts(network, network, ["segmenter"])
    assert frozen.training
    assert not network.segmenter.training
    assert {id(value) for value in frozen.parameters()} == {id(value) for value in network.parameters()}


def test_unknown_parts_are_refused(make_network):
    network = make_network(n_recurrences=0)
    expected = "frozen parts: expected some of reconstruction, segmenter, received attention, head"
    with pytest.raises(ValueError, match=expected):
        FrozenParts(network, network, ["attention", "segmenter", "head"])
