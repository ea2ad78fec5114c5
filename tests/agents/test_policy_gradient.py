from dataclasses import replace

import numpy as np
import pytest
import torch
from gymnasium import spaces

from metarl_gan.agents.baseline import fit_linear_values
from metarl_gan.agents.networks import expand_over_tasks
from metarl_gan.agents.policies import make_policy
from metarl_gan.agents.policy_gradient import (
    MixedRows,
    PolicyRows,
    inner_step,
    mixed_loss,
    policy_gradient,
    surrogate_loss,
)
from metarl_gan.agents.returns import generalised_advantages
from tests.agents.toys import episodes, random_episodes, stream

LINE = spaces.Box(-np.inf, np.inf, (1,), np.float32)


def linear_policy():
    """An action `w s + b` with noise of standard deviation 1: no hidden layer, no scaling."""
    return make_policy(LINE, LINE, hidden_sizes=(), initial_std=1.0)


def line_parameters(weight, bias):
    return {
        "weight_0": torch.tensor([[[weight]]]),
        "bias_0": torch.tensor([[bias]]),
        "log_std": torch.zeros(1, 1),
    }


def line_rows(*rows):
    """One task; each row is state, action, advantage, weight; sampled by the policy w = b = 0."""
    state, action, advantage, weight = torch.tensor([rows]).unbind(-1)
    behaviour = line_parameters(0.0, 0.0)
    observations, actions = state.unsqueeze(-1), action.unsqueeze(-1)
    return PolicyRows(
        observations=observations,
        actions=actions,
        log_probs=linear_policy().log_probs(behaviour, observations, actions),
        advantages=advantage,
        weights=weight,
        episode_steps=1,
    )


def test_one_inner_step_by_hand():
    # At the behaviour policy the gradient of log p is (a - ws - b) times s (for w) and 1 (for b).
    # Rows (s, a, A) with weights: (2, 1, 1) with .25 and (1, -1, 3) with .75:
    # dL/dw = -(.25 * 2 * 1 * 1 + .75 * 1 * -1 * 3) = 1.75; dL/db = -(.25 - .75 * 3) = 2;
    # dL/d log_std = 0, because (a² - 1) is 0 in both.
    rows = MixedRows(real=line_rows((2.0, 1.0, 1.0, 0.25), (1.0, -1.0, 3.0, 0.75)))
    parameters = line_parameters(0.0, 0.0)
    gradient = policy_gradient(linear_policy(), parameters, rows, 0.2)
    assert gradient["weight_0"].item() == pytest.approx(1.75)
    assert gradient["bias_0"].item() == pytest.approx(2.0)
    assert gradient["log_std"].item() == pytest.approx(0.0, abs=1e-6)
    steps = {"weight_0": torch.tensor(0.1), "bias_0": torch.tensor(1.0), "log_std": torch.ones(())}
    after = inner_step(parameters, gradient, steps)
    assert after["weight_0"].item() == pytest.approx(-0.175)
    assert after["bias_0"].item() == pytest.approx(-2.0)


def flat_rewards(rewards, *, terminated=False, valid=None):
    """Advantages of one task's two episodes of 30 steps through random states."""
    rewards = torch.as_tensor(rewards, dtype=torch.float32).expand(1, 2, 30)
    ends = torch.zeros(1, 2, 30, dtype=torch.bool)
    ends[0, 0, -1] = terminated
    states = torch.randn(1, 2, 30, 3, generator=stream(1))
    batch = episodes(states, rewards, terminated=ends, valid=valid)
    return PolicyRows.from_transitions(batch, discount=0.97, gae_lambda=0.95).advantages


def test_where_no_action_was_better_than_another_there_is_no_gradient():
    """A sparse reward that nobody has met yet: what the fit leaves over must not be amplified."""
    assert flat_rewards(-1.0).abs().max() == 0.0
    # Nor must the noise of a generator that has learnt the constant.
    noise = 1e-6 * torch.randn(1, 2, 30, generator=stream(2))
    assert flat_rewards(-1.0 + noise).abs().max() == 0.0
    valid = torch.ones(1, 2, 30, dtype=torch.bool)
    valid[0, 0, 20:] = False
    beyond = torch.where(valid, -1.0, 0.0)  # what lies beyond an episode's end is none of it
    assert flat_rewards(beyond, valid=valid).abs().max() == 0.0
    # An end tells actions apart, and so does a single reward of its own.
    found = torch.full((1, 2, 30), -1.0)
    found[0, 1, 12] = 0.0
    for advantages in (flat_rewards(-1.0, terminated=True), flat_rewards(found)):
        assert advantages.std() == pytest.approx(1.0, abs=0.02)


def test_importance_ratios_are_clipped_by_hand():
    # At s = 0, a = 1 the ratio of N(b, 1) to N(0, 1) is exp(b - b²/2): b = .5 gives e^.375 = 1.455.
    parameters = line_parameters(0.0, 0.5)
    gain, loss = line_rows((0.0, 1.0, 2.0, 1.0)), line_rows((0.0, 1.0, -2.0, 1.0))
    ratio = np.exp(0.375)
    found = [
        surrogate_loss(linear_policy(), parameters, rows, clip).item()
        for rows in (gain, loss)
        for clip in (0.2, 0.5)
    ]
    # A gain counts up to 1 + clip only; a loss counts in full.
    assert found == pytest.approx([-2 * 1.2, -2 * ratio, 2 * ratio, 2 * ratio], rel=1e-5)


