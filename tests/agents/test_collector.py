import numpy as np
import pytest
import torch

from metarl_gan.agents.collector import AllTasksDroppedError, collect
from metarl_gan.agents.environment_pool import MAX_KEPT, EnvironmentPool
from metarl_gan.agents.networks import expand_over_tasks
from metarl_gan.agents.policies import make_policy
from metarl_gan.envs import make_family
from tests.agents.toys import BANDITS, COUNTDOWNS, Countdown, stream
from tests.envs import test_success

HEALTHY, NAN_REWARD, INFINITE_OBSERVATION, RAISES, RAISES_IN_RESET = 0.0, 1.0, 2.0, 3.0, 4.0


def countdowns(*settings):
    """Tasks by (length, fault, from_step); shorter tuples are healthy."""
    names = ("length", "fault", "from_step")
    return [
        COUNTDOWNS.task(**dict(zip(names, (*map(float, values), 0.0, 1.0)[:3], strict=True)))
        for values in settings
    ]


def play(tasks, envs_per_task=2, *, family=COUNTDOWNS, seed=0, std=0.5, deterministic=False):
    policy = make_policy(
        family.observation_space, family.action_space, hidden_sizes=(4,), initial_std=std
    )
    parameters = expand_over_tasks(policy.initial_parameters(stream(1)), len(tasks))
    Countdown.total_steps = 0
    venv = family.make_vec(tasks, envs_per_task)
    collection = collect(
        venv, policy, parameters, stream(seed), seed=seed, deterministic=deterministic
    )
    return collection, policy, parameters


def test_one_episode_per_environment_with_every_real_step_counted():
    collection, policy, parameters = play(countdowns([3], [100], [1]))
    batch = collection.batch
    assert batch.valid.shape == (3, 2, 6)
    assert batch.valid.sum(-1).tolist() == [[3, 3], [6, 6], [1, 1]]
    assert collection.real_steps == Countdown.total_steps == 20
    assert collection.kept.tolist() == [0, 1, 2]
    assert collection.dropped == ()
    assert not batch.generated.any()
    ends, cuts = batch.terminated, batch.truncated
    assert torch.nonzero(ends[:, 0]).tolist() == [[0, 2], [2, 0]]
    assert torch.nonzero(cuts[:, 0]).tolist() == [[1, 5]]
    # The observation counts steps: 0.. before a step, 1.. after it, also in the final row.
    assert batch.observations[1, 0, :, 0].tolist() == [0, 1, 2, 3, 4, 5]
    assert batch.next_observations[1, 0, :, 0].tolist() == [1, 2, 3, 4, 5, 6]
    assert batch.next_observations[0, 0, 2, 0] == 3
    # Rewards are the actions, clipped by the environment only.
    expected = torch.where(batch.valid, batch.actions[..., 0].clamp(-1, 1), 0.0)
    torch.testing.assert_close(batch.rewards, expected)
    rows = batch.observations.flatten(1, 2)
    again = policy.log_probs(parameters, rows, batch.actions.flatten(1, 2))
    torch.testing.assert_close(again[batch.valid.flatten(1)], batch.log_probs[batch.valid])


def test_actions_are_kept_as_sampled():
    collection, policy, parameters = play(countdowns([100]), envs_per_task=20, std=2.0)
    batch = collection.batch
    assert (batch.actions.abs() > 1.0).float().mean() > 0.3
    assert batch.rewards.abs().max() == 1.0
    again = policy.log_probs(
        parameters, batch.observations.flatten(1, 2), batch.actions.flatten(1, 2)
    )
    torch.testing.assert_close(again, batch.log_probs.flatten(1))


def test_deterministic_policies_play_their_mode():
    collection, policy, parameters = play(countdowns([100]), deterministic=True)
    rows = collection.batch.observations.flatten(1, 2)
    expected = policy.mode(parameters, rows)
    torch.testing.assert_close(collection.batch.actions.flatten(1, 2), expected)


