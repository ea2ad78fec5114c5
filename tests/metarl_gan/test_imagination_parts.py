"""Batches that do not fit at once are imagined part by part, which must not show."""

import pytest
import torch

from metarl_gan import imagination
from metarl_gan.agents.networks import expand_over_tasks
from metarl_gan.agents.policies import make_policy
from metarl_gan.gan import TaskContext
from metarl_gan.held_out_errors import HeldOutErrors
from metarl_gan.imagination import imagine
from tests.agents.toys import random_episodes, stream
from tests.metarl_gan.toys import BOX, OBSERVATIONS, small_config, small_gan

N_TASKS, N_ROLLOUTS, N_STEPS = 3, 7, 4


@pytest.fixture(scope="module")
def gan():
    """Two elites of three members, without noise."""
    settings = {"members": 3, "elites": 2, "noise_size": 0}
    made = small_gan(small_config(generator=settings))
    made.space.update(random_episodes((2, 2, 8)))
    made.member_errors.copy_(torch.tensor([0.1, 0.9, 0.2]))
    return made


def context_of(gan, *, adapted):
    encoding, weights = torch.randn(N_TASKS, 3, generator=stream(1)), None
    if adapted:
        weights = {
            name: value.repeat_interleave(N_TASKS, 0)
            + 0.1 * torch.randn(2 * N_TASKS, *value.shape[1:], generator=stream(2))
            for name, value in gan.elite_weights().items()
        }
    zeros = torch.zeros(N_TASKS)
    errors = HeldOutErrors(next_state=zeros, reward=zeros, terminated=zeros)
    return TaskContext(encoding=encoding, errors=errors, weights=weights)


@pytest.mark.parametrize("adapted", [False, True])
@pytest.mark.parametrize("rows_at_once", [1, 4, 9, 14, 100])
def test_every_part_has_its_own_tasks_rollouts_and_elites(gan, rows_at_once, adapted, monkeypatch):
    # Of 21 rows: single ones, some rollouts of a task, one task with all of its own, two tasks.
    monkeypatch.setitem(imagination.ROWS_AT_ONCE, "cpu", rows_at_once)
    context = context_of(gan, adapted=adapted)
    policy = make_policy(OBSERVATIONS, BOX, hidden_sizes=(8,))
    parameters = expand_over_tasks(policy.initial_parameters(stream()), N_TASKS)
    parameters["bias_1"] = torch.tensor([[-1.0, 0.0], [0.0, 0.5], [1.0, 0.0]])
    starts = torch.randn(N_TASKS, N_ROLLOUTS, 3, generator=stream(3))
    found = imagine(gan, context, policy, parameters, starts, N_STEPS, stream(4))
    assert torch.equal(found.observations[:, :, 0], starts)
    assert torch.equal(found.observations[:, :, 1:], found.next_observations[:, :, :-1])
    flat = (found.observations.flatten(1, 2), found.actions.flatten(1, 2))
    log_probs = policy.log_probs(parameters, *flat)
    torch.testing.assert_close(log_probs, found.log_probs.flatten(1), rtol=1e-4, atol=1e-4)
    for time in range(N_STEPS):
        # Without noise, the generator says of each step what it did when it was imagined.
        states = found.observations[:, :, time]
        actions = gan.space.encode_actions(found.actions[:, :, time])
        made = gan.generate(context, gan.space.state.normalise(states), actions, stream())
        torch.testing.assert_close(
            gan.space.next_states(states, made.changes), found.next_observations[:, :, time]
        )
        rewards = gan.space.reward.denormalise(made.rewards).squeeze(-1)
        torch.testing.assert_close(rewards, found.rewards[:, :, time])
    noise = found.log_probs.flatten()
    assert len(noise.unique()) == len(noise)  # no part repeats another's draws


def test_a_batch_that_fits_is_one_part_with_the_same_draws(gan, monkeypatch):
    context = context_of(gan, adapted=False)
    policy = make_policy(OBSERVATIONS, BOX, hidden_sizes=(8,))
    parameters = expand_over_tasks(policy.initial_parameters(stream()), N_TASKS)
    starts = torch.zeros(N_TASKS, N_ROLLOUTS, 3)
    fitting, larger = [], imagination.ROWS_AT_ONCE["cpu"]
    for rows in (larger, N_TASKS * (N_ROLLOUTS + 1)):
        monkeypatch.setitem(imagination.ROWS_AT_ONCE, "cpu", rows)
        fitting.append(imagine(gan, context, policy, parameters, starts, N_STEPS, stream()))
    assert torch.equal(fitting[0].actions, fitting[1].actions)
