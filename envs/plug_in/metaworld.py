"""Meta-World's ML benchmarks. Nothing of Meta-World is imported until it is asked for.

Source: https://github.com/Farama-Foundation/Metaworld (3.1).
"""

import difflib
import pickle
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from types import ModuleType
from typing import Any

import gymnasium
import numpy as np

from metarl_gan.envs.distributions import Choice
from metarl_gan.envs.errors import FamilyError
from metarl_gan.envs.family import TaskFamily
from metarl_gan.envs.plug_in.task_contents import descriptors
from metarl_gan.envs.seeded_env import SeededEnv
from metarl_gan.envs.task import ParameterValue, Task
from metarl_gan.envs.task_env import TaskEnv, float32_box
from metarl_gan.envs.task_space import TaskSpace

_SEVERAL = ("ML10", "ML25", "ML45")

_Key = tuple[str, int]  # environment, goal


def metaworld_family(
    name: str,
    *,
    seed: int = 0,
    horizon: int | None = None,
    wrapper: Callable[[gymnasium.Env], gymnasium.Env] | None = None,
) -> TaskFamily:
    """A benchmark of Meta-World: "ML1/reach-v3" (or any other environment), "ML10", "ML45".

    Train tasks are the benchmark's `train_tasks`, test tasks its `test_tasks`: 50 goals of every
    environment, hidden from the observation. Parameters are the environment's name and the
    number of the goal; of ML1, goals from 50 on are the test tasks. Rewards are Meta-World's
    second version; `info["success"]` says whether a step finds the task solved. Making the goals
    of ML10 takes some ten seconds.

    Args:
        name: The benchmark.
        seed: What Meta-World draws the goals with.
        horizon: Time limit of an episode in steps, at most Meta-World's own, the default.
        wrapper: Called with each environment.

    Raises:
        FamilyError: Meta-World is not installed, has no such benchmark or environment, or ends
            episodes before `horizon`.
    """
    benchmark = _benchmark(name, seed)
    listing = _listing(benchmark, one=not name.startswith(_SEVERAL))
    return _MetaWorldFamily(f"metaworld-{name.replace('/', '-')}", listing, horizon, wrapper)


@dataclass(frozen=True, kw_only=True, eq=False)
class _Listing:
    """The tasks of a benchmark.

    Attributes:
        tasks: Meta-World's tasks by environment and number of the goal.
        classes: Meta-World's environments.
        space: Which task is in which split.
    """

    tasks: Mapping[_Key, Any]
    classes: Mapping[str, Callable[..., gymnasium.Env]]
    space: TaskSpace


class _MetaWorldFamily(TaskFamily):
    def __init__(
        self,
        name: str,
        listing: _Listing,
        horizon: int | None,
        wrapper: Callable[[gymnasium.Env], gymnasium.Env] | None,
    ) -> None:
        self._listing, self._wrapper = listing, wrapper
        first = next(iter(listing.tasks))
        probe = self._build(first, 1)
        longest = int(getattr(probe.unwrapped, "max_path_length"))  # noqa: B009 - not Gymnasium's
        if horizon is not None and horizon > longest:
            raise FamilyError(f"{name}: horizon is {horizon}; Meta-World's episodes have {longest}")
        super().__init__(
            name=name,
            task_space=listing.space,
            observation_space=float32_box(probe.observation_space),
            action_space=probe.action_space,
            horizon=longest if horizon is None else horizon,
        )
        probe.close()

    def make(self, task: Task, *, render_mode: str | None = None) -> gymnasium.Env:
        """One environment of `task`, with its time limit."""
        shown = {} if render_mode is None else {"render_mode": render_mode}
        return TaskEnv(self._build(_key(task.parameters), self.horizon, **shown), task)

    def retask(self, env: gymnasium.Env, task: Task) -> bool:
        """Set the goal; another robot's surroundings have to be made anew."""
        key = _key(task.parameters)
        if not isinstance(env, TaskEnv) or _key(env.task.parameters)[0] != key[0]:
            return False
        _assign(env, self._listing.tasks[key])
        env.task = task
        return True

    def _build(self, key: _Key, horizon: int, **options: Any) -> gymnasium.Env:  # noqa: ANN401
        env: gymnasium.Env = self._listing.classes[key[0]](**options)
        _assign(env, self._listing.tasks[key])
        env = SeededEnv(env)
        if self._wrapper is not None:
            env = self._wrapper(env)
        return gymnasium.wrappers.TimeLimit(env, horizon)


