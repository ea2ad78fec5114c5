"""The product policy: log-probabilities and entropies of parts add up, draws have their density."""

import math

import numpy as np
import pytest
import torch
from gymnasium import spaces

from metarl_gan.agents.networks import expand_over_tasks, task_batched_mlp
from metarl_gan.agents.policies import CategoricalPolicy, HybridPolicy, make_policy
from tests.agents.toys import stream

OBSERVATIONS = spaces.Box(-np.inf, np.inf, (3,), np.float32)
BOX = spaces.Box(np.array([-2, 10], np.float32), np.array([2, 16], np.float32))
# Columns: a choice of 5 to 7, two thrusts, a choice of 0 and 1.
SPACE = spaces.Tuple([spaces.Discrete(3, start=5), BOX, spaces.Discrete(2)])
ACTIONS = {
    "hybrid": SPACE,
    "continuous": spaces.Tuple([BOX, spaces.Box(-np.inf, np.inf, (1,), np.float32)]),
    "discrete": spaces.MultiDiscrete([3, 2, 4], start=[0, -1, 7]),
    "named": spaces.Dict({"thrust": BOX, "gear": spaces.Discrete(3)}),
}


def policy_of(space=SPACE, **options):
    return make_policy(OBSERVATIONS, space, hidden_sizes=(8,), **options)


def parameters_of(policy, n_tasks=3, spread=0.7):
    noise = stream(1)
    shared = expand_over_tasks(policy.initial_parameters(noise), n_tasks)
    return {
        name: value + spread * torch.randn(value.shape, generator=noise)
        for name, value in shared.items()
    }


def observations(n_rows=5, n_tasks=3):
    return torch.randn(n_tasks, n_rows, 3, generator=stream(2))


def test_log_probs_by_hand():
    """No hidden layer and no weights: the network says its biases."""
    policy = make_policy(OBSERVATIONS, SPACE, hidden_sizes=())
    parameters = {
        "weight_0": torch.zeros(1, 3, 7),
        # Means of the thrusts; logits of the first choice, of the second.
        "bias_0": torch.tensor([[0.5, -1.0, 0.0, math.log(2.0), 0.0, 0.0, math.log(3.0)]]),
        "log_std": torch.tensor([[math.log(0.5), 0.0]]),
    }
    rows = torch.zeros(1, 1, 3)
    # Thrusts are -2 .. 2 and 10 .. 16: means 1 and 10, standard deviations 1 and 3.
    action = torch.tensor([[[6.0, 2.0, 13.0, 0.0]]])
    normal = -0.5 * (1 + 1) - math.log(1.0) - math.log(3.0) - math.log(2 * math.pi)
    choices = math.log(2 / 4) + math.log(1 / 4)
    found = policy.log_probs(parameters, rows, action)
    assert found.item() == pytest.approx(normal + choices, abs=1e-5)
    assert policy.mode(parameters, rows).tolist() == [[[6.0, 1.0, 10.0, 1.0]]]
    entropy = math.log(1.0) + math.log(3.0) + 1 + math.log(2 * math.pi)
    entropy += 1.5 * math.log(2) + math.log(4) - 0.75 * math.log(3)
    assert policy.entropy(parameters, rows).item() == pytest.approx(entropy, abs=1e-5)


@pytest.mark.parametrize("name", ACTIONS)
def test_log_probs_of_samples_are_those_reported(name):
    policy = policy_of(ACTIONS[name])
    assert isinstance(policy, HybridPolicy)
    parameters = parameters_of(policy)
    actions, log_probs = policy.sample(parameters, observations(), stream())
    assert actions.dtype == torch.float32
    assert log_probs.shape == (3, 5)
    again = policy.log_probs(parameters, observations(), actions)
    torch.testing.assert_close(again, log_probs, rtol=1e-4, atol=1e-5)
    mode = policy.mode(parameters, observations())
    assert mode.shape == actions.shape
    assert (policy.log_probs(parameters, observations(), mode) >= log_probs).all()
    assert policy.entropy(parameters, observations()).shape == (3, 5)


