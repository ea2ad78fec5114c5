import math

import numpy as np
import pytest
import torch
from gymnasium import spaces

from metarl_gan.agents.networks import expand_over_tasks, initial_mlp, task_batched_mlp
from metarl_gan.agents.policies import LOG_STD_RANGE, make_policy
from tests.agents.toys import stream

OBSERVATIONS = spaces.Box(-np.inf, np.inf, (3,), np.float32)
ACTIONS = {
    "symmetric": spaces.Box(-1.0, 1.0, (2,), np.float32),
    "scaled": spaces.Box(np.array([-2, 10], np.float32), np.array([2, 16], np.float32)),
    "unbounded": spaces.Box(-np.inf, np.inf, (2,), np.float32),
    "discrete": spaces.Discrete(4),
    "from-five": spaces.Discrete(4, start=5),
}


def policy_of(name, **options):
    return make_policy(OBSERVATIONS, ACTIONS[name], hidden_sizes=(8,), **options)


def parameters_of(policy, n_tasks=3, spread=0.5):
    """Parameters that differ from task to task."""
    noise = stream(1)
    shared = expand_over_tasks(policy.initial_parameters(noise), n_tasks)
    return {
        name: value + spread * torch.randn(value.shape, generator=noise)
        for name, value in shared.items()
    }


def observations(n_rows=5, n_tasks=3):
    return torch.randn(n_tasks, n_rows, 3, generator=stream(2))


@pytest.mark.parametrize("name", ACTIONS)
def test_log_probs_of_samples_are_those_reported(name):
    policy = policy_of(name)
    parameters = parameters_of(policy)
    actions, log_probs = policy.sample(parameters, observations(), stream())
    again = policy.log_probs(parameters, observations(), actions)
    torch.testing.assert_close(again, log_probs, rtol=1e-4, atol=1e-5)
    assert log_probs.shape == (3, 5)


@pytest.mark.parametrize(
    ("name", "middle", "half_range"),
    [
        ("symmetric", [0.0, 0], [1.0, 1]),
        ("scaled", [0.0, 13], [2.0, 3]),
        ("unbounded", [0.0, 0], [1.0, 1]),
    ],
)
def test_gaussian_density_is_of_the_action_in_its_space(name, middle, half_range):
    policy = policy_of(name)
    parameters = parameters_of(policy)
    network = task_batched_mlp(parameters, observations(), "tanh")
    scale = torch.tensor(half_range)
    std = parameters["log_std"].exp().unsqueeze(1) * scale
    normal = torch.distributions.Normal(network * scale + torch.tensor(middle), std)
    actions = normal.sample()
    torch.testing.assert_close(
        policy.log_probs(parameters, observations(), actions), normal.log_prob(actions).sum(-1)
    )
    torch.testing.assert_close(policy.mode(parameters, observations()), normal.mean)
    torch.testing.assert_close(
        policy.entropy(parameters, observations()),
        normal.entropy().sum(-1).expand(3, 5),
    )


def test_gaussian_samples_have_the_moments_of_the_density():
    policy = policy_of("scaled", initial_std=0.5)
    parameters = expand_over_tasks(policy.initial_parameters(stream()), 1)
    rows = torch.ones(1, 20_000, 3)
    actions, _ = policy.sample(parameters, rows, stream())
    expected = policy.mode(parameters, rows)[0, 0]
    torch.testing.assert_close(actions[0].mean(0), expected, rtol=0.0, atol=0.05)
    torch.testing.assert_close(actions[0].std(0), torch.tensor([1.0, 1.5]), rtol=0.03, atol=0.0)


def test_samples_are_not_clipped_to_the_space():
    policy = policy_of("symmetric", initial_std=2.0)
    parameters = expand_over_tasks(policy.initial_parameters(stream()), 1)
    actions, log_probs = policy.sample(parameters, torch.zeros(1, 200, 3), stream())
    assert (actions.abs() > 1.0).float().mean() > 0.3
    torch.testing.assert_close(
        policy.log_probs(parameters, torch.zeros(1, 200, 3), actions), log_probs
    )


def test_standard_deviations_are_bounded():
    policy = policy_of("symmetric")
    parameters = parameters_of(policy, spread=0.0)
    for value, bound in ((-50.0, LOG_STD_RANGE[0]), (50.0, LOG_STD_RANGE[1])):
        parameters["log_std"] = torch.full((3, 2), value)
        found = policy.entropy(parameters, observations())
        expected = 2 * (bound + 0.5 * (1 + math.log(2 * math.pi)))
        torch.testing.assert_close(found, torch.full((3, 5), expected))


