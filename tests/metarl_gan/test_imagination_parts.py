"""Batches that do not fit at once are imagined part by part, which must not show."""

import pytest
import torch

from metarl_gan import imagination
from metarl_gan.agents.networks import expand_over_tasks
from metarl_gan.agents.policies import make_policy
from metarl_gan.gan import TaskContext
from metarl_gan.held_out_errors import HeldOutErrors
from metarl_gan.imagination import imagine
from metarl_gan.processor import shared_out
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


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_parts_are_even_whoever_computes_them(threads, monkeypatch):
    monkeypatch.setattr(imagination, "SPLIT_ROWS", 30)

    def sizes(n_tasks, n_rollouts, n_elites=1):
        parts = imagination._parts(
            n_tasks, n_rollouts, n_elites=n_elites, most_rows=40, n_threads=threads
        )
        rows = torch.zeros(n_tasks, n_rollouts)
        for part in parts:
            rows[part.index] += 1
        assert (rows == 1).all()
        return [tuple(rows[part.index].shape) for part in parts]

    assert sizes(5, 5) == [(5, 5)]  # 25 rows: no use in splitting
    assert sizes(6, 5) == {1: [(6, 5)], 2: [(3, 5)] * 2, 3: [(2, 5)] * 3}[threads]
    expected = {1: [(3, 10)] * 2, 2: [(3, 10)] * 2, 3: [(2, 10)] * 3}
    assert sizes(6, 10) == expected[threads]
    # A task of more than 40 rows is cut, in as even pieces as whole turns of the elites make.
    assert sizes(1, 90, n_elites=3) == [(1, 30)] * 3
    assert sizes(2, 50, n_elites=4) == [(1, 28), (1, 22)] * 2


@pytest.mark.parametrize("processors", [1, 2, 8])
def test_who_imagines_which_part_changes_no_bit(gan, processors, monkeypatch):
    monkeypatch.setattr(imagination, "SPLIT_ROWS", 1)
    monkeypatch.setattr(imagination, "available_processors", lambda: processors)
    context = context_of(gan, adapted=True)
    policy = make_policy(OBSERVATIONS, BOX, hidden_sizes=(8,))
    parameters = expand_over_tasks(policy.initial_parameters(stream()), N_TASKS)
    starts = torch.zeros(N_TASKS, N_ROLLOUTS, 3)
    shared, before = [], torch.get_num_threads()
    monkeypatch.setattr(
        imagination,
        "shared_out",
        lambda run, parts, n_threads: (
            shared.append((len(parts), n_threads)) or shared_out(run, parts, n_threads)
        ),
    )
    torch.set_num_threads(2)
    try:
        found = [
            imagine(gan, context, policy, parameters, starts, N_STEPS, stream()) for _ in range(3)
        ]
        assert torch.get_num_threads() == 2
        monkeypatch.setattr(imagination, "available_processors", lambda: 1)
        alone = imagine(gan, context, policy, parameters, starts, N_STEPS, stream())
    finally:
        torch.set_num_threads(before)
    assert shared == [(2, min(2, processors))] * 3 + [(2, 1)]
    for name, value in vars(alone).items():
        assert all(torch.equal(vars(one)[name], value) for one in found), name


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
