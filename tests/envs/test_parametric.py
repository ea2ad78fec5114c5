from typing import Any

import gymnasium
import numpy as np
import pytest

from metarl_gan.envs import (
    Choice,
    FamilyError,
    LogUniform,
    ParametricFamily,
    Uniform,
    check_family,
    make_family,
)
from tests.envs.toys import Walk, family_of


def test_attributes_of_the_unwrapped_environment_are_set():
    family = ParametricFamily(
        "Pendulum-v1", {"g": Uniform(5.0, 15.0), "m": Uniform(0.5, 2.0)}, horizon=50
    )
    check_family(family)
    env: Any = family.make(family.task(g=9.0, m=0.7))
    assert (env.unwrapped.g, env.unwrapped.m) == (9.0, 0.7)
    env.reset()
    assert (env.unwrapped.g, env.unwrapped.m) == (9.0, 0.7)
    assert family.name == "Pendulum-v1"
    assert family.horizon == 50


def test_discrete_actions_and_early_ends():
    family = ParametricFamily("CartPole-v1", {"gravity": Uniform(5.0, 15.0)}, horizon=40)
    report = check_family(family)
    assert report.parameter_effects["gravity"] > 0
    venv = family.make_vec(family.sample(2, seed=0), 2)
    venv.reset(seed=0)
    for _ in range(40):
        _, _, terminated, truncated, _ = venv.step(np.ones(4, np.int64))
    assert not (terminated | truncated).any()  # over long before: always pushed one way


def test_paths_into_a_mujoco_model():
    family = ParametricFamily(
        "Hopper-v5",
        {
            "model.body_mass[torso]": Uniform(2.0, 5.0, unit="kg"),
            "model.opt.gravity[2]": Uniform(-12.0, -8.0, unit="m/s^2"),
            "model.dof_damping[foot_joint]": Uniform(0.5, 2.0),
        },
        horizon=30,
    )
    check_family(family)
    values = {
        "model.body_mass[torso]": 4.5,
        "model.opt.gravity[2]": -9.0,
        "model.dof_damping[foot_joint]": 1.5,
    }
    env: Any = family.make(family.task(**values))
    model = env.unwrapped.model
    assert model.body("torso").mass[0] == 4.5
    assert model.opt.gravity[2] == -9.0
    assert model.dof_damping[model.joint("foot_joint").dofadr[0]] == 1.5
    # What MuJoCo derives from masses has followed.
    assert model.body("torso").subtreemass[0] == pytest.approx(model.body_mass[1:].sum())


def hopper(parameters, **options):
    return ParametricFamily("Hopper-v5", parameters, horizon=30, **options)


def untouched_hopper() -> Any:
    env: Any = gymnasium.make("Hopper-v5").unwrapped
    return env.model


def test_factors_are_of_what_the_environment_was_built_with():
    family = hopper(
        {
            "model.dof_damping *": LogUniform(0.5, 2.0),
            "model.body_mass[torso]*": Uniform(0.5, 2.0),
            "model.opt.gravity[2] *": Uniform(0.9, 1.1),
            "model.opt.timestep *": Uniform(0.5, 1.5),
        }
    )
    env: Any = family.make(family.sample(1, seed=0)[0])
    built = untouched_hopper()
    for damping, mass, gravity, step in [(2.0, 0.5, 1.1, 1.5), (0.5, 2.0, 0.9, 0.5), (1, 1, 1, 1)]:
        names = dict(zip(family.parameters, (damping, mass, gravity, step), strict=True))
        fresh: Any = family.make(family.task(**names))
        assert family.retask(env, family.task(**names))
        for model in (env.unwrapped.model, fresh.unwrapped.model):
            assert model.dof_damping == pytest.approx(damping * built.dof_damping)
            assert model.body("torso").mass[0] == pytest.approx(mass * built.body("torso").mass[0])
            assert model.body("foot").mass[0] == built.body("foot").mass[0]
            assert model.opt.gravity == pytest.approx([0, 0, gravity * -9.81])
            assert model.opt.timestep == pytest.approx(step * built.opt.timestep)
            # What MuJoCo derives from masses has followed.
            assert model.body("torso").subtreemass[0] == pytest.approx(model.body_mass[1:].sum())


