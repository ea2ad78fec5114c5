"""Meta-World and CARL by stand-ins with their interfaces; tests/optional has the packages."""

import pickle
import sys
from types import ModuleType, SimpleNamespace
from typing import Any, NamedTuple

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces

from metarl_gan.envs import Choice, FamilyError, TaskFamily, Uniform, check_family, make_family
from tests.envs.foreign import Line


class MetaTask(NamedTuple):
    env_name: str
    data: bytes


class Robot(Line):
    """As Meta-World's: no seed is heeded, and there is no task until one is set."""

    max_path_length = 20
    _last_rand_vec: Any = None

    def set_task(self, task):
        self._last_rand_vec = pickle.loads(task.data)["rand_vec"]  # noqa: S301 - made below
        self.goal = float(self._last_rand_vec[-1])

    def reset(self, seed=None, options=None):
        if self._last_rand_vec is None:
            raise RuntimeError("you must call set_task")
        self.x = 0.0
        return np.array([self.x]), {}

    def step(self, action) -> Any:
        observation, reward, *rest, _ = super().step(action)
        return observation, reward, *rest, {"success": float(reward > -0.05)}


class OtherRobot(Robot):
    """Another environment of the benchmark."""


def tasks_of(name, seed, size=1):
    rng = np.random.default_rng([seed, len(name)])
    vectors = rng.uniform(-1, 1, (5, size))
    return [MetaTask(name, pickle.dumps({"rand_vec": vector})) for vector in vectors]


class ML1:
    ENV_NAMES = ("reach-v3", "push-v3")

    def __init__(self, name, seed):
        self.train_classes = self.test_classes = {name: Robot}
        self.train_tasks, self.test_tasks = tasks_of(name, seed), tasks_of(name, seed + 1)


class ML10:
    def __init__(self, seed):
        self.train_classes = {"reach-v3": Robot, "push-v3": OtherRobot}
        self.test_classes = {"door-v3": OtherRobot}
        self.train_tasks = tasks_of("reach-v3", seed) + tasks_of("push-v3", seed, 3)
        self.test_tasks = tasks_of("door-v3", seed, 2)


@pytest.fixture
def metaworld(monkeypatch):
    module: Any = ModuleType("metaworld")
    module.ML1, module.ML10 = ML1, ML10
    monkeypatch.setitem(sys.modules, "metaworld", module)
    return module


def goals_of(family: TaskFamily, split: str) -> dict[str, float]:
    goals = {}
    for task in family.sample(50, split=split, seed=0):
        env: Any = family.make(task)
        goals[task.id.partition("/")[2]] = env.unwrapped.goal
    return goals


def test_goals_of_one_environment_are_told_apart_by_number(metaworld):
    family = make_family("metaworld/ML1/reach-v3")
    assert family.name == "metaworld-ML1-reach-v3"
    assert family.horizon == 20
    for split, first, tasks in (
        ("train", 0, ML1("reach-v3", 0).train_tasks),
        ("test", 5, ML1("reach-v3", 0).test_tasks),
    ):
        vectors = [pickle.loads(task.data)["rand_vec"][-1] for task in tasks]  # noqa: S301
        assert goals_of(family, split) == {
            f"environment=reach-v3,goal={first + place}": vector
            for place, vector in enumerate(vectors)
        }
    assert goals_of(make_family("metaworld/ML1/reach-v3", seed=7), "train") != goals_of(
        family, "train"
    )
    check_family(family)


def test_several_environments_are_a_family(metaworld):
    family = make_family("metaworld/ML10", horizon=6)
    train, test = goals_of(family, "train"), goals_of(family, "test")
    assert (len(train), len(test)) == (10, 5)
    assert all("door-v3" in name for name in test)
    one = family.task(environment="reach-v3", goal=0)
    assert one.descriptor.shape == (4,)  # the environment, and three numbers at most
    env: Any = family.make(one)
    assert family.retask(env, family.task(environment="reach-v3", goal=1))
    assert env.unwrapped.goal == train["environment=reach-v3,goal=1"]
    assert not family.retask(env, family.task(environment="push-v3", goal=1))
    assert isinstance(family.make(family.task(environment="push-v3", goal=1)).unwrapped, OtherRobot)
    with pytest.raises(FamilyError, match=r"no task \('reach-v3', 9\)"):
        family.task(environment="reach-v3", goal=9)


def test_success_is_told_by_the_family(metaworld):
    family = make_family("metaworld/ML1/reach-v3")
    venv = family.make_vec([family.task(environment="reach-v3", goal=goal) for goal in (0, 1)])
    venv.reset(seed=0)
    goals = [goals_of(family, "train")[f"environment=reach-v3,goal={goal}"] for goal in (0, 1)]
    way = np.sign(goals) * [1, -1]  # towards the first, away from the second
    told = [venv.step(way[:, None].astype(np.float32))[4]["success"] for _ in range(20)]
    assert np.any(told, axis=0).tolist() == [True, False]


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("metaworld/ML1/reech-v3", {}, r"did you mean \['reach-v3'\]"),
        ("metaworld/MT10", {}, "no benchmark with train and test tasks"),
        ("metaworld/ML10", {"horizon": 21}, "horizon is 21; Meta-World's episodes have 20"),
    ],
)
def test_benchmarks_that_are_not_there(metaworld, name, options, message):
    with pytest.raises(FamilyError, match=message):
        make_family(name, **options)


