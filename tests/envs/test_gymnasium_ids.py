"""Every registered family as Gymnasium's environment, by id."""

import subprocess
import sys
import warnings
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from metarl_gan.envs import FamilyError, list_families, make_family, register_family, registry
from metarl_gan.envs.gymnasium_ids import gymnasium_id
from metarl_gan.envs.registry import register_entry_points
from tests.envs.toys import Walk, family_of

POINT = "metarl_gan/PointGoal-v0"


@pytest.fixture(autouse=True)
def clean(monkeypatch):
    monkeypatch.setattr(registry, "_factories", dict(registry._factories))
    known = dict(gymnasium.registry)
    yield
    gymnasium.registry.clear()
    gymnasium.registry.update(known)


def task_of(env: gymnasium.Env) -> Any:
    return env.get_wrapper_attr("task")


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("half-cheetah-velocity", "metarl_gan/HalfCheetahVelocity-v0"),
        ("walker2d-physics", "metarl_gan/Walker2dPhysics-v0"),
        ("my_family 2", "metarl_gan/MyFamily2-v0"),
        ("CartPole", "metarl_gan/CartPole-v0"),
    ],
)
def test_ids_are_names_in_camel_case(name, expected):
    assert gymnasium_id(name) == expected


def test_importing_the_package_is_enough():
    code = (
        "import metarl_gan, gymnasium; "
        "print(gymnasium.make('metarl_gan/PointGoal-v0', task={'x': 0.25, 'y': 0}).spec.id)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == POINT


@pytest.mark.parametrize("name", list_families())
def test_every_family_has_an_environment_of_its_id(name):
    """It passes check_env, keeps the task, and its spec makes the same one anew."""
    family = make_family(name)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        check_env(gymnasium.make(gymnasium_id(name)), skip_render_check=True)
    env = gymnasium.make(gymnasium_id(name), split=family.splits[-1])
    env.reset(seed=3)
    [expected] = family.sample(1, split=family.splits[-1], seed=3)
    assert task_of(env) == expected
    spec = env.spec
    assert spec is not None
    assert (spec.id, spec.max_episode_steps) == (gymnasium_id(name), family.horizon)
    again = gymnasium.make(gymnasium.envs.registration.EnvSpec.from_json(spec.to_json()))
    assert task_of(again) == expected
    np.testing.assert_array_equal(again.reset(seed=5)[0], family.make(expected).reset(seed=5)[0])


@pytest.mark.parametrize("form", ["task", "parameters", "id", "id by hand"])
def test_a_task_is_given_in_any_form(form):
    family = make_family("point-goal")
    task = family.task(x=0.25, y=-0.1)
    given = {
        "task": task,
        "parameters": {"x": 0.25, "y": -0.1},
        "id": task.id,
        "id by hand": "point-goal/x=0.250,y=-1e-1",
    }[form]
    env = gymnasium.make(POINT, task=given)
    for seed in (0, 1):
        env.reset(seed=seed)
        assert task_of(env) == task
    _, reward, *_ = env.step(np.zeros(2, np.float32))
    assert reward == pytest.approx(-np.hypot(0.25, 0.1))


def test_the_first_reset_draws_a_task_that_later_ones_keep():
    env = gymnasium.make(POINT)
    assert task_of(env) is None
    env.reset(seed=7)
    assert task_of(env) == make_family("point-goal").sample(1, seed=7)[0]
    env.reset(seed=8)
    env.reset()
    assert task_of(env) == make_family("point-goal").sample(1, seed=7)[0]
    unseeded = gymnasium.make(POINT)
    unseeded.reset()
    assert task_of(unseeded).family == "point-goal"


def test_environments_of_make_vec_play_different_tasks():
    venv: Any = gymnasium.make_vec(POINT, num_envs=4, vectorization_mode="sync")
    venv.reset(seed=0)
    assert len(set(venv.get_attr("task"))) == 4
    assert venv.spec.id == POINT
    venv.close()


def test_a_whole_episode_is_that_of_the_family():
    family = make_family("pendulum-physics")
    [task] = family.sample(1, seed=2)
    ours, env = family.make(task), gymnasium.make("metarl_gan/PendulumPhysics-v0", task=task)
    ours.reset(seed=1)
    env.reset(seed=1)
    truncated = False
    for step in range(family.horizon):
        assert not truncated
        expected, result = (e.step(np.array([np.sin(step)], np.float32)) for e in (ours, env))
        np.testing.assert_array_equal(expected[0], result[0])
        truncated = result[3]
    assert truncated


def test_render_mode_is_passed_on():
    family = family_of(Rendered, name="rendered")
    register_family("rendered", lambda: family)
    env = gymnasium.make("metarl_gan/Rendered-v0", render_mode="rgb_array")
    env.reset(seed=0)
    assert env.render_mode == "rgb_array"
    assert np.asarray(env.render()).shape == (2, 2, 3)
    point = gymnasium.make(POINT, render_mode="rgb_array")
    point.reset(seed=0)
    assert np.asarray(point.render()).shape[-1] == 3
    with pytest.raises(FamilyError, match="point-slip cannot be rendered with render_mode='rgb"):
        gymnasium.make("metarl_gan/PointSlip-v0", render_mode="rgb_array")


class Rendered(Walk):
    metadata = {"render_modes": ["rgb_array"], "render_fps": 20}  # noqa: RUF012 - Gymnasium's way

    def __init__(self, scale=1.0, render_mode=None):
        super().__init__(scale)
        self.render_mode = render_mode

    def render(self):
        return np.zeros((2, 2, 3), np.uint8)


def test_options_reach_the_familys_factory():
    register_family("long-walk", lambda horizon=10: family_of(Walk, horizon=horizon))
    env = gymnasium.make("metarl_gan/LongWalk-v0", horizon=3)
    assert env.spec is not None
    assert env.spec.max_episode_steps == 3


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"task": {"x": 0.1}}, r"parameters \['y'\] are missing"),
        ({"task": "point-goal/x=0.1"}, "no task of 'point-goal' has the id 'point-goal/x=0.1'"),
        ({"task": "point-goal/x=a,y=b"}, "ids read 'point-goal/x=.*,y="),
        ({"task": 3}, "task is 3; give a Task, a mapping of parameters, an id, or None"),
        ({"split": "validation"}, "split 'validation' does not exist here"),
        ({"threads": 2}, r"unexpected keyword argument 'threads'; its options are \[\]"),
    ],
)
def test_what_is_no_task_is_explained(options, message):
    with pytest.raises(FamilyError, match=message):
        gymnasium.make(POINT, **options)