@pytest.mark.parametrize(
    ("fault", "said", "steps"),
    [
        # A broken number does not end an episode: it costs all of its 6 steps.
        (NAN_REWARD, ["step 2", "reward nan"], 6),
        (INFINITE_OBSERVATION, ["step 2", "inf"], 6),
        (RAISES, ["step 2", "motor burnt", "RuntimeError"], 3),
        (RAISES_IN_RESET, ["reset", "no power"], 0),
    ],
)
def test_a_task_that_breaks_is_dropped_and_described(fault, said, steps):
    tasks = countdowns([100], [100, fault, 2], [4])
    collection, _, _ = play(tasks)
    assert collection.kept.tolist() == [0, 2]
    assert collection.batch.valid.sum(-1).tolist() == [[6, 6], [4, 4]]
    [dropped] = collection.dropped
    assert dropped.task_id == tasks[1].id
    for words in said:
        assert words in dropped.reason
    for field in ("observations", "rewards", "next_observations"):
        assert torch.isfinite(getattr(collection.batch, field)).all()
    # The steps of the dropped task were taken all the same.
    assert collection.real_steps == Countdown.total_steps == 2 * (6 + steps + 4)


def test_success_is_that_of_any_step_of_an_episode():
    family = test_success.FAMILY
    settings = [(-1, 100, 1), (2, 2, 1), (9, 100, 1), (1, 100, 0)]
    collection, _, _ = play(test_success.tasks_of(*settings), family=family)
    assert collection.kept.tolist() == [1, 2, 3]  # the first broke
    assert collection.success is not None
    assert collection.success.tolist() == [[True, True], [False, False], [False, False]]
    collection, _, _ = play(test_success.tasks_of((1, 100, 0)), family=family)
    assert collection.success is None
    assert play(countdowns([3]))[0].success is None


def test_what_a_healthy_task_plays_does_not_depend_on_a_broken_neighbour():
    broken, _, _ = play(countdowns([100, NAN_REWARD, 3], [5]))
    healthy, _, _ = play(countdowns([100], [5]))
    for name, value in vars(broken.batch).items():
        assert torch.equal(value[0], getattr(healthy.batch, name)[1]), name


def test_if_every_task_breaks_all_are_named():
    tasks = countdowns([100, NAN_REWARD, 0], [100, RAISES, 4])
    with pytest.raises(AllTasksDroppedError) as caught:
        play(tasks)
    for words in (tasks[0].id, "step 0", "nan", tasks[1].id, "step 4", "motor burnt"):
        assert words in str(caught.value)


def test_the_same_seed_plays_the_same_episodes():
    tasks = countdowns([3], [100])
    first, second, other = (play(tasks, seed=seed)[0].batch for seed in (7, 7, 8))
    for name, value in vars(first).items():
        assert torch.equal(value, getattr(second, name)), name
    assert not torch.equal(first.actions, other.actions)
    assert not torch.equal(first.observations, other.observations)


def test_each_task_is_played_by_its_own_policy():
    family = make_family("point-goal")
    tasks = family.sample(2, seed=0)
    policy = make_policy(family.observation_space, family.action_space, hidden_sizes=())
    parameters = expand_over_tasks(policy.initial_parameters(stream()), 2)
    parameters["bias_0"] = torch.tensor([[0.8, 0.8], [-0.8, -0.8]])
    batch = collect(family.make_vec(tasks, 3), policy, parameters, stream(), seed=0).batch
    assert (batch.next_observations[0, :, -1] > 1).all()
    assert (batch.next_observations[1, :, -1] < -1).all()


def test_discrete_actions_have_no_last_axis():
    tasks = [BANDITS.task(better=-0.5), BANDITS.task(better=0.5)]
    batch = play(tasks, 50, family=BANDITS)[0].batch
    assert batch.actions.shape == (2, 50, 1)
    assert batch.actions.dtype == torch.int64
    assert batch.actions.unique().tolist() == [0, 1]
    torch.testing.assert_close(batch.rewards[0], 1.0 - batch.actions[0])
    torch.testing.assert_close(batch.rewards[1], batch.actions[1].float())


def test_the_pool_gives_the_same_environments_other_tasks():
    pool = EnvironmentPool(BANDITS)
    first = pool.get([BANDITS.task(better=0.5)], 2)
    second = pool.get([BANDITS.task(better=-0.5)], 2)
    assert second is first
    second.reset(seed=0)
    assert second.step(np.array([0, 1]))[1].tolist() == [1.0, 0.0]
    assert pool.get([BANDITS.task(better=-0.5)], 3) is not first
    pool.close()


def test_the_pool_keeps_the_sizes_used_last():
    pool = EnvironmentPool(BANDITS)
    tasks = [BANDITS.task(better=0.5)]
    kept = [pool.get(tasks, size) for size in range(1, MAX_KEPT + 1)]
    assert pool.get(tasks, 1) is kept[0]
    pool.get(tasks, MAX_KEPT + 1)
    assert pool.get(tasks, 1) is kept[0]
    assert pool.get(tasks, 2) is not kept[1]
    pool.close()
