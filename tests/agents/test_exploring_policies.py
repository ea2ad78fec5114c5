"""Deterministic policies that explore: what they do, and how probable that is."""

import math

import numpy as np
import pytest
import torch
from gymnasium import spaces

from metarl_gan.agents.exploring_policies import EpsilonGreedyPolicy, NoisyActorPolicy
from metarl_gan.agents.networks import expand_over_tasks
from tests.agents.toys import stream

BOX = spaces.Box(np.array([-2.0, 0.0], np.float32), np.array([2.0, 5.0], np.float32))
ROWS = torch.tensor([[[0.3, -1.0, 2.0]]]).expand(2, 4000, 3)


def noisy(std=0.1):
    policy = NoisyActorPolicy(BOX, 3, (4,), noise_std=std)
    parameters = expand_over_tasks(policy.initial_parameters(stream()), 2)
    return policy, {**parameters, "bias_1": torch.tensor([[0.5, -0.4], [0.0, 0.0]])}


def greedy(epsilon):
    policy = EpsilonGreedyPolicy(spaces.Discrete(4, start=2), 3, (), epsilon=epsilon)
    return policy, {
        "weight_0": torch.zeros(2, 3, 4),
        "bias_0": torch.tensor([[0.0, 1.0, 0.5, 0.2], [3.0, 1.0, 0.5, 0.2]]),
    }


def test_noise_is_about_the_squashed_mean_in_half_ranges():
    policy, parameters = noisy()
    mode = policy.mode(parameters, ROWS[:, :1])
    assert mode[1, 0].tolist() == pytest.approx([0.0, 2.5], abs=0.2)
    actions, log_probs = policy.sample(parameters, ROWS, stream(1))
    torch.testing.assert_close(actions.mean(1), mode[:, 0], atol=0.02, rtol=0)
    torch.testing.assert_close(
        actions.std(1), torch.tensor([[0.2, 0.25], [0.2, 0.25]]), atol=0.01, rtol=0
    )
    torch.testing.assert_close(policy.log_probs(parameters, ROWS, actions), log_probs)
    normal = torch.distributions.Normal(mode, torch.tensor([0.2, 0.25]))
    torch.testing.assert_close(normal.log_prob(actions).sum(-1), log_probs, atol=1e-4, rtol=1e-4)
    entropy = policy.entropy(parameters, ROWS)
    assert float(entropy[0, 0]) == pytest.approx(float(normal.entropy().sum(-1)[0, 0]), abs=1e-5)
    assert float(-log_probs.mean()) == pytest.approx(float(entropy[0, 0]), abs=0.05)


def test_the_greedy_action_and_now_and_then_any():
    policy, parameters = greedy(0.2)
    assert policy.mode(parameters, ROWS)[:, 0].tolist() == [3, 2]
    actions, log_probs = policy.sample(parameters, ROWS, stream(1))
    counts = torch.bincount(actions[0], minlength=6)
    assert counts[:2].sum() == 0
    assert counts[2:].tolist() == pytest.approx([200, 3400, 200, 200], abs=50)
    expected = torch.where(actions[0] == 3, math.log(0.85), math.log(0.05))
    torch.testing.assert_close(log_probs[0], expected)
    torch.testing.assert_close(policy.log_probs(parameters, ROWS, actions), log_probs)
    by_hand = -0.85 * math.log(0.85) - 3 * 0.05 * math.log(0.05)
    assert float(policy.entropy(parameters, ROWS)[0, 0]) == pytest.approx(by_hand)


def test_bounds_are_needed_to_squash_into():
    with pytest.raises(ValueError, match="not bounded"):
        NoisyActorPolicy(spaces.Box(-np.inf, np.inf, (2,)), 3, (4,))
