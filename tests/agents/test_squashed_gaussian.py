"""The squashed policy: densities that are densities, actions inside, encodings that matter."""

import numpy as np
import pytest
import torch
from gymnasium import spaces

from metarl_gan.agents.squashed_gaussian import (
    LOG_STD_RANGE,
    SquashedGaussianPolicy,
    squash,
)
from tests.agents.toys import stream

SPACE = spaces.Box(np.array([-1.0, 2.0], np.float32), np.array([3.0, 3.0], np.float32))


def a_policy(space=SPACE, n_tasks=2, gain=1.0):
    policy = SquashedGaussianPolicy(space, 3, 2, (6,))
    parameters = {}
    for name, value in policy.initial_parameters(stream()).items():
        noise = torch.randn((n_tasks, *value.shape), generator=stream(), dtype=torch.float64)
        parameters[name] = value.double() + gain * noise
    return policy, parameters


def some_observations(n_rows=5):
    return torch.randn((2, n_rows, 3), generator=stream(4), dtype=torch.float64)


def test_what_is_sampled_has_the_density_that_is_said():
    policy, parameters = a_policy(gain=0.3)
    observations = some_observations()
    actions, log_probs = policy.sample(parameters, observations, stream())
    found = policy.log_probs(parameters, observations, actions)
    torch.testing.assert_close(found, log_probs, rtol=1e-4, atol=1e-4)
    low, high = torch.tensor(SPACE.low), torch.tensor(SPACE.high)
    assert ((actions > low) & (actions < high)).all()


def test_the_density_integrates_to_one_over_the_action_space():
    policy = SquashedGaussianPolicy(spaces.Box(-1.0, 4.0, (1,)), 3, 2, (6,))
    parameters = {
        name: value.double().unsqueeze(0) + 0.1
        for name, value in policy.initial_parameters(stream()).items()
    }
    grid = torch.linspace(-1.0, 4.0, 20_001, dtype=torch.float64)
    actions = ((grid[1:] + grid[:-1]) / 2).view(1, -1, 1)
    observations = torch.ones(1, actions.shape[1], 3, dtype=torch.float64)
    density = policy.log_probs(parameters, observations, actions).exp()
    assert float(density.sum() * 5.0 / 20_000) == pytest.approx(1.0, abs=1e-3)


def test_by_hand():
    """tanh(0.3 + 2 * 0.5), and the normal's log density less the log slope of tanh there."""
    mean, log_std = torch.tensor([[0.3]]), torch.tensor([[2.0]]).log()
    action, log_prob = squash(mean, log_std, torch.tensor([[0.5]]))
    assert float(action) == pytest.approx(np.tanh(1.3))
    expected = -0.5 * 0.25 - np.log(2.0 * np.sqrt(2 * np.pi)) - np.log(1 - np.tanh(1.3) ** 2)
    assert float(log_prob) == pytest.approx(expected, rel=1e-5)


def test_log_densities_stay_finite_far_out():
    _, log_prob = squash(torch.tensor([[40.0]]), torch.tensor([[0.0]]), torch.tensor([[0.0]]))
    assert torch.isfinite(log_prob)
    policy, parameters = a_policy()
    edge = torch.tensor(SPACE.high).expand(2, 5, 2)
    assert policy.log_probs(parameters, some_observations(), edge).isfinite().all()


def test_the_mode_is_the_squashed_mean_in_the_units_of_the_space():
    policy, parameters = a_policy(n_tasks=1)
    zero = {name: torch.zeros_like(value) for name, value in parameters.items()}
    zero["bias_1"] = torch.tensor([[0.5, 0.0, 0.0, 0.0]], dtype=torch.float64)
    found = policy.mode(zero, some_observations()[:1])
    expected = torch.tensor([1.0 + 2.0 * np.tanh(0.5), 2.5], dtype=torch.float64)
    torch.testing.assert_close(found, expected.expand(1, 5, 2))


def test_tasks_differ_by_their_encoding_alone():
    policy, parameters = a_policy()
    shared = {name: value[:1].expand_as(value) for name, value in parameters.items()}
    observations = some_observations()[:1].expand(2, -1, -1)
    same = policy.mode(shared, observations)
    assert torch.equal(same[0], same[1])
    told = policy.mode({**shared, "encoding": parameters["encoding"]}, observations)
    assert not torch.equal(told[0], told[1])


def test_observations_are_standardised_and_encodings_are_not():
    policy, parameters = a_policy()
    observations = some_observations()
    mean, std = torch.tensor([1.0, 2.0, 3.0]), torch.tensor([2.0, 1.0, 0.5])
    plain = policy.mode(parameters, (observations - mean) / std)
    policy.set_observation_scale(mean, std)
    torch.testing.assert_close(policy.mode(parameters, observations), plain)


def test_a_widened_policy_has_the_same_mode_and_more_spread():
    policy, parameters = a_policy(gain=0.3)
    wider = policy.widened(parameters, 1.5)
    observations = some_observations()
    assert torch.equal(policy.mode(wider, observations), policy.mode(parameters, observations))
    inputs = policy.inputs(observations, parameters["encoding"].unsqueeze(-2))
    before, after = (policy.moments(one, inputs)[1] for one in (parameters, wider))
    torch.testing.assert_close(after, (before + 1.5).clamp(max=LOG_STD_RANGE[1]))


def test_unbounded_actions_are_refused():
    with pytest.raises(ValueError, match="not bounded"):
        SquashedGaussianPolicy(spaces.Box(-np.inf, np.inf, (1,)), 3, 2, (6,))
