import pytest
import torch
from torch import nn

from metarl_gan.agents.optimisers import optimiser_tensors, restore_optimiser, with_prefix


def make(kind):
    torch.manual_seed(0)
    network = nn.Linear(3, 2)
    weights = list(network.parameters())
    optimisers = {
        "adam": lambda: torch.optim.Adam(weights, lr=0.1),
        "fused": lambda: torch.optim.Adam(weights, lr=0.1, fused=True),
        "sgd": lambda: torch.optim.SGD(weights, lr=0.1, momentum=0.9),
    }
    return network, optimisers[kind]()


def descend(network, optimiser, n_steps):
    for step in range(n_steps):
        optimiser.zero_grad()
        (network(torch.full((4, 3), 1.0 + step)).square().sum()).backward()
        optimiser.step()


@pytest.mark.parametrize("kind", ["adam", "fused", "sgd"])
def test_a_restored_optimiser_goes_on_to_the_bit(kind):
    network, optimiser = make(kind)
    descend(network, optimiser, 3)
    kept = {name: value.clone() for name, value in optimiser_tensors(optimiser).items()}
    assert all(isinstance(value, torch.Tensor) for value in kept.values())
    other, fresh = make(kind)
    other.load_state_dict(network.state_dict())
    restore_optimiser(fresh, kept)
    descend(network, optimiser, 2)
    descend(other, fresh, 2)
    assert torch.equal(other.weight, network.weight)
    assert torch.equal(other.bias, network.bias)


def test_what_was_handed_over_is_not_shared():
    network, optimiser = make("adam")
    descend(network, optimiser, 1)
    kept = {name: value.clone() for name, value in optimiser_tensors(optimiser).items()}
    copies = {name: value.clone() for name, value in kept.items()}
    other, fresh = make("adam")
    restore_optimiser(fresh, kept)
    descend(other, fresh, 3)
    for name, value in kept.items():
        assert torch.equal(value, copies[name])


def test_an_optimiser_that_never_stepped_has_no_state():
    _, optimiser = make("adam")
    assert optimiser_tensors(optimiser) == {}
    network, stepped = make("adam")
    descend(network, stepped, 1)
    restore_optimiser(stepped, {})
    assert optimiser_tensors(stepped) == {}


def test_prefixes_are_cut_off():
    one = torch.ones(1)
    found = with_prefix({"a.x": one, "a.b.x": one, "ab.x": one, "b.x": one}, "a.")
    assert set(found) == {"x", "b.x"}