def test_a_task_of_another_family_is_refused():
    [task] = make_family("point-sparse").sample(1, seed=0)
    with pytest.raises(FamilyError, match=r"is of family 'point-sparse'; give one of 'point-goal'"):
        gymnasium.make(POINT, task=task)


def test_registering_a_family_registers_its_id():
    register_family("my-walk", lambda: family_of(Walk))
    env = gymnasium.make("metarl_gan/MyWalk-v0", task={"scale": 2.0})
    assert task_of(env).parameters == {"scale": 2.0}
    register_family("my-walk", lambda: family_of(Walk, horizon=3), replace=True)
    replaced = gymnasium.make("metarl_gan/MyWalk-v0").spec
    assert replaced is not None
    assert replaced.max_episode_steps == 3


def test_two_names_of_one_id_are_refused():
    register_family("my-walk", lambda: family_of(Walk))
    with pytest.raises(FamilyError, match="'metarl_gan/MyWalk-v0', is taken by 'my-walk'"):
        register_family("my_walk", lambda: family_of(Walk))
    assert "my_walk" not in list_families()
    with pytest.raises(FamilyError, match="a letter or a digit"):
        register_family("--", lambda: family_of(Walk))


def test_entry_points_have_ids_too(monkeypatch):
    monkeypatch.setattr(registry, "_entry_points", lambda: {"their-walk": "x:y", "point_goal": "x"})
    register_entry_points()
    assert gymnasium.registry["metarl_gan/TheirWalk-v0"].kwargs == {"family": "their-walk"}
    assert gymnasium.registry[POINT].kwargs == {"family": "point-goal"}
