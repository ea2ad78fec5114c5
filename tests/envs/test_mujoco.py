"""MuJoCo families: Gymnasium's own trajectories, and what is put on top of them."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import gymnasium
import mujoco
import numpy as np
import pytest

from metarl_gan.envs import FamilyError, TaskSpace, Uniform, check_family, make_family
from metarl_gan.envs.families.half_cheetah import _RunInDirection
from metarl_gan.envs.mujoco.family import MujocoFamily
from metarl_gan.envs.mujoco.model import load_physics
from metarl_gan.envs.mujoco.slots import MAX_SLOTS, SlotMemory

FAMILIES = {
    "half-cheetah-velocity": "HalfCheetah-v5",
    "half-cheetah-velocity-interpolation": "HalfCheetah-v5",
    "half-cheetah-velocity-extrapolation": "HalfCheetah-v5",
    "half-cheetah-direction": "HalfCheetah-v5",
    "ant-direction": "Ant-v5",
    "ant-direction-interpolation": "Ant-v5",
    "ant-forward-backward": "Ant-v5",
    "ant-goal": "Ant-v5",
    "ant-goal-interpolation": "Ant-v5",
    "humanoid-direction": "Humanoid-v5",
    "walker2d-physics": "Walker2d-v5",
    "hopper-physics": "Hopper-v5",
}
ONE_PER_ROBOT = [
    "half-cheetah-velocity",
    "ant-direction",
    "ant-goal",
    "humanoid-direction",
    "walker2d-physics",
    "hopper-physics",
]


def drawn_actions(family, rng, n, scale=1.2):
    """Also beyond the bounds, which both sides clip."""
    return (rng.uniform(-scale, scale, (n, *family.action_space.shape))).astype(
        np.float32
    ) * family.action_space.high


def physics(env) -> Any:
    return env.unwrapped.data


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("name", FAMILIES)
def test_whole_episodes_are_gymnasiums_own(name, threads):
    """Positions, velocities, observations, rewards and ends, from the seed to the last step."""
    family = make_family(name, threads=threads)
    tasks = family.sample(2, seed=0)
    venv: Any = family.make_vec(tasks, envs_per_task=2)
    envs = [family.make(tasks[index // 2]) for index in range(4)]
    observations, _ = venv.reset(seed=5)
    for index, env in enumerate(envs):
        np.testing.assert_array_equal(env.reset(seed=5 + index)[0], observations[index])
    rng, running = np.random.default_rng(1), np.ones(4, bool)
    while running.any():
        actions = drawn_actions(family, rng, 4, scale=1.2 if name != "hopper-physics" else 0.3)
        observations, rewards, terminated, truncated, _ = venv.step(actions)
        for index in np.flatnonzero(running):
            one = envs[index].step(actions[index])
            np.testing.assert_array_equal(venv._arrays["qpos"][index], physics(envs[index]).qpos)
            np.testing.assert_array_equal(venv._arrays["qvel"][index], physics(envs[index]).qvel)
            np.testing.assert_array_equal(observations[index], one[0])
            np.testing.assert_allclose(rewards[index], float(one[1]), rtol=1e-6, atol=1e-6)
            assert (terminated[index], truncated[index]) == one[2:4]
            running[index] = not (one[2] or one[3])


@pytest.mark.parametrize("name", ONE_PER_ROBOT)
def test_observations_are_those_of_the_environment_made_by_hand(name):
    """Gymnasium's defaults, less what the family leaves out."""
    family = make_family(name)
    env, original = family.make(family.sample(1, seed=0)[0]), gymnasium.make(FAMILIES[name])
    ours, theirs = env.reset(seed=3)[0], original.reset(seed=3)[0]
    if name == "ant-goal":
        ours = ours[2:]
    np.testing.assert_array_equal(ours, theirs[: len(ours)].astype(np.float32))
    assert np.isin(len(theirs) - len(ours), [0, 78, 348 - 45])


def rewards_by_hand(name, info, action, task, data, before):
    """The formulas of the docstrings, from Gymnasium's own info and data."""
    effort = np.sum(np.square(action, dtype=np.float64))
    impact = 5e-4 * np.sum(np.square(np.clip(data.cfrc_ext, -1, 1)))
    if name == "half-cheetah-velocity":
        return -abs(info["x_velocity"] - task.parameters["velocity"]) - 0.05 * effort
    if name == "ant-direction":
        heading = task.parameters["heading"]
        ahead = info["x_velocity"] * np.cos(heading) + info["y_velocity"] * np.sin(heading)
        return ahead - 0.5 * effort - impact + 1
    if name == "ant-goal":
        angle, radius = task.parameters["angle"], task.parameters["radius"]
        goal = radius * np.array([np.cos(angle), np.sin(angle)])
        return -np.abs(data.body("torso").xpos[:2] - goal).sum() - 0.1 * effort - impact
    if name == "humanoid-direction":
        heading = task.parameters["heading"]
        way = data.subtree_com[0, :2] - before
        ahead = 0.25 * (way @ [np.cos(heading), np.sin(heading)]) / 0.003
        return ahead - 0.1 * effort - min(5e-7 * np.square(data.cfrc_ext).sum(), 10) + 5
    return info["x_velocity"] + 1 - 1e-3 * effort


