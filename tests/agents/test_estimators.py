"""What the estimators' curvature is in expectation: by enumeration, without sampling error.

Two steps of two actions each; the first action decides in which state the second is taken.
Every trajectory is there once, weighted by its probability.
"""

import gymnasium
import numpy as np
import pytest
import torch

from metarl_gan.agents.policies import make_policy
from metarl_gan.agents.policy_gradient import PolicyRows, policy_loss, surrogate_loss

STATES = torch.eye(3, dtype=torch.float64)
POLICY = make_policy(
    gymnasium.spaces.Box(-1, 1, (3,), np.float32), gymnasium.spaces.Discrete(2), hidden_sizes=()
)
SHAPES = {"weight_0": (1, 3, 2), "bias_0": (1, 2)}
SIZE = 8
TRAJECTORIES = [(first, second) for first in range(2) for second in range(2)]
FIRST_REWARDS = torch.tensor([1.0, -0.5], dtype=torch.float64)
SECOND_REWARDS = torch.tensor([[0.3, 2.0], [-1.0, 1.5]], dtype=torch.float64)
BASELINES = torch.tensor([-0.3, -0.4, 0.2], dtype=torch.float64)
"""Any function of the state will do: it is there to be seen not to matter."""


def parameters_of(vector):
    weight, bias = vector.split([6, 2])
    return {"weight_0": weight.view(1, 3, 2), "bias_0": bias.view(1, 2)}


