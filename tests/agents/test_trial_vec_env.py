"""Trials of several episodes as the episodes of Stable-Baselines3's vector environments."""

import numpy as np
import pytest
from gymnasium import spaces

from metarl_gan.agents.collector import AllTasksDroppedError
from metarl_gan.agents.sb3_actions import Sb3Actions, sb3_problem
from metarl_gan.agents.told import Descriptor, LastStep, Nothing
from metarl_gan.agents.trial_vec_env import TrialVecEnv
from metarl_gan.envs import ParametricFamily, Uniform
from tests.agents.toys import BANDITS, COUNTDOWNS, Countdown

ENDLESS = ParametricFamily(Countdown, {"length": Uniform(50.0, 99.0)}, horizon=3, name="endless")


def countdown(*lengths):
    return [COUNTDOWNS.task(length=float(n), fault=0.0, from_step=0.0) for n in lengths]


def trials(family, blocks, *, told=None, episodes_per_trial=2, seed=0):
    """Trials in blocks of given tasks, the last of them for ever."""
    venv = family.make_vec(blocks[0], 1)
    return TrialVecEnv(
        venv,
        lambda block: blocks[min(block, len(blocks) - 1)],
        told or LastStep(len(blocks[0]), family.action_space),
        episodes_per_trial=episodes_per_trial,
        seed=seed,
    )


def play(env, n_steps, action=0.5):
    """What `n_steps` steps with one action returned, from a reset on."""
    first = env.reset()
    return first, [env.step(np.full((env.num_envs, 1), action)) for _ in range(n_steps)]


def test_a_trial_is_done_after_its_episodes_alone():
    env = trials(ENDLESS, [ENDLESS.sample(2, seed=0)])
    _, steps = play(env, 12)
    done = np.array([step[2] for step in steps])
    assert done[:, 0].tolist() == [False] * 5 + [True] + [False] * 5 + [True]
    assert (done[:, 0] == done[:, 1]).all()
    assert env.real_steps == 24


def test_what_is_told_is_the_last_step_and_lasts_beyond_an_episode():
    env = trials(ENDLESS, [ENDLESS.sample(1, seed=0)])
    first, steps = play(env, 7)
    told = np.array([step[0][0, 2:] for step in steps])  # action, reward, end of an episode
    assert first[0, 2:].tolist() == [0.0, 0.0, 0.0]
    # The third step ends the first of two episodes: the next one begins with that in mind.
    assert told[:4].tolist() == [[0.5, 0.5, 0], [0.5, 0.5, 0], [0.5, 0.5, 1], [0.5, 0.5, 0]]
    assert steps[2][0][0, 0] == 0.0  # the count of a new episode
    assert told[5].tolist() == [0.0, 0.0, 0.0]  # a new trial
    ended = steps[5][3][0]
    assert ended["terminal_observation"][2:].tolist() == [0.5, 0.5, 1.0]
    assert ended["terminal_observation"][0] == 3.0


def test_new_tasks_come_with_new_trials():
    blocks = [ENDLESS.sample(3, seed=seed) for seed in (0, 1)]
    told = Descriptor(3, 1)
    env = trials(ENDLESS, blocks, told=told, episodes_per_trial=1)
    first, steps = play(env, 3)
    shown = [[task.descriptor.tolist() for task in tasks] for tasks in blocks]
    assert first[:, 2:].tolist() == shown[0]
    assert steps[1][0][:, 2:].tolist() == shown[0]
    assert steps[2][0][:, 2:].tolist() == shown[1]
    assert steps[2][2].all()
    assert steps[2][3][0]["terminal_observation"][2:].tolist() == shown[0][0]


def test_blocks_start_from_their_own_seeds():
    env = trials(ENDLESS, [ENDLESS.sample(2, seed=0)], told=Nothing(2), episodes_per_trial=1)
    first, steps = play(env, 3)
    lucks = [*first[:, 1], *steps[2][0][:, 1]]
    assert len(set(lucks)) == 4
    again, _ = play(trials(ENDLESS, [ENDLESS.sample(2, seed=0)], told=Nothing(2)), 0)
    assert (again == first).all()