@pytest.mark.parametrize("name", ONE_PER_ROBOT)
def test_rewards_are_the_stated_formulas(name):
    family = make_family(name)
    [task] = family.sample(1, seed=1)
    env = family.make(task)
    env.reset(seed=2)
    rng = np.random.default_rng(0)
    for action in drawn_actions(family, rng, 15, scale=1.0):
        before = physics(env).subtree_com[0, :2].copy()
        _, reward, terminated, _, info = env.step(action)
        expected = rewards_by_hand(name, info, action, task, physics(env), before)
        assert reward == pytest.approx(expected, rel=1e-9, abs=1e-9)
        assert np.isfinite(info["original_reward"])
        if terminated:
            break


def test_a_closer_goal_is_worth_what_it_is_closer():
    family = make_family("ant-goal")
    near, far = family.task(angle=0.0, radius=1.0), family.task(angle=0.0, radius=2.5)
    venv: Any = family.make_vec([near, far])
    venv.reset(seed=0)
    for values in venv._arrays.values():
        values[1] = values[0]
    _, rewards, *_ = venv.step(np.zeros((2, 8), np.float32))
    assert rewards[0] - rewards[1] == pytest.approx(1.5, abs=1e-5)


@pytest.mark.parametrize("name", sorted({*ONE_PER_ROBOT} - {"ant-goal"}))
def test_observations_do_not_tell_where_on_the_ground_the_robot_is(name):
    family = make_family(name)
    venv: Any = family.make_vec(family.sample(1, seed=0), 2)
    venv.reset(seed=0)
    for values in venv._arrays.values():
        values[1] = values[0]
    venv._arrays["qpos"][1, 0] += 0.5  # the root's x
    actions = drawn_actions(family, np.random.default_rng(0), 1, scale=0.3).repeat(2, axis=0)
    observations, *_ = venv.step(actions)
    np.testing.assert_allclose(observations[0], observations[1], atol=1e-6)


def test_rows_do_not_depend_on_their_company():
    family = make_family("half-cheetah-velocity")
    tasks = family.sample(MAX_SLOTS // 3 + 5, seed=0)
    venv: Any = family.make_vec(tasks, 3)
    last = venv.num_envs - 1
    assert last > MAX_SLOTS  # some rows wait for the second round
    alone: Any = family.make_vec(tasks[-1:])
    venv.reset(seed=0)
    alone.reset(seed=last)
    rng = np.random.default_rng(0)
    for _ in range(20):
        actions = drawn_actions(family, rng, venv.num_envs)
        many, one = venv.step(actions), alone.step(actions[-1:])
        np.testing.assert_array_equal(many[0][-1], one[0][0])
        assert many[1][-1] == one[1][0]


def test_a_second_episode_and_other_tasks_are_gymnasiums_own():
    """Nothing of what slots held before is left."""
    family = make_family("walker2d-physics")
    tasks = family.sample(4, seed=0)
    venv: Any = family.make_vec(tasks[:2])
    venv.reset(seed=0)
    for _ in range(5):
        venv.step(drawn_actions(family, np.random.default_rng(2), 2))
    venv.set_tasks(tasks[2:])
    venv.reset(seed=7)
    env = family.make(tasks[3])
    env.reset(seed=8)
    rng = np.random.default_rng(3)
    for _ in range(12):
        actions = drawn_actions(family, rng, 2, scale=0.3)
        observation, *_ = env.step(actions[1])
        np.testing.assert_array_equal(venv.step(actions)[0][1], observation)


def test_stripping_a_model_leaves_its_physics():
    path = Path(gymnasium.__file__).parent / "envs" / "mujoco" / "assets" / "half_cheetah.xml"
    full, stripped = mujoco.MjModel.from_xml_path(str(path)), load_physics(path)
    assert (full.ncam, full.nlight, full.nmat) == (1, 1, 2)
    assert (stripped.ncam, stripped.nlight, stripped.nmat, stripped.ntex) == (0, 0, 0, 0)
    states = []
    for model in (full, stripped):
        data = mujoco.MjData(model)
        data.ctrl[:] = 0.3
        mujoco.mj_step(model, data, 300)
        states.append(np.concatenate([data.qpos, data.qvel]))
    np.testing.assert_array_equal(states[0], states[1])


MEMORY = """
from metarl_gan.envs import make_family
import numpy as np

def resident():
    return int(open("/proc/self/statm").read().split()[1]) * 4096 / 1e6

make_family("hopper-physics").make_vec(make_family("hopper-physics").sample(2, seed=0))
family = make_family({name!r})
tasks = family.sample(256, seed=0)
before = resident()
venv = family.make_vec(tasks)
venv.reset(seed=0)
venv.step(np.zeros((256, *family.action_space.shape), np.float32))
print(resident() - before)
"""


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="reads /proc")
@pytest.mark.parametrize("name", ["half-cheetah-velocity", "walker2d-physics"])
def test_256_tasks_take_less_than_100_megabytes(name):
    """With a model of its own per task (walker2d-physics) and without."""
    code = MEMORY.format(name=name)
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert float(run.stdout) < 100