def _assign(env: gymnasium.Env, task: object) -> None:
    unwrapped: Any = env.unwrapped
    unwrapped.set_task(task)


def _metaworld(name: str) -> ModuleType:
    try:
        return import_module("metaworld")
    except ImportError as error:
        raise FamilyError(
            f"'metaworld/{name}' needs Meta-World ({error}): pip install metaworld packaging, in "
            "an environment with mujoco 3.3.0"
        ) from error


def _benchmark(name: str, seed: int) -> Any:  # noqa: ANN401 - Meta-World's
    package = _metaworld(name)
    if name in _SEVERAL:
        return getattr(package, name)(seed=seed)
    kind, _, environment = name.partition("/")
    if kind != "ML1":
        raise FamilyError(
            f"'metaworld/{name}' is no benchmark with train and test tasks; give one of "
            f"{[f'metaworld/{several}' for several in _SEVERAL]} or 'metaworld/ML1/reach-v3'"
        )
    known = list(package.ML1.ENV_NAMES)
    if environment not in known:
        near = difflib.get_close_matches(environment, known, n=3)
        hint = f"; did you mean {near}?" if near else f"; it has {known}"
        raise FamilyError(f"Meta-World has no environment {environment!r}{hint}")
    return package.ML1(environment, seed=seed)


def _listing(benchmark: Any, *, one: bool) -> _Listing:  # noqa: ANN401 - Meta-World's
    train = _numbered(benchmark.train_tasks, 0)
    # Of ML1, train and test tasks are of one environment: only their numbers tell them apart.
    test = _numbered(benchmark.test_tasks, len(train) if one else 0)
    tasks = {**train, **test}
    return _Listing(
        tasks=tasks,
        classes={**benchmark.train_classes, **benchmark.test_classes},
        space=TaskSpace(
            parameters=_choices(train),
            overrides={"test": _choices(test)},
            describe=_Descriptors(rows=_described(train, test)),
        ),
    )


def _numbered(tasks: list[Any], first: int) -> dict[_Key, Any]:
    counted: dict[str, int] = {}
    numbered = {}
    for task in tasks:
        number = counted[task.env_name] = counted.get(task.env_name, first - 1) + 1
        numbered[task.env_name, number] = task
    return numbered


def _choices(tasks: Mapping[_Key, Any]) -> dict[str, Choice]:
    names, goals = zip(*tasks, strict=True)
    return {
        "environment": Choice(list(dict.fromkeys(names))),
        "goal": Choice(sorted(set(goals))),
    }


@dataclass(frozen=True, kw_only=True, eq=False)
class _Descriptors:
    """The descriptor of each task."""

    rows: Mapping[_Key, np.ndarray]

    def __call__(self, parameters: Mapping[str, ParameterValue]) -> np.ndarray:
        key = _key(parameters)
        if key not in self.rows:
            names = list(dict.fromkeys(name for name, _ in self.rows))
            goals = [number for name, number in self.rows if name == key[0]]
            raise FamilyError(f"there is no task {key}; environments: {names}, goals: {goals}")
        return self.rows[key]


def _described(train: Mapping[_Key, Any], test: Mapping[_Key, Any]) -> dict[_Key, np.ndarray]:
    """By task: the place of its environment, then where goal and objects are, padded with 0."""
    names = list(dict.fromkeys(name for name, _ in [*train, *test]))
    vectors = {key: _goal(task) for key, task in {**train, **test}.items()}
    longest = max(len(vector) for vector in vectors.values())
    padded = [
        [names.index(key[0]), *vector, *np.zeros(longest - len(vector))]
        for key, vector in vectors.items()
    ]
    table = descriptors(padded, len(train))
    assert table is not None
    return dict(zip(vectors, table, strict=True))


def _goal(task: Any) -> np.ndarray:  # noqa: ANN401 - Meta-World's
    # Meta-World itself pickled this a moment ago, in this process; none comes from elsewhere.
    return np.asarray(pickle.loads(task.data)["rand_vec"], np.float64)  # noqa: S301


def _key(parameters: Mapping[str, ParameterValue]) -> _Key:
    return str(parameters["environment"]), int(parameters["goal"])