def test_factors_and_values_of_one_place_are_applied_in_order():
    family = hopper(
        {
            "model.body_mass[torso]": Uniform(1.0, 9.0),
            "model.body_mass *": Uniform(0.5, 3.0),
            "model.body_mass[foot] *": Uniform(0.5, 3.0),
        }
    )
    foot = untouched_hopper().body("foot").mass[0]
    env: Any = family.make(family.sample(1, seed=0)[0])
    for _ in range(2):
        values = (4.0, 2.0, 3.0)
        family.retask(env, family.task(**dict(zip(family.parameters, values, strict=True))))
        assert env.unwrapped.model.body("torso").mass[0] == pytest.approx(8.0)
        assert env.unwrapped.model.body("foot").mass[0] == pytest.approx(6.0 * foot)


def test_a_value_fills_a_whole_array():
    family = hopper({"model.dof_damping": Uniform(0.5, 2.0)})
    env: Any = family.make(family.task(**{"model.dof_damping": 1.25}))
    assert env.unwrapped.model.dof_damping.tolist() == [1.25] * 6


class Weighted(Walk):
    """Has an array of its own."""

    weights = np.ones(3)


def test_a_value_fills_the_array_of_one_environment_alone(monkeypatch):
    monkeypatch.setattr(gymnasium.envs.registration, "registry", dict(gymnasium.registry))
    entry: Any = Weighted
    gymnasium.register("Weighted-v0", entry)
    family = ParametricFamily("Weighted-v0", {"weights": Uniform(0.5, 2.0)}, horizon=9)
    env: Any = family.make(family.task(weights=1.25))
    assert env.unwrapped.weights.tolist() == [1.25] * 3
    assert Weighted.weights.tolist() == [1.0] * 3
    for name, weights in (("weights *", [2.0] * 3), ("weights[1] *", [1.0, 2.0, 1.0])):
        family = ParametricFamily("Weighted-v0", {name: Uniform(0.5, 2.0)}, horizon=9)
        other: Any = family.make(family.task(**{name: 2.0}))
        assert other.unwrapped.weights.tolist() == weights
        assert Weighted.weights.tolist() == [1.0] * 3


def test_arguments_of_the_constructor():
    parameters = {"kwargs.forward_reward_weight": Uniform(0.5, 2.0)}
    family = hopper({**parameters, "model.dof_damping *": Uniform(0.5, 2.0)})
    name = "kwargs.forward_reward_weight"
    one = family.task(**{name: 1.5, "model.dof_damping *": 2.0})
    env: Any = family.make(one)
    assert env.unwrapped._forward_reward_weight == 1.5
    assert env.unwrapped.model.dof_damping[3] == 2.0
    assert not family.retask(env, one)  # has to be made anew
    venv = family.make_vec(family.sample(2, seed=0), backend="sync")
    venv.reset(seed=0)
    venv.set_tasks(family.sample(2, seed=1))
    venv.reset(seed=0)
    rebuilt = venv.step(np.ones((2, 3), np.float32))[1]
    fresh = family.make_vec(family.sample(2, seed=1), backend="sync")
    fresh.reset(seed=0)
    assert rebuilt.tolist() == fresh.step(np.ones((2, 3), np.float32))[1].tolist()


class Wind(gymnasium.Wrapper):
    """Blows on the reward, and skips a step."""

    def __init__(self, env, wind=0.0):
        super().__init__(env)
        self.wind = wind

    def step(self, action) -> Any:
        self.env.step(action)
        observation, reward, *rest = self.env.step(action)
        return observation, float(reward) + self.wind, *rest


def test_a_wrapper_with_parameters_of_its_own():
    family = ParametricFamily(
        "Pendulum-v1",
        {"wrapper.wind": Uniform(100.0, 200.0), "g": Uniform(5.0, 15.0)},
        horizon=7,
        wrapper=Wind,
    )
    task = family.task(**{"wrapper.wind": 150.0, "g": 9.0})
    env: Any = family.make(task)
    env.reset(seed=0)
    steps = [env.step(np.zeros(1, np.float32)) for _ in range(7)]
    assert env.unwrapped.g == 9.0
    assert steps[0][1] > 100
    assert [step[3] for step in steps] == [False] * 6 + [True]  # the horizon counts its steps
    assert not family.retask(env, task)


def test_a_wrapper_without_parameters_leaves_tasks_replaceable():
    family = family_of(Walk, wrapper=Wind)
    env: Any = family.make(family.task(scale=1.5))
    env.reset(seed=0)
    assert env.step(np.ones(1, np.float32))[0][0] == 2
    pendulum_family = ParametricFamily(
        "Pendulum-v1", {"g": Uniform(5.0, 15.0)}, horizon=7, wrapper=Wind
    )
    other: Any = pendulum_family.make(pendulum_family.task(g=5.0))
    assert pendulum_family.retask(other, pendulum_family.task(g=6.0))
    assert other.unwrapped.g == 6.0


