"""Soft actor-critic: targets and losses by hand, and what an update moves."""

import numpy as np
import pytest
import torch
from gymnasium import spaces

from metarl_gan.agents.networks import expand_over_tasks
from metarl_gan.agents.soft_actor_critic import (
    SacRows,
    SacSettings,
    SoftActorCritic,
    critic_values,
    initial_critics,
)
from metarl_gan.agents.squashed_gaussian import SquashedGaussianPolicy, squash
from tests.agents.toys import stream

SETTINGS = SacSettings(discount=0.9, polyak=0.25, learning_rate=0.01, reward_scale=2.0)


def a_learner(n_batch=1, n_critics=2, widths=(7, 6)):
    policy = SquashedGaussianPolicy(spaces.Box(-1.0, 1.0, (2,)), 3, 1, (5,))
    initial = policy.initial_parameters(stream())
    actor = {name: value for name, value in initial.items() if name != "encoding"}
    critics = initial_critics(n_critics, 4 + 2, widths, stream(1))
    return SoftActorCritic(
        policy, expand_over_tasks(actor, n_batch), expand_over_tasks(critics, n_batch), SETTINGS
    )


def some_rows(n_batch=1, n_rows=8):
    def drawn(*shape, seed):
        return torch.randn((n_batch, n_rows, *shape), generator=stream(seed))

    return SacRows(
        inputs=drawn(4, seed=1),
        actions=drawn(2, seed=2).tanh(),
        rewards=drawn(seed=3),
        next_inputs=drawn(4, seed=4),
        continues=(drawn(seed=5) > 0).float(),
    )


def some_noise(n_batch=1, n_rows=8):
    first, second = torch.randn((2, n_batch, n_rows, 2), generator=stream(6)).unbind()
    return first, second


def value_by_hand(critics, batch, critic, row):
    """One critic's value of one row, layer by layer in numpy."""
    hidden = row.numpy().astype(np.float64)
    for layer in range(2):
        weight = critics[f"weight_{layer}"][batch, critic].detach().double().numpy()
        bias = critics[f"bias_{layer}"][batch, critic, 0].detach().double().numpy()
        hidden = hidden @ weight + bias
        hidden = (hidden - hidden.mean()) / np.sqrt(hidden.var() + 1e-5)
        hidden = np.maximum(hidden, 0)
    last = critics["weight_2"][batch, critic, :, 0].detach().double().numpy()
    return hidden @ last + float(critics["bias_2"][batch, critic, 0, 0].detach())


def test_critics_by_hand():
    learner, rows = a_learner(n_batch=2), some_rows(n_batch=2)
    values = critic_values(learner.critics, rows.inputs, rows.actions)
    assert values.shape == (2, 2, 8)
    inputs = torch.cat([rows.inputs, rows.actions], dim=-1)
    for batch, critic, row in ((0, 0, 0), (0, 1, 3), (1, 1, 7)):
        expected = value_by_hand(learner.critics, batch, critic, inputs[batch, row])
        assert values[batch, critic, row].item() == pytest.approx(expected, rel=1e-4, abs=1e-5)


def test_critic_targets_by_hand():
    """Twice the reward, and 0.9 of the smaller delayed value less temperature * log probability."""
    learner, rows, (noise, _) = a_learner(), some_rows(), some_noise()
    with torch.no_grad():
        learner.log_temperature.fill_(np.log(0.3))
        for value in learner.targets.values():
            value.mul_(1.5)
        mean, log_std = learner.policy.moments(learner.actor, rows.next_inputs)
        actions, log_probs = squash(mean, log_std, noise)
    found = learner.critic_targets(rows, noise)
    both = torch.cat([rows.next_inputs, actions], dim=-1)
    for row in range(8):
        values = [value_by_hand(learner.targets, 0, critic, both[0, row]) for critic in (0, 1)]
        soft = min(values) - 0.3 * float(log_probs[0, row])
        expected = 2.0 * float(rows.rewards[0, row]) + 0.9 * float(rows.continues[0, row]) * soft
        assert float(found[0, row]) == pytest.approx(expected, rel=1e-4, abs=1e-5)
    assert {0.0, 1.0} == set(rows.continues[0].tolist())


