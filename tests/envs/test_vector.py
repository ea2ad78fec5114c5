from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode

from metarl_gan.envs import (
    FamilyError,
    ParametricFamily,
    SyncTaskVectorEnv,
    Uniform,
    make_family,
)
from tests.envs.toys import Choosy, Fragile, Walk, family_of

FAMILIES = ["point-goal", "pendulum-physics", "half-cheetah-velocity", "half-cheetah-direction"]
SCALE, LENGTH = Uniform(0.5, 2.0), Uniform(1.0, 100.0)


def walkers(lengths, envs_per_task=1, horizon=6):
    family = family_of(Walk, {"scale": SCALE, "length": LENGTH}, horizon=horizon, splits=("train",))
    tasks = [family.task(scale=1.0, length=float(length)) for length in lengths]
    return family.make_vec(tasks, envs_per_task)


def act(venv, value=0.5):
    return venv.step(np.full((venv.num_envs, 1), value, np.float32))


def test_finished_environments_stay_frozen_and_cost_nothing():
    venv = walkers([2, 100], horizon=4)
    assert venv.metadata["autoreset_mode"] is AutoresetMode.DISABLED
    venv.reset(seed=0)
    stepped, rewards, terminated, truncated, counts = [], [], [], [], []
    for _ in range(6):
        observation, reward, end, cut, info = act(venv)
        stepped.append(info["stepped"].tolist())
        rewards.append(reward.tolist())
        terminated.append(end.tolist())
        truncated.append(cut.tolist())
        counts.append(observation[:, 0].tolist())
    no, yes = False, True
    assert counts == [[1, 1], [2, 2], [2, 3], [2, 4], [2, 4], [2, 4]]
    assert stepped == [[yes, yes], [yes, yes], [no, yes], [no, yes], [no, no], [no, no]]
    assert rewards == [[0.5, 0.5], [0.5, 0.5], [0, 0.5], [0, 0.5], [0, 0], [0, 0]]
    assert terminated == [[no, no], [yes, no], [no, no], [no, no], [no, no], [no, no]]
    assert truncated == [[no, no], [no, no], [no, no], [no, yes], [no, no], [no, no]]


def test_reset_mask_restarts_only_those():
    venv = walkers([2, 100])
    venv.reset(seed=0)
    act(venv)
    before, *_ = act(venv)
    after, _ = venv.reset(options={"reset_mask": np.array([True, False])})
    assert after[0, 0] == 0
    np.testing.assert_array_equal(after[1], before[1])
    observation, _, _, _, info = act(venv)
    assert observation[:, 0].tolist() == [1, 3]
    assert info["stepped"].all()
    with pytest.raises(ValueError, match="reset_mask"):
        venv.reset(options={"reset_mask": np.array([1, 0])})


def test_rows_are_task_major_and_parameters_follow():
    family = family_of(Walk)
    tasks = [family.task(scale=scale) for scale in (0.5, 1.0, 2.0)]
    venv = family.make_vec(tasks, envs_per_task=2)
    assert (venv.num_envs, venv.envs_per_task, len(venv.tasks)) == (6, 2, 3)
    venv.reset(seed=0)
    assert act(venv, 1.0)[1].tolist() == [0.5, 0.5, 1.0, 1.0, 2.0, 2.0]
    assert venv.parameter("scale").tolist() == [0.5, 0.5, 1.0, 1.0, 2.0, 2.0]


def test_actions_are_clipped_at_the_environment():
    family = family_of(Walk)
    venv = family.make_vec([family.task(scale=1.0)])
    venv.reset(seed=0)
    assert act(venv, 7.0)[1].tolist() == [1.0]
    env = family.make(family.task(scale=1.0))
    env.reset(seed=0)
    assert env.step(np.array([-7.0], np.float32))[1] == -1.0


def test_returned_arrays_are_the_callers():
    venv = walkers([100])
    observation, _ = venv.reset(seed=0)
    observation[:] = 99
    reached, *_ = act(venv)
    assert reached[0, 0] == 1
    reached[:] = 99
    assert act(venv)[0][0, 0] == 2


def test_wrong_use_is_refused():
    venv = walkers([5, 5])
    with pytest.raises(gymnasium.error.ResetNeeded):
        act(venv)
    venv.reset(seed=0)
    with pytest.raises(ValueError, match=r"shape \(2,\); expected \(2, 1\)"):
        venv.step(np.zeros(2, np.float32))
    with pytest.raises(FamilyError, match="1 tasks in place of 2"):
        venv.set_tasks(venv.tasks[:1])
    with pytest.raises(FamilyError, match="not of family"):
        venv.set_tasks(make_family("point-goal").sample(2, seed=0))
    with pytest.raises(FamilyError, match="at least one"):
        walkers([])