def test_episodes_that_end_early_make_more_trials_and_the_last_is_cut():
    Countdown.total_steps = 0
    env = trials(COUNTDOWNS, [countdown(2, 5)])  # blocks of 2 episodes of at most 6 steps
    _, steps = play(env, 12)
    done = np.array([step[2] for step in steps])
    assert np.flatnonzero(done[:, 0]).tolist() == [3, 7, 11]
    assert np.flatnonzero(done[:, 1]).tolist() == [9, 11]
    # Ends by the environment are terminal; the trial that the block's end cuts is not.
    assert [steps[t][3][0]["TimeLimit.truncated"] for t in (3, 7, 11)] == [False, False, False]
    assert [steps[t][3][1]["TimeLimit.truncated"] for t in (9, 11)] == [False, True]
    assert env.real_steps == Countdown.total_steps == 24


def test_a_time_limit_is_no_end_of_the_world():
    env = trials(ENDLESS, [ENDLESS.sample(1, seed=0)])
    _, steps = play(env, 6)
    assert steps[5][3][0]["TimeLimit.truncated"] is True
    assert steps[2][3][0] == {}  # between episodes of a trial nothing ends


def test_a_broken_environment_ends_its_trial_and_is_listed():
    tasks = [COUNTDOWNS.task(length=9.0, fault=fault, from_step=1.0) for fault in (1.0, 0.0)]
    env = trials(COUNTDOWNS, [tasks], told=Nothing(2))
    _, steps = play(env, 3)
    _, rewards, done, infos = steps[1]
    assert done.tolist() == [True, False]
    assert rewards.tolist() == [0.0, 0.5]
    assert infos[0]["TimeLimit.truncated"] is False
    assert all(np.isfinite(step[0]).all() for step in steps)
    assert list(env.dropped) == [tasks[0].id]


def test_nothing_but_broken_environments_is_an_error():
    env = trials(COUNTDOWNS, [[COUNTDOWNS.task(length=9.0, fault=3.0, from_step=1.0)]])
    with pytest.raises(AllTasksDroppedError, match="motor burnt"):
        play(env, 2)


def test_discrete_actions_are_told_one_hot():
    env = trials(BANDITS, [[BANDITS.task(better=1.0)]])
    env.reset()
    assert env.action_space == spaces.Discrete(2)
    observations, rewards, *_ = env.step(np.array([1]))
    assert rewards.tolist() == [1.0]
    assert np.asarray(observations)[0].tolist() == [1.0, 0.0, 1.0, 1.0, 1.0]


def test_actions_are_given_in_half_ranges_or_from_0_on():
    box = Sb3Actions(spaces.Box(np.array([-2, 0], np.float32), np.array([2, 4], np.float32)))
    assert box.to_environment(np.array([[-1.0, 0.5]])).tolist() == [[-2.0, 3.0]]
    assert box.space == spaces.Box(-1.0, 1.0, (2,), np.float32)
    choice = Sb3Actions(spaces.Discrete(3, start=5))
    assert choice.to_environment(np.array([0, 2])).tolist() == [5, 7]
    assert choice.space == spaces.Discrete(3)
    told = LastStep(2, spaces.Discrete(3, start=5))
    told.note(np.array([5, 7]), np.zeros(2), np.zeros(2, bool), np.ones(2, bool))
    assert told.values[:, :3].tolist() == [[1, 0, 0], [0, 0, 1]]


@pytest.mark.parametrize(
    ("space", "why"),
    [
        (spaces.Box(-np.inf, np.inf, (1,)), "finite bounds"),
        (spaces.MultiDiscrete([2, 2]), "Box or Discrete"),
        (spaces.Tuple([spaces.Discrete(2)]), "Box or Discrete"),
    ],
)
def test_other_actions_are_refused(space, why):
    assert why in (sb3_problem(space) or "")
    with pytest.raises(ValueError, match=why):
        Sb3Actions(space)
