"""Against autograd, which derives the same from the policies' own `log_probs`."""

import gc
import weakref
from dataclasses import replace

import numpy as np
import pytest
import torch
from gymnasium import spaces

from metarl_gan.agents.policies import make_policy
from metarl_gan.agents.policy_gradient import MixedRows, PolicyRows, log_probs_of, policy_gradient
from metarl_gan.agents.written_out import has_written_out, log_probs, loss_gradient
from tests.agents.toys import stream

N_TASKS, N_ROWS, N_OBSERVATIONS = 2, 7, 3
OBSERVATIONS = spaces.Box(-1.0, 1.0, (N_OBSERVATIONS,), np.float32)
SPACES = {
    "gaussian": spaces.Box(
        np.array([-2, 0], np.float32), np.array([3, 1], np.float32), (2,), np.float32
    ),
    "categorical": spaces.Discrete(4, start=1),
}
HIDDEN = [(), (5,), (5, 4), (4, 3, 5)]


def a_policy(space, hidden_sizes, activation="tanh"):
    """Double precision; observations are scaled, and one action's log std is out of its bounds."""
    policy = make_policy(OBSERVATIONS, space, hidden_sizes=hidden_sizes, activation=activation)
    policy.set_observation_scale(
        torch.tensor([0.3, -1.0, 2.0]).double(), torch.tensor([0.5, 1.0, 2.0]).double()
    )
    random = stream()
    parameters = {
        name: (0.6 * torch.randn(N_TASKS, *value.shape, generator=random).double())
        for name, value in policy.initial_parameters(random).items()
    }
    if "log_std" in parameters:
        parameters["log_std"] = torch.tensor([[0.3, -0.2], [-1.0, 5.0]]).double()
    return policy, {name: value.requires_grad_() for name, value in parameters.items()}


def some_rows(policy, parameters):
    random = stream(1)
    observations = torch.randn(N_TASKS, N_ROWS, N_OBSERVATIONS, generator=random).double()
    with torch.no_grad():
        actions, played = policy.sample(parameters, observations, random)
    advantages = torch.randn(N_TASKS, N_ROWS, generator=random).double()
    return PolicyRows(
        observations=observations,
        actions=actions,
        log_probs=played + 0.3 * torch.randn(N_TASKS, N_ROWS, generator=random),
        advantages=advantages,
        weights=torch.full((N_TASKS, N_ROWS), 1.0 / N_ROWS).double(),
        episode_steps=N_ROWS,
    )


def agree(found, expected):
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("hidden_sizes", HIDDEN)
@pytest.mark.parametrize("kind", SPACES)
def test_log_probs_and_their_gradient(kind, hidden_sizes):
    policy, parameters = a_policy(SPACES[kind], hidden_sizes)
    rows = some_rows(policy, parameters)
    given = (rows.observations, rows.actions)
    own, plain = log_probs(policy, parameters, *given), policy.log_probs(parameters, *given)
    torch.testing.assert_close(own, plain, rtol=1e-12, atol=1e-12)
    at = tuple(parameters.values())
    agree(*(torch.autograd.grad((v * rows.advantages).sum(), at) for v in (own, plain)))


@pytest.mark.parametrize("hidden_sizes", HIDDEN)
@pytest.mark.parametrize("kind", SPACES)
def test_the_gradient_of_any_loss_of_rows_and_its_product_with_a_direction(kind, hidden_sizes):
    """Of `x² + exp(x)`, whose second derivative is not its first."""
    policy, parameters = a_policy(SPACES[kind], hidden_sizes)
    rows = some_rows(policy, parameters)
    given = (rows.observations, rows.actions)
    at, names = tuple(parameters.values()), list(parameters)
    own = loss_gradient(policy, parameters, *given, lambda x: (2 * x + x.exp(), 2 + x.exp()))
    logs = policy.log_probs(parameters, *given)
    plain = torch.autograd.grad((logs**2 + logs.exp()).sum(), at, create_graph=True)
    found = [own[name] for name in names]
    agree(found, plain)
    direction = [torch.randn(v.shape, generator=stream(2)).double() for v in at]
    kept = [v.clone() for v in direction]
    products = [
        torch.autograd.grad(gradient, at, direction, retain_graph=True)
        for gradient in (found, plain, found)
    ]
    agree(products[0], products[1])
    agree(products[2], products[0])  # nothing that is needed again was written over
    agree(direction, kept)