def test_a_callable_makes_the_environment():
    def lab(scale, length):
        return Walk(scale, length)

    family = ParametricFamily(
        lab, {"scale": Uniform(0.5, 2.0), "length": Choice([3, 5])}, horizon=8
    )
    assert family.name == "lab"
    env = family.make(family.task(scale=1.5, length=3))
    env.reset(seed=0)
    steps = [env.step(np.array([1.0], np.float32)) for _ in range(3)]
    assert [step[1] for step in steps] == [1.5] * 3
    assert [step[2] for step in steps] == [False, False, True]
    assert steps[0][0].dtype == np.float32


def test_the_horizon_is_kept():
    family = family_of(Walk, horizon=4)
    env = family.make(family.sample(1, seed=0)[0])
    env.reset(seed=0)
    assert [env.step(np.zeros(1, np.float32))[3] for _ in range(4)] == [False] * 3 + [True]


def test_ranges_may_differ_per_split():
    family = ParametricFamily(
        "Pendulum-v1",
        {"g": Uniform(5.0, 15.0), "m": Uniform(0.5, 2.0)},
        horizon=20,
        splits={"ood": {"g": Uniform(15.0, 20.0)}},
    )
    assert family.splits == ("train", "test", "ood")
    tasks = family.sample(50, split="ood", seed=0)
    assert all(15 < float(task.parameters["g"]) <= 20 for task in tasks)
    assert all(task.descriptor[0] > 1 for task in tasks)
    check_family(family)


def test_one_split_can_be_enough():
    family = family_of(Walk, {"scale": Choice([1, 2])}, splits=("train",))
    assert family.splits == ("train",)
    check_family(family)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: pendulum({"gg": Uniform(0.0, 1.0)}), r"no attribute 'gg'; did you mean \['g'\]"),
        (lambda: pendulum({"g": Uniform(0.0, 1.0)}, env="Pendulum-v77"), "cannot be made"),
        (lambda: pendulum({"g.": Uniform(0.0, 1.0)}), "is no attribute"),
        (lambda: pendulum({"state[77]": Uniform(0.0, 1.0)}), "cannot be set|no attribute"),
        (lambda: pendulum({"g[x]": Uniform(0.0, 1.0)}), "nothing is called 'x'"),
        (
            lambda: pendulum({"model.body_mass[tors]": Uniform(0.0, 1.0)}, env="Hopper-v5"),
            "nothing is called 'tors'.*torso",
        ),
        (lambda: pendulum({"g": Uniform(0.0, 1.0)}, env=lambda g: g), "no gymnasium.Env"),
        (lambda: pendulum({"l *": Choice(["x", "y"])}), "cannot multiply 1.0 by '[xy]'"),
        (lambda: pendulum({"render_mode *": Uniform(0.0, 1.0)}), "cannot multiply None"),
        (lambda: pendulum({"gg *": Uniform(0.0, 1.0)}), "no attribute 'gg'"),
        (lambda: pendulum({"kwargs.gg": Uniform(0.0, 1.0)}), "cannot be made: TypeError.*gg"),
        (lambda: pendulum({"wrapper.gg": Uniform(0.0, 1.0)}), "are for a wrapper; give wrapper="),
        (
            lambda: family_of(Walk, {"kwargs.scale": Uniform(0.5, 2.0)}),
            "no keyword arguments of a callable",
        ),
        (lambda: family_of(Walk, {"sale": Uniform(0.5, 2.0)}), "of sale=.*TypeError.*'sale'"),
        (lambda: family_of(Walk, wrapper=lambda env: 3), "returned 3, which is no gymnasium.Env"),
        (lambda: family_of(Walk, horizon=0), "horizon is 0"),
    ],
)
def test_what_cannot_be_made_is_refused_at_once(build, message):
    with pytest.raises(FamilyError, match=message):
        build()


def pendulum(parameters, env="Pendulum-v1"):
    return ParametricFamily(env, parameters, horizon=10)


def test_the_specification_does_not_lead_to_another_task():
    env = make_family("pendulum-physics").make(make_family("pendulum-physics").sample(1, seed=0)[0])
    assert env.spec is None
    assert isinstance(env, gymnasium.Env)