def test_discrete_actions():
    family = family_of(Choosy)
    venv = family.make_vec([family.task(scale=1.0)], envs_per_task=3)
    venv.reset(seed=0)
    assert venv.step(np.array([0, 1, 2]))[1].tolist() == [0, 1, 2]
    for actions in (np.array([0, 1, 3]), np.array([0, -1, 1]), np.array([0.0, 1.0, 2.0])):
        with pytest.raises(ValueError, match="not all in"):
            venv.step(actions)


@pytest.mark.parametrize("name", FAMILIES)
def test_set_tasks_equals_a_new_vector_environment(name):
    family = make_family(name)
    old, new = family.sample(2, seed=0), family.sample(2, seed=5)[::-1]
    reused, fresh = family.make_vec(old, 2), family.make_vec(new, 2)
    rng = np.random.default_rng(0)
    reused.reset(seed=9)
    reused.set_tasks(new)
    with pytest.raises(gymnasium.error.ResetNeeded):
        reused.step(reused.action_space.sample())
    np.testing.assert_array_equal(reused.reset(seed=1)[0], fresh.reset(seed=1)[0])
    for _ in range(10):
        actions = rng.uniform(-1, 1, (4, *(family.action_space.shape or ()))).astype(np.float32)
        for left, right in zip(reused.step(actions)[:4], fresh.step(actions)[:4], strict=True):
            np.testing.assert_array_equal(left, right)


def test_sync_set_tasks_reuses_environments_where_it_can():
    by_id, by_callable = pendulums(), family_of(Walk)
    for family, reused in ((by_id, True), (by_callable, False)):
        venv: Any = family.make_vec(family.sample(2, seed=0), backend="sync")
        before = dict(venv._rows.envs)
        venv.set_tasks(family.sample(2, seed=1))
        assert (venv._rows.envs[0] is before[0]) == reused
        assert venv._rows.envs[0].task == venv.tasks[0]


def pendulums():
    return ParametricFamily("Pendulum-v1", {"g": Uniform(5.0, 15.0)}, horizon=20)


def test_an_environment_that_raises_does_not_take_the_others_down():
    family = family_of(Fragile, {"scale": Uniform(0.5, 3.0)})
    tasks = [family.task(scale=scale) for scale in (0.5, 1.5, 2.5)]
    venv = SyncTaskVectorEnv(family, tasks)
    observation, info = venv.reset(seed=0)
    assert np.isnan(observation).all(axis=1).tolist() == [False, False, True]
    assert list(info["failures"]) == [2]
    assert tasks[2].id in info["failures"][2]
    assert "no power" in info["failures"][2]
    ends = []
    for _ in range(4):
        observation, rewards, terminated, truncated, info = act(venv)
        assert not terminated.any()
        assert np.isfinite(rewards).all()
        ends.append(truncated.tolist())
    assert np.isnan(observation).all(axis=1).tolist() == [False, True, True]
    assert sorted(info["failures"]) == [1, 2]
    assert "motor burnt" in info["failures"][1]
    assert "test_vector" not in info["failures"][1].splitlines()[0]
    no, yes = False, True
    assert ends == [[no, no, yes], [no, no, no], [no, yes, no], [no, no, no]]
    venv.set_tasks([tasks[0]] * 3)
    observation, info = venv.reset(seed=0)
    assert "failures" not in info
    assert np.isfinite(observation).all()


def test_a_task_that_cannot_be_built_is_named():
    def sometimes(scale):
        if scale > 1.9:
            raise OSError("no such model")
        return Walk(scale)

    family = family_of(sometimes)
    with pytest.raises(FamilyError, match=r"sometimes/scale=1.95.*no such model"):
        family.make_vec([family.task(scale=1.95)])


@pytest.mark.parametrize("name", FAMILIES)
def test_seeds_fix_vector_environments(name):
    family = make_family(name)
    venv = family.make_vec(family.sample(2, seed=0), 3)
    first, _ = venv.reset(seed=3)
    again, _ = venv.reset(seed=3)
    np.testing.assert_array_equal(first, again)
    if name != "point-goal":
        assert not np.array_equal(first, venv.reset()[0])
        assert len(np.unique(first, axis=0)) == 6
    assert first.dtype == np.float32
    assert first.shape == (6, *(family.observation_space.shape or ()))