@pytest.mark.parametrize(
    ("name", "package", "message"),
    [
        ("metaworld/ML10", "metaworld", "needs Meta-World .*pip install metaworld packaging"),
        ("carl/CARLPendulum", "carl", "needs CARL .*pip install --no-deps carl-bench"),
    ],
)
def test_packages_that_are_not_installed_are_named(monkeypatch, name, package, message):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(FamilyError, match=message):
        make_family(name)


class CARLPendulum(gymnasium.Wrapper):
    """As CARL's: a context is chosen at reset, set as attributes, and observed beside the state."""

    def __init__(self, contexts, obs_context_features):
        super().__init__(gymnasium.make("Pendulum-v1"))
        self.contexts, self.shown = contexts, obs_context_features
        context: dict[str, spaces.Space] = {name: spaces.Box(-1e3, 1e3) for name in self.shown}
        self.observation_space = spaces.Dict(
            {"obs": self.env.observation_space, "context": spaces.Dict(context)}
        )

    @staticmethod
    def get_context_features():
        features = [
            ("g", 0.0, np.inf, 10.0),
            ("gravity", -np.inf, np.inf, 8.0),
            ("m", 0.1, 2.0, 1.0),
        ]
        described = [
            SimpleNamespace(name=name, lower=lower, upper=upper, default_value=default)
            for name, lower, upper, default in features
        ]
        kind = SimpleNamespace(name="kind", choices=("a", "b"), default_value="a")
        steps = SimpleNamespace(name="steps", lower=1, upper=3, default_value=2)
        return {feature.name: feature for feature in [*described, kind, steps]}

    @classmethod
    def get_default_context(cls):
        return {name: feature.default_value for name, feature in cls.get_context_features().items()}

    def reset(self, *, seed=None, options=None):
        for name, value in self.contexts[0].items():
            setattr(self.env.unwrapped, name, value)
        state, info = self.env.reset(seed=seed, options=options)
        return self._shown(state), info

    def step(self, action) -> Any:
        state, *rest = self.env.step(action)
        return self._shown(state), *rest

    def _shown(self, state) -> Any:
        return {"obs": state, "context": {name: self.contexts[0][name] for name in self.shown}}


def test_contexts_are_parameters_and_hidden():
    family = make_family(CARLPendulum, context={"g": (5, 15), "m": Uniform(0.5, 2.0)})
    assert family.name == "CARLPendulum"
    assert family.horizon == 200
    assert family.parameters == {"g": Uniform(5.0, 15.0), "m": Uniform(0.5, 2.0)}
    assert family.observation_space.shape == (3,)
    env: Any = family.make(family.task(g=7.0, m=0.75))
    env.reset(seed=0)
    assert (env.unwrapped.g, env.unwrapped.m, env.unwrapped.gravity) == (7.0, 0.75, 8.0)


def test_bounds_are_ranges_where_they_are_finite():
    family = make_family(CARLPendulum)
    assert dict(family.parameters) == {
        "m": Uniform(0.1, 2.0),
        "kind": Choice(["a", "b"]),
        "steps": Choice([1, 2, 3]),
    }
    assert list(make_family(CARLPendulum, context=["m"]).parameters) == ["m"]


def test_a_context_that_does_nothing_is_found():
    family = make_family(CARLPendulum, context={"g": (5, 15), "gravity": (5, 15)}, horizon=5)
    with pytest.raises(FamilyError, match="'gravity'"):
        check_family(family)


@pytest.mark.parametrize(
    ("context", "message"),
    [
        (["g"], r"no finite bounds to \['g'\].*g \(0…inf, default 10"),
        (["gee"], r"no context features \['gee'\]"),
        ({"m": (1, 3)}, "'m' lies in 0.1…2; Uniform"),
        ({"m": 3}, r"'m' is 3; give \(low, high\)"),
    ],
)
def test_contexts_that_are_not_there(context, message):
    with pytest.raises(FamilyError, match=message):
        make_family(CARLPendulum, context=context)


def test_environments_of_carl_are_found_by_name(monkeypatch):
    package: Any = ModuleType("carl.envs")
    package.CARLPendulum, package.check_spec = CARLPendulum, len
    monkeypatch.setitem(sys.modules, "carl", ModuleType("carl"))
    monkeypatch.setitem(sys.modules, "carl.envs", package)
    assert list(make_family("carl/CARLPendulum", context=["m"]).parameters) == ["m"]
    with pytest.raises(FamilyError, match=r"no environment 'Pendulum'; did you mean \['CARLPend"):
        make_family("carl/Pendulum")
    with pytest.raises(FamilyError, match=r"no environment 'check_spec'; here it has"):
        make_family("carl/check_spec")
