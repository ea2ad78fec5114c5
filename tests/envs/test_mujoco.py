import copy
from pathlib import Path
from typing import Any

import gymnasium
import mujoco
import numpy as np
import pytest

from metarl_gan.envs import FamilyError, TaskSpace, Uniform, check_family, make_family
from metarl_gan.envs.half_cheetah import _RunInDirection
from metarl_gan.envs.mujoco_family import MujocoFamily
from metarl_gan.envs.mujoco_model import load_physics

N_STEPS = 200


def originals_like(venv):
    """Gymnasium's own HalfCheetah-v5, one per row, in the same states."""
    envs: list[Any] = [gymnasium.make("HalfCheetah-v5").unwrapped for _ in range(venv.num_envs)]
    for index, env in enumerate(envs):
        env.reset(seed=0)
        put_into_state_of(venv, index, env)
    return envs


def put_into_state_of(venv, index, env):
    state = venv._view(venv._states)
    env.set_state(state.positions[index], state.velocities[index])
    env.data.qacc_warmstart[:] = venv._warmstarts[index]


def positions_and_velocities(venv):
    state = venv._view(venv._states)
    return np.concatenate([state.positions, state.velocities], axis=1)


@pytest.mark.parametrize("threads", [1, 2])
def test_every_step_of_an_episode_is_gymnasiums_own(threads):
    family = make_family("half-cheetah-velocity", threads=threads)
    tasks = family.sample(2, seed=0)
    venv: Any = family.make_vec(tasks, envs_per_task=2)
    venv.reset(seed=0)
    originals = originals_like(venv)
    rng = np.random.default_rng(1)
    for _ in range(N_STEPS):
        actions = rng.uniform(-1, 1, (4, 6)).astype(np.float32)
        for index, env in enumerate(originals):
            put_into_state_of(venv, index, env)
        observations, rewards, *_ = venv.step(actions)
        ours = positions_and_velocities(venv)
        for index, env in enumerate(originals):
            observation, _, _, _, info = env.step(actions[index])
            np.testing.assert_allclose(
                ours[index], np.concatenate([env.data.qpos, env.data.qvel]), rtol=0, atol=1e-9
            )
            np.testing.assert_allclose(observations[index], observation, rtol=1e-6, atol=1e-6)
            gap = abs(info["x_velocity"] - tasks[index // 2].parameters["velocity"])
            expected = -gap - 0.05 * np.sum(np.square(actions[index], dtype=np.float64))
            np.testing.assert_allclose(rewards[index], expected, rtol=1e-6, atol=1e-6)


def test_free_running_trajectories_agree_until_contacts_amplify_rounding():
    """The solver's own warm start is not handed out: 1e-14 grows by half a decade per step."""
    family = make_family("half-cheetah-direction")
    venv: Any = family.make_vec(family.sample(1, seed=0))
    venv.reset(seed=3)
    env: Any = gymnasium.make("HalfCheetah-v5").unwrapped
    env.reset(seed=3)  # one seed starts both alike
    rng = np.random.default_rng(1)
    for _ in range(12):
        actions = rng.uniform(-1, 1, (1, 6)).astype(np.float32)
        venv.step(actions)
        env.step(actions[0])
        theirs = np.concatenate([env.data.qpos, env.data.qvel])
        np.testing.assert_allclose(positions_and_velocities(venv)[0], theirs, rtol=0, atol=1e-9)


def test_rewards_by_hand():
    family = make_family("half-cheetah-direction")
    tasks = [family.task(direction=1), family.task(direction=-1)]
    venv: Any = family.make_vec(tasks)
    venv.reset(seed=0)
    venv._states[1], venv._warmstarts[1] = venv._states[0], venv._warmstarts[0]
    x = venv._states[:, 1].copy()
    actions = np.full((2, 6), 0.5, np.float32)
    _, rewards, *_ = venv.step(actions)
    velocity = (venv._states[:, 1] - x) / 0.05
    assert velocity[0] == velocity[1]
    effort = 0.05 * 6 * 0.25
    np.testing.assert_allclose(rewards, [velocity[0] - effort, -velocity[0] - effort], rtol=1e-6)


def test_rows_do_not_depend_on_their_company():
    family = make_family("half-cheetah-velocity")
    tasks = family.sample(5, seed=0)
    venv: Any = family.make_vec(tasks, 3)
    alone: Any = family.make_vec(tasks[3:4])
    venv.reset(seed=0)
    alone.reset(seed=0)
    alone._states[0] = venv._states[10]
    rng = np.random.default_rng(0)
    for _ in range(N_STEPS):
        actions = rng.uniform(-1, 1, (15, 6)).astype(np.float32)
        many, one = venv.step(actions), alone.step(actions[10:11])
        np.testing.assert_array_equal(many[0][10], one[0][0])
        assert many[1][10] == one[1][0]


def test_stripping_a_model_leaves_its_physics():
    path = Path(gymnasium.__file__).parent / "envs" / "mujoco" / "assets" / "half_cheetah.xml"
    full, stripped = mujoco.MjModel.from_xml_path(str(path)), load_physics("half_cheetah.xml")
    assert (full.ncam, full.nlight, full.nmat) == (1, 1, 2)
    assert (stripped.ncam, stripped.nlight, stripped.nmat, stripped.ntex) == (0, 0, 0, 0)
    states = []
    for model in (full, stripped):
        data = mujoco.MjData(model)
        data.ctrl[:] = 0.3
        mujoco.mj_step(model, data, 300)
        states.append(np.concatenate([data.qpos, data.qvel]))
    np.testing.assert_array_equal(states[0], states[1])


def test_reward_only_families_share_one_model():
    family = make_family("half-cheetah-velocity")
    venv: Any = family.make_vec(family.sample(3, seed=0), 2)
    assert len({id(model) for model in venv._models}) == 1


class Heavy(_RunInDirection):
    """A family whose tasks differ in physics: the torso's mass."""

    def running_reward(self, velocity, parameters):
        return velocity

    def configure(self, model, parameters):
        model.body_mass[1] = parameters["mass"]
        return True


def test_families_that_change_physics_have_a_model_per_task():
    family = MujocoFamily(
        name="heavy-cheetah",
        task_space=TaskSpace(parameters={"mass": Uniform(3.0, 12.0, unit="kg")}),
        rules=Heavy(),
        model="half_cheetah.xml",
        frame_skip=5,
        horizon=20,
        floors={},
    )
    check_family(family)
    tasks = [family.task(mass=4.0), family.task(mass=8.0)]
    venv: Any = family.make_vec(tasks, 2)
    assert [model.body_mass[1] for model in venv._models] == [4, 4, 8, 8]
    assert venv._models[0].body_subtreemass[1] != venv._models[2].body_subtreemass[1]
    assert copy.copy(family._setup.model).body_mass[1] not in (4, 8)


def test_threads_are_checked():
    with pytest.raises(FamilyError, match="threads is 0"):
        make_family("half-cheetah-velocity", threads=0)


def test_a_closed_vector_environment_stays_closed():
    family = make_family("half-cheetah-velocity")
    venv: Any = family.make_vec(family.sample(2, seed=0))
    venv.reset(seed=0)
    venv.close()
    with pytest.raises(RuntimeError):
        venv.step(np.zeros((2, 6), np.float32))


def test_the_solver_starts_from_the_last_acceleration():
    family = make_family("half-cheetah-velocity")
    venv: Any = family.make_vec(family.sample(2, seed=0))
    venv.reset(seed=0)
    assert not venv._warmstarts.any()
    before = venv._states.copy()
    venv.step(np.zeros((2, 6), np.float32))
    path = venv._simulate(np.zeros((2, 6)), np.arange(2))
    change = path[:, -1, 10:] - path[:, -2, 10:]
    np.testing.assert_allclose(venv._warmstarts, change / 0.01)
    assert not np.array_equal(before, venv._states)
    venv.reset(options={"reset_mask": np.array([True, False])})
    assert venv._warmstarts.any(axis=1).tolist() == [False, True]