def test_reward_only_families_share_one_model():
    family = make_family("half-cheetah-velocity")
    venv: Any = family.make_vec(family.sample(3, seed=0), 2)
    assert len({id(model) for model in venv._models}) == 1


def test_walkers_have_the_physics_of_their_task():
    family = make_family("walker2d-physics")
    multipliers = dict.fromkeys(family.parameters, 1.0)
    plain = family.task(**multipliers)
    other = family.task(
        **multipliers
        | {"mass_leg": 2.0, "inertia_foot_left": 0.5, "damping_thigh": 1.5, "friction_floor": 3.0}
    )
    venv: Any = family.make_vec([plain, other])
    original: Any = gymnasium.make("Walker2d-v5").unwrapped
    first, second = venv._models
    for model, scale in ((first, 1.0), (second, 2.0)):
        assert model.body("leg").mass == pytest.approx(scale * original.model.body("leg").mass)
    assert second.body("leg_left").mass == original.model.body("leg_left").mass
    np.testing.assert_allclose(
        second.body("foot_left").inertia, original.model.body("foot_left").inertia / 2
    )
    assert second.joint("thigh_joint").damping == pytest.approx(0.15)
    assert second.geom("floor").friction[0] == pytest.approx(3 * 0.7)
    # What follows from the masses follows.
    added = original.model.body("leg").mass
    assert second.body("torso").subtreemass == pytest.approx(
        original.model.body("torso").subtreemass + added
    )
    made: Any = family.make(other).unwrapped
    for field in ("body_mass", "body_inertia", "dof_damping", "geom_friction", "body_invweight0"):
        np.testing.assert_array_equal(getattr(made.model, field), getattr(second, field))


@pytest.mark.parametrize("name", ["walker2d-physics", "hopper-physics"])
def test_every_friction_matters_to_some_rollout(name):
    """Also the legs', which seldom touch the ground, and the floor's, below the feet's at first."""
    family = make_family(name)
    base = dict.fromkeys(family.parameters, 1.0)
    for part in (parameter for parameter in base if parameter.startswith("friction_")):
        low = {"friction_foot": 0.3, "friction_foot_left": 0.3} if part == "friction_floor" else {}
        plain = family.task(**base | {name: low[name] for name in low if name in base})
        rough = family.task(**{**plain.parameters, part: 3.0})
        venv: Any = family.make_vec([plain, rough], 150)
        venv.reset(seed=0)
        for values in venv._arrays.values():
            values[150:] = values[:150]
        rng, gap, actions = np.random.default_rng(0), 0.0, np.zeros(0)
        for step in range(30):
            if step % 10 == 0:  # held for a while, legs reach the ground
                actions = drawn_actions(family, rng, 150)
            observations, *_ = venv.step(np.concatenate([actions, actions]))
            gap = max(gap, float(np.abs(observations[:150] - observations[150:]).max()))
        assert gap > 0.01, part


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
        horizon=20,
        floors={},
    )
    check_family(family)
    tasks = [family.task(mass=4.0), family.task(mass=8.0)]
    venv: Any = family.make_vec(tasks, 2)
    assert [model.body_mass[1] for model in venv._models] == [4, 4, 8, 8]
    assert venv._models[0].body_subtreemass[1] != venv._models[2].body_subtreemass[1]
    assert family._setup.model.body_mass[1] not in (4, 8)


def test_threads_are_checked():
    with pytest.raises(FamilyError, match="threads is 0"):
        make_family("half-cheetah-velocity", threads=0)


def test_a_closed_vector_environment_stays_closed():
    family = make_family("half-cheetah-velocity")
    venv: Any = family.make_vec(family.sample(2, seed=0))
    venv.reset(seed=0)
    venv.close()
    with pytest.raises(RuntimeError, match="closed"):
        venv.step(np.zeros((2, 6), np.float32))


def test_slot_memory_is_the_slots_own():
    path = Path(gymnasium.__file__).parent / "envs" / "mujoco" / "assets" / "hopper.xml"
    model = load_physics(path)
    slots = [mujoco.MjData(model) for _ in range(3)]
    memory = SlotMemory(slots, {"qpos", "xpos", "act"})
    values = np.arange(2.0 * model.nq).reshape(2, model.nq)
    memory.write({"qpos": values, "act": np.zeros((2, 0))})
    np.testing.assert_array_equal([slot.qpos for slot in slots[:2]], values)
    np.testing.assert_array_equal(slots[2].qpos, model.qpos0)
    for slot in slots:
        mujoco.mj_forward(model, slot)
    np.testing.assert_array_equal(memory.read("xpos", 3), [slot.xpos for slot in slots])
    assert memory.read("act", 2).shape == (2, 0)


def test_rendering_is_gymnasiums():
    family = make_family("half-cheetah-velocity")
    env = family.make(family.sample(1, seed=0)[0], render_mode="rgb_array")
    assert env.render_mode == "rgb_array"