@pytest.mark.parametrize(("name", "start"), [("discrete", 0), ("from-five", 5)])
def test_categorical_density_and_samples(name, start):
    policy = policy_of(name)
    parameters = parameters_of(policy, n_tasks=1)
    rows = torch.ones(1, 20_000, 3)
    logits = task_batched_mlp(parameters, rows, "tanh")
    categorical = torch.distributions.Categorical(logits=logits)
    actions, log_probs = policy.sample(parameters, rows, stream())
    assert actions.dtype == torch.int64
    assert actions.shape == (1, 20_000)
    torch.testing.assert_close(log_probs, categorical.log_prob(actions - start))
    torch.testing.assert_close(policy.log_probs(parameters, rows, actions), log_probs)
    frequencies = torch.bincount(actions[0] - start, minlength=4) / 20_000
    torch.testing.assert_close(frequencies, categorical.probs[0, 0], rtol=0.0, atol=0.015)
    assert policy.mode(parameters, rows)[0, 0] == categorical.probs[0, 0].argmax() + start
    torch.testing.assert_close(policy.entropy(parameters, rows), categorical.entropy())


@pytest.mark.parametrize("activation", ["tanh", "relu", "silu"])
def test_each_task_has_its_own_network(activation):
    sizes = (3, 6, 5, 2)
    own = [initial_mlp(sizes, stream(seed), output_gain=1.0) for seed in range(4)]
    for seed, parameters in enumerate(own):
        for name in parameters:
            if name.startswith("bias"):
                parameters[name] = torch.randn(parameters[name].shape, generator=stream(seed))
    stacked = {name: torch.stack([parameters[name] for parameters in own]) for name in own[0]}
    rows = torch.randn(4, 7, 3, generator=stream(9))
    found = task_batched_mlp(stacked, rows, activation)
    apply = {"tanh": torch.tanh, "relu": torch.relu, "silu": torch.nn.functional.silu}[activation]
    for task, parameters in enumerate(own):
        hidden = apply(rows[task] @ parameters["weight_0"] + parameters["bias_0"])
        hidden = apply(hidden @ parameters["weight_1"] + parameters["bias_1"])
        expected = hidden @ parameters["weight_2"] + parameters["bias_2"]
        torch.testing.assert_close(found[task], expected, rtol=1e-5, atol=1e-5)


def test_fresh_networks_are_orthogonal_and_nearly_silent():
    parameters = initial_mlp((4, 6, 2), stream())
    first, last = parameters["weight_0"], parameters["weight_1"]
    torch.testing.assert_close(first @ first.T, 2 * torch.eye(4), rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(last.T @ last, 1e-4 * torch.eye(2), rtol=1e-4, atol=1e-7)
    assert not parameters["bias_0"].any()


def test_the_gradient_of_shared_parameters_is_the_sum_over_tasks():
    shared = {"weight": torch.tensor([1.0, 2.0], requires_grad=True)}
    per_task = torch.tensor([[1.0, 10.0], [2.0, 20.0], [3.0, 30.0]])
    (expand_over_tasks(shared, 3)["weight"] * per_task).sum().backward()
    assert shared["weight"].grad is not None
    assert shared["weight"].grad.tolist() == [6.0, 60.0]


@pytest.mark.parametrize(
    ("observation_space", "action_space", "problem"),
    [
        (spaces.Discrete(3), ACTIONS["symmetric"], "flatten_observations"),
        (spaces.Box(0, 1, (2, 2)), ACTIONS["symmetric"], "1-D Box"),
        (OBSERVATIONS, spaces.MultiBinary(2), "MultiBinary"),
        (OBSERVATIONS, spaces.Box(-1, 1, (2, 2)), "1-D Box, a Discrete"),
        (OBSERVATIONS, spaces.Tuple([spaces.MultiBinary(2)]), "its part MultiBinary"),
    ],
)
def test_other_spaces_are_refused_with_advice(observation_space, action_space, problem):
    with pytest.raises(ValueError, match=problem):
        make_policy(observation_space, action_space)


@pytest.mark.parametrize("name", ["scaled", "discrete"])
def test_observations_are_standardised_by_the_scale_that_was_set(name):
    policy, plain = policy_of(name), policy_of(name)
    assert policy.observation_scale() is None
    mean, std = torch.tensor([1.0, -2, 3]), torch.tensor([0.5, 2, 4])
    policy.set_observation_scale(mean, std)
    parameters, rows = parameters_of(policy), observations()
    actions, log_probs = plain.sample(parameters, rows, stream())
    again, same = policy.sample(parameters, rows * std + mean, stream())
    torch.testing.assert_close(again, actions)
    torch.testing.assert_close(same, log_probs)
    torch.testing.assert_close(
        policy.log_probs(parameters, rows * std + mean, actions), log_probs, rtol=1e-4, atol=1e-5
    )