HERE = torch.randn(SIZE, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def action_log_probs(vector):
    """`[states, actions]`."""
    actions = torch.tensor([[0, 1]]).expand(3, 2).reshape(1, 6)
    states = STATES.repeat_interleave(2, dim=0).unsqueeze(0)
    return POLICY.log_probs(parameters_of(vector), states, actions).view(3, 2)


def log_probability(vector, first, second, n_steps=2):
    table = action_log_probs(vector)
    return table[0, first] + (table[1 + first, second] if n_steps == 2 else 0.0)


def expected_return(vector, n_steps):
    total = torch.zeros((), dtype=torch.float64)
    for first, second in TRAJECTORIES:
        rewards = FIRST_REWARDS[first]
        rewards = rewards + (SECOND_REWARDS[first, second] if n_steps == 2 else 0.0)
        # With one step, both second actions stand for the same.
        share = 1.0 if n_steps == 2 else 0.5
        total = total + share * log_probability(vector, first, second, n_steps).exp() * rewards
    return total


def rows(n_steps, trajectories=tuple(TRAJECTORIES), *, weighted=True):
    """The trajectories as rows; advantages are rewards to go less a baseline."""
    states, actions, advantages, weights = [], [], [], []
    for first, second in trajectories:
        probability = log_probability(HERE, first, second, n_steps).exp() if weighted else 1.0
        probability = probability if n_steps == 2 else 0.5 * probability
        later = SECOND_REWARDS[first, second] if n_steps == 2 else 0.0
        steps = [(0, first, FIRST_REWARDS[first] + later)]
        steps += [(1 + first, second, SECOND_REWARDS[first, second])] * (n_steps == 2)
        for state, action, to_go in steps:
            states.append(STATES[state])
            actions.append(action)
            advantages.append(to_go - BASELINES[state])
            weights.append(probability)
    observations, chosen = torch.stack(states).unsqueeze(0), torch.tensor([actions])
    return PolicyRows(
        observations=observations,
        actions=chosen,
        log_probs=POLICY.log_probs(parameters_of(HERE), observations, chosen),
        advantages=torch.tensor([advantages], dtype=torch.float64),
        weights=torch.tensor([weights], dtype=torch.float64),
        episode_steps=n_steps,
    )


def gain(estimator, these):
    """What an inner step ascends, as a function of all parameters in one vector."""
    return lambda vector: -policy_loss(POLICY, parameters_of(vector), these, 10.0, estimator).sum()


def hessian(function):
    return torch.autograd.functional.hessian(function, HERE)


def exact_hessian(n_steps):
    return hessian(lambda vector: expected_return(vector, n_steps))


def without_later_changes(vector):
    """Expected return with states and values as of `HERE`: the policy changes in one step only."""
    frozen = action_log_probs(HERE).exp().detach()
    values = FIRST_REWARDS + (frozen[1:] * SECOND_REWARDS).sum(-1)
    table = action_log_probs(vector).exp()
    return (table[0] * values).sum() + (frozen[0].unsqueeze(-1) * table[1:] * SECOND_REWARDS).sum()


@pytest.mark.parametrize("n_steps", [1, 2])
@pytest.mark.parametrize("estimator", ["low_variance", "dice", "naive"])
def test_every_estimator_has_the_gradient_of_the_expected_return(estimator, n_steps):
    gradient = torch.func.grad(lambda vector: expected_return(vector, n_steps))(HERE)
    found = torch.func.grad(gain(estimator, rows(n_steps)))(HERE)
    torch.testing.assert_close(found, gradient)
    assert gradient.abs().max() > 0.05


@pytest.mark.parametrize("n_steps", [1, 2])
def test_dice_has_the_curvature_of_the_expected_return(n_steps):
    torch.testing.assert_close(hessian(gain("dice", rows(n_steps))), exact_hessian(n_steps))


def test_low_variance_has_it_for_one_step_and_for_more_without_what_changes_later():
    torch.testing.assert_close(hessian(gain("low_variance", rows(1))), exact_hessian(1))
    found = hessian(gain("low_variance", rows(2)))
    torch.testing.assert_close(found, hessian(without_later_changes))
    assert (found - exact_hessian(2)).abs().max() > 0.02


@pytest.mark.parametrize("n_steps", [1, 2])
def test_the_naive_estimator_does_not_have_it(n_steps):
    exact = exact_hessian(n_steps)
    error = (hessian(gain("naive", rows(n_steps))) - exact).abs().max()
    assert error > 0.2 * exact.abs().max()


def test_low_variance_varies_less_from_episode_to_episode():
    """Eight pulls in one state: each has seven others whose scores `dice` takes with its own."""
    n_steps, noise = 8, torch.Generator().manual_seed(0)
    states = STATES[:1].expand(1, n_steps, 3)
    spread = {"low_variance": [], "dice": []}
    for _ in range(40):
        actions, log_probs = POLICY.sample(parameters_of(HERE), states, noise)
        rewards = FIRST_REWARDS[actions]
        to_go = rewards.flip(-1).cumsum(-1).flip(-1) - rewards.mean()
        episode = PolicyRows(
            observations=states,
            actions=actions,
            log_probs=log_probs,
            advantages=to_go,
            weights=torch.ones_like(to_go),
            episode_steps=n_steps,
        )
        for estimator, found in spread.items():
            found.append(hessian(gain(estimator, episode)))
    variance = {name: float(torch.stack(each).var(0).sum()) for name, each in spread.items()}
    assert variance["low_variance"] < 0.5 * variance["dice"]


def test_ratios_of_dice_by_hand():
    """Away from the behaviour policy: all ratios up to a step, less those up to the one before."""
    there = HERE + 0.1 * torch.arange(SIZE, dtype=torch.float64)
    these = rows(2, [(1, 0)], weighted=False)
    old, new = (action_log_probs(vector).exp() for vector in (HERE, there))
    first, second = new[0, 1] / old[0, 1], new[2, 0] / old[2, 0]
    a, b = these.advantages[0]
    expected = (first - 1.0) * a + (first * second - first) * b
    torch.testing.assert_close(gain("dice", these)(there), expected)
    # Held at 1 + clip.
    tight = -policy_loss(POLICY, parameters_of(there), these, 1e-3, "dice").sum()
    held = [min(float(first), 1.001), min(float(first * second), 1.001)]
    assert float(tight) == pytest.approx(
        (held[0] - 1.0) * float(a) + (held[1] - held[0]) * float(b)
    )


def test_an_episode_does_not_count_what_was_done_in_the_one_before():
    there = HERE + 0.1 * torch.arange(SIZE, dtype=torch.float64)
    both = rows(2, [(0, 1), (1, 0)], weighted=False)
    alone = [rows(2, [trajectory], weighted=False) for trajectory in [(0, 1), (1, 0)]]
    expected = sum(gain("dice", these)(there) for these in alone)
    torch.testing.assert_close(gain("dice", both)(there), torch.as_tensor(expected))


def test_the_ratio_of_single_steps_is_the_surrogate():
    these = rows(2)
    expected = surrogate_loss(POLICY, parameters_of(HERE), these, 10.0)
    found = policy_loss(POLICY, parameters_of(HERE), these, 10.0, "low_variance")
    assert torch.equal(found, expected)