@pytest.mark.parametrize("clip", [0.2, float("inf")])
@pytest.mark.parametrize("kind", SPACES)
def test_policy_gradients_and_what_they_are_differentiated_to(kind, clip):
    """With gains that are held and ratios beyond the most, real and generated, in each task."""
    policy, parameters = a_policy(SPACES[kind], (5, 4))
    rows = some_rows(policy, parameters)
    rows.log_probs[:, 0] -= 11.0
    rows.log_probs[:, 1] -= 1.0
    rows.advantages[:, :2] = 1.0
    ratio = (policy.log_probs(parameters, rows.observations, rows.actions) - rows.log_probs).exp()
    held = ratio * rows.advantages > rows.advantages + 0.2 * rows.advantages.abs()
    assert held.any(-1).all()
    assert not held.all(-1).any()
    turned = replace(rows, advantages=rows.advantages.flip(-1))
    mixed = MixedRows(real=rows, generated=turned, share=torch.tensor([0.25, 0.0]).double())
    at = tuple(parameters.values())
    results = []
    for by in ("written_out", "autograd"):
        found = policy_gradient(policy, parameters, mixed, clip, by=by)
        moved = {name: value - 0.5 * found[name] for name, value in parameters.items()}
        after = log_probs_of(policy, moved, turned, by)
        loss = (after * turned.advantages).sum()
        results.append([*(found[name] for name in parameters), *torch.autograd.grad(loss, at)])
    agree(*results)


def test_without_a_graph_to_follow_there_is_none():
    policy, parameters = a_policy(SPACES["gaussian"], (5,))
    rows = MixedRows(real=some_rows(policy, parameters))
    with torch.no_grad():
        found = policy_gradient(policy, parameters, rows, 0.2)
    assert not any(value.requires_grad for value in found.values())
    constant = {name: value.detach() for name, value in parameters.items()}
    found = policy_gradient(policy, constant, rows, 0.2)
    assert not any(value.requires_grad for value in found.values())


def test_a_third_derivative_is_refused():
    policy, parameters = a_policy(SPACES["gaussian"], (5,))
    rows = MixedRows(real=some_rows(policy, parameters))
    found = policy_gradient(policy, parameters, rows, 0.2)
    at = tuple(parameters.values())
    total = torch.stack([value.square().sum() for value in found.values()]).sum()
    once = torch.autograd.grad(total, at, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        once[0].sum().backward()


@pytest.mark.parametrize("kind", SPACES)
def test_results_go_when_nobody_holds_them(kind):
    """At once: nothing that a graph keeps leads back to it, which only a collection would find."""
    policy, parameters = a_policy(SPACES[kind], (5,))
    rows = some_rows(policy, parameters)
    gc.disable()
    try:
        logs = log_probs_of(policy, parameters, rows)
        gradient = policy_gradient(policy, parameters, MixedRows(real=rows), 0.2)
        held = [weakref.ref(value) for value in (logs, *gradient.values())]
        del logs, gradient
        assert [reference() for reference in held] == [None] * len(held)
    finally:
        gc.enable()


@pytest.mark.parametrize("case", ["relu", "hybrid"])
def test_policies_that_it_does_not_serve_are_differentiated_by_autograd(case):
    space = SPACES["gaussian"]
    if case == "hybrid":
        space = spaces.Tuple([space, spaces.Discrete(2)])
    policy, parameters = a_policy(space, (5,), "relu" if case == "relu" else "tanh")
    assert not has_written_out(policy)
    rows = some_rows(policy, parameters)
    written, plain = (
        policy_gradient(policy, parameters, MixedRows(real=rows), 0.2, by=by)
        for by in ("written_out", "autograd")
    )
    agree(written.values(), plain.values())