def test_gradients_reach_their_own_part_only():
    """Critics learn from errors alone: were the actor's loss added, values would be pushed up."""
    learner, rows, noise = a_learner(), some_rows(), some_noise()
    before = {name: value.detach().clone() for name, value in learner.critics.items()}
    target = learner.critic_targets(rows, noise[0]).unsqueeze(1)
    values = critic_values(learner.critics, rows.inputs, rows.actions)
    loss = (values - target).square().mean(-1).sum()
    expected = torch.autograd.grad(loss, list(learner.critics.values()))
    actor_loss, _ = learner.actor_loss(rows.inputs, noise[1])
    of_actor = torch.autograd.grad(actor_loss, list(learner.actor.values()))
    learner.update(rows, noise)
    for gradient, value in zip(expected, learner.critics.values(), strict=True):
        torch.testing.assert_close(value.grad, gradient)
    for gradient, value in zip(of_actor, learner.actor.values(), strict=True):
        torch.testing.assert_close(value.grad, gradient)
    for name, value in learner.targets.items():
        now = learner.critics[name].detach()
        torch.testing.assert_close(value, before[name] + 0.25 * (now - before[name]))


def test_critics_learn_alone_without_the_actor():
    """Their step is the one they take beside the actor's; actor and temperature stay."""
    together, apart = a_learner(), a_learner()
    together.update(some_rows(), some_noise())
    losses = apart.update(some_rows(), some_noise(), actor_too=False)
    assert set(losses) == {"critic_loss", "mean_value", "temperature"}
    for name, value in together.critics.items():
        torch.testing.assert_close(apart.critics[name], value)
    # Nor does the momentum of a step before move the actor.
    before = {name: value.clone() for name, value in together.tensors().items()}
    together.update(some_rows(), some_noise(), actor_too=False)
    for name, value in together.tensors().items():
        stays = name.startswith(("actor.", "log_temperature"))
        assert torch.equal(value, before[name]) == stays, name


@pytest.mark.parametrize(("log_std", "rises"), [(-4.0, True), (1.0, False)])
def test_the_temperature_rises_while_the_policy_is_too_sure(log_std, rises):
    learner, rows = a_learner(), some_rows()
    with torch.no_grad():
        learner.actor["bias_1"][:, 2:] = log_std
    learner.update(rows, some_noise())
    assert (float(learner.log_temperature) > 0) == rises


def test_learners_side_by_side_learn_as_if_alone():
    together, rows, noise = a_learner(n_batch=2), some_rows(n_batch=2), some_noise(n_batch=2)
    for _ in range(3):
        together.update(rows, noise)
    for index in range(2):
        alone = a_learner()
        own = SacRows(**{name: value[index : index + 1] for name, value in vars(rows).items()})
        for _ in range(3):
            alone.update(own, (noise[0][index : index + 1], noise[1][index : index + 1]))
        for name, value in alone.tensors().items():
            torch.testing.assert_close(
                together.tensors()[name][index], value[0], rtol=1e-4, atol=1e-5
            )


def test_restoring_gives_the_same_learner():
    learner = a_learner()
    learner.update(some_rows(), some_noise())
    other = a_learner()
    other.restore({name: value.clone() for name, value in learner.tensors().items()})
    for name, value in learner.tensors().items():
        assert torch.equal(other.tensors()[name], value)


def test_a_one_step_task_is_learnt_to_its_optimum():
    """Reward -(a - 0.5)² on a bandit: the actor's mean goes there, its values to the rewards."""
    learner = a_learner(widths=(32, 32))
    noise = stream(9)
    inputs = torch.zeros(1, 64, 4)
    for _ in range(200):
        actions = 2 * torch.rand((1, 64, 2), generator=noise) - 1
        rows = SacRows(
            inputs=inputs,
            actions=actions,
            rewards=-(actions - 0.5).square().sum(-1),
            next_inputs=inputs,
            continues=torch.zeros(1, 64),
        )
        draws = torch.randn((2, 1, 64, 2), generator=noise)
        learner.update(rows, (draws[0], draws[1]))
    mean, _ = learner.policy.moments(learner.actor, inputs[:, :1])
    torch.testing.assert_close(mean.tanh(), torch.full((1, 1, 2), 0.5), atol=0.1, rtol=0)