def test_it_is_the_product_of_torchs_distributions():
    policy = policy_of()
    parameters, rows = parameters_of(policy), observations()
    outputs = task_batched_mlp(parameters, rows, "tanh")
    scale, middle = torch.tensor([2.0, 3.0]), torch.tensor([0.0, 13.0])
    std = parameters["log_std"].clamp(-3, 1).exp().unsqueeze(1) * scale
    normal = torch.distributions.Normal(outputs[..., :2] * scale + middle, std)
    first = torch.distributions.Categorical(logits=outputs[..., 2:5])
    second = torch.distributions.Categorical(logits=outputs[..., 5:])
    thrusts, chosen = normal.sample(), (first.sample(), second.sample())
    actions = torch.cat([chosen[0][..., None] + 5.0, thrusts, chosen[1][..., None]], dim=-1)
    expected = normal.log_prob(thrusts).sum(-1) + first.log_prob(chosen[0])
    expected += second.log_prob(chosen[1])
    torch.testing.assert_close(policy.log_probs(parameters, rows, actions), expected)
    entropy = normal.entropy().sum(-1) + first.entropy() + second.entropy()
    torch.testing.assert_close(policy.entropy(parameters, rows), entropy)


def test_samples_have_the_density():
    policy = policy_of()
    parameters, rows = parameters_of(policy, n_tasks=1), torch.ones(1, 20_000, 3)
    outputs = task_batched_mlp(parameters, rows[:, :1], "tanh")[0, 0]
    actions, _ = policy.sample(parameters, rows, stream())
    for column, logits, start in ((0, outputs[2:5], 5), (3, outputs[5:], 0)):
        counts = torch.bincount(actions[0, :, column].long() - start, minlength=len(logits))
        torch.testing.assert_close(counts / 20_000, logits.softmax(-1), rtol=0.0, atol=0.015)
    std = parameters["log_std"][0].clamp(-3, 1).exp() * torch.tensor([2.0, 3.0])
    mean = outputs[:2] * torch.tensor([2.0, 3.0]) + torch.tensor([0.0, 13.0])
    torch.testing.assert_close(actions[0, :, 1:3].std(0), std, rtol=0.03, atol=0.0)
    assert ((actions[0, :, 1:3].mean(0) - mean).abs() < 4 * std / 141).all()
    choices = actions[0, :, [0, 3]]
    assert abs(torch.corrcoef(choices.T)[0, 1]) < 0.03  # drawn apart


def test_with_one_choice_alone_it_is_the_categorical_policy():
    one, other = (
        policy_of(spaces.MultiDiscrete([4], start=[2])),
        policy_of(spaces.Discrete(4, start=2)),
    )
    assert isinstance(other, CategoricalPolicy)
    parameters, rows = parameters_of(one), observations()
    actions, log_probs = one.sample(parameters, rows, stream())
    same, same_log_probs = other.sample(parameters, rows, stream())
    assert torch.equal(actions[..., 0].long(), same)
    torch.testing.assert_close(log_probs, same_log_probs)
    assert "log_std" not in parameters


def test_gradients_reach_every_part_and_rows_of_nothing_break_none():
    policy = policy_of()
    parameters = {name: v.requires_grad_() for name, v in parameters_of(policy).items()}
    actions, _ = policy.sample(parameters, observations(), stream())
    actions = actions.detach()
    actions[:, 0] = 0.0  # as where a broken task is blanked: 0 is none of 5, 6, 7
    policy.log_probs(parameters, observations(), actions).sum().backward()
    for value in parameters.values():
        assert value.grad is not None
        assert torch.isfinite(value.grad).all()
    gradient = parameters["bias_1"].grad
    assert gradient is not None
    assert (gradient.abs().amin(0) > 0).all()


def test_a_fresh_policy_is_centred_and_indifferent():
    policy = policy_of(initial_std=0.25)
    parameters = expand_over_tasks(policy.initial_parameters(stream()), 1)
    rows = torch.randn(1, 50, 3, generator=stream(3))
    assert parameters["log_std"].tolist() == [[pytest.approx(math.log(0.25))] * 2]
    entropy = math.log(3) + math.log(2) + 1 + math.log(2 * math.pi) + math.log(0.25**2 * 2 * 3)
    torch.testing.assert_close(
        policy.entropy(parameters, rows), torch.full((1, 50), entropy), rtol=0.0, atol=1e-3
    )
    middle = torch.tensor([0.0, 13.0]).expand(1, 50, 2)
    torch.testing.assert_close(policy.mode(parameters, rows)[..., 1:3], middle, rtol=0.0, atol=0.2)