def mixed_rows(share, *, garbage=1.0):
    """Two tasks of a small network, real rows and generated ones."""
    policy = make_policy(
        spaces.Box(-1, 1, (3,), np.float32), spaces.Box(-1, 1, (2,), np.float32), hidden_sizes=(8,)
    )
    parameters = expand_over_tasks(policy.initial_parameters(stream()), 2)
    real, generated = (
        PolicyRows.from_transitions(
            random_episodes((2, 3, 8), seed=seed), discount=0.9, gae_lambda=0.9
        )
        for seed in (1, 2)
    )
    generated = replace(generated, advantages=generated.advantages * garbage)
    mixed = MixedRows(real=real, generated=generated, share=torch.tensor(share))
    return policy, parameters, mixed


def test_a_mixture_weighs_real_and_generated_losses():
    policy, parameters, mixed = mixed_rows([0.25, 0.9])
    real, generated = (
        mixed_loss(policy, parameters, MixedRows(real=rows), 0.5)
        for rows in (mixed.real, mixed.generated)
        if rows is not None
    )
    found = mixed_loss(policy, parameters, mixed, 0.5)
    torch.testing.assert_close(found[0], 0.75 * real[0] + 0.25 * generated[0])
    torch.testing.assert_close(found[1], 0.1 * real[1] + 0.9 * generated[1])
    gradient = policy_gradient(policy, parameters, mixed, 0.5)
    parts = [
        policy_gradient(policy, parameters, MixedRows(real=rows), 0.5)
        for rows in (mixed.real, mixed.generated)
        if rows is not None
    ]
    for name, value in gradient.items():
        expected = 0.1 * parts[0][name][1] + 0.9 * parts[1][name][1]
        torch.testing.assert_close(value[1], expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("garbage", [1.0, -1e6, 1e20])
def test_a_share_of_zero_is_the_real_rows_alone_to_the_bit(garbage):
    policy, parameters, mixed = mixed_rows([0.0, 0.7], garbage=garbage)
    alone = MixedRows(real=mixed.real)
    losses = [mixed_loss(policy, parameters, rows, 0.5) for rows in (mixed, alone)]
    assert torch.equal(losses[0][0], losses[1][0])
    assert not torch.equal(losses[0][1], losses[1][1])
    gradients = [policy_gradient(policy, parameters, rows, 0.5) for rows in (mixed, alone)]
    for name in parameters:
        assert torch.equal(gradients[0][name][0], gradients[1][name][0])


def test_tasks_share_no_gradient():
    policy, parameters, mixed = mixed_rows([0.5, 0.5])
    gradient = policy_gradient(policy, parameters, mixed, 0.5)
    for task in range(2):
        index = torch.tensor([task])
        own = {name: value[index] for name, value in parameters.items()}
        alone = policy_gradient(policy, own, mixed.select(index), 0.5)
        for name, value in alone.items():
            torch.testing.assert_close(value[0], gradient[name][task], rtol=1e-5, atol=1e-7)


def test_rows_of_transitions_are_advantages_with_weights_of_one_per_task():
    batch = random_episodes((2, 3, 8))
    rows = PolicyRows.from_transitions(batch, discount=0.9, gae_lambda=0.8, normalise=False)
    values, next_values = fit_linear_values(batch, discount=0.9)
    expected = generalised_advantages(
        batch.rewards,
        values,
        next_values,
        batch.terminated,
        batch.valid,
        discount=0.9,
        gae_lambda=0.8,
    )
    torch.testing.assert_close(rows.advantages, expected.flatten(1))
    assert rows.observations.shape == (2, 24, 3)
    assert rows.log_probs.shape == (2, 24)
    # One of three episodes of 8 steps ends after 4: 20 valid rows.
    torch.testing.assert_close(rows.weights, batch.valid.flatten(1) / 20)
    normalised = PolicyRows.from_transitions(batch, discount=0.9, gae_lambda=0.8)
    weighted = normalised.weights * normalised.advantages
    torch.testing.assert_close(weighted.sum(-1), torch.zeros(2), rtol=0.0, atol=1e-6)


def test_rows_after_an_episode_change_nothing():
    batch = random_episodes((2, 3, 8))
    garbage = {
        name: torch.where(batch.valid.unsqueeze(-1), getattr(batch, name), 50.0)
        for name in ("observations", "next_observations", "actions")
    }
    garbage |= {
        name: torch.where(batch.valid, getattr(batch, name), 1e4)
        for name in ("rewards", "log_probs")
    }
    spoilt = type(batch)(**{**vars(batch), **garbage})
    policy, parameters, _ = mixed_rows([0.0, 0.0])
    gradients = [
        policy_gradient(
            policy,
            parameters,
            MixedRows(real=PolicyRows.from_transitions(part, discount=0.9, gae_lambda=0.9)),
            0.5,
        )
        for part in (batch, spoilt)
    ]
    for name in parameters:
        torch.testing.assert_close(gradients[0][name], gradients[1][name])


def test_a_step_on_a_bandit_raises_the_better_arm():
    policy = make_policy(LINE, spaces.Discrete(2), hidden_sizes=())
    parameters = expand_over_tasks({"weight_0": torch.zeros(1, 2), "bias_0": torch.zeros(2)}, 1)
    batch = episodes(
        torch.ones(1, 4, 1, 1),
        torch.tensor([[[1.0], [0.0], [1.0], [0.0]]]),
        actions=torch.tensor([[[1], [0], [1], [0]]]),
        terminated=torch.ones(1, 4, 1, dtype=torch.bool),
        log_probs=torch.full((1, 4, 1), np.log(0.5)),
    )
    rows = MixedRows(real=PolicyRows.from_transitions(batch, discount=0.9, gae_lambda=0.9))
    gradient = policy_gradient(policy, parameters, rows, 0.5)
    # Advantages ±1, d log p(1) / d logits = (-.5, .5): the loss falls by .5 along (-1, 1) each.
    torch.testing.assert_close(gradient["bias_0"], torch.tensor([[0.5, -0.5]]))
