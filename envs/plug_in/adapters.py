"""Environments that bring tasks of their own, by another package's interface, as a family."""

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeAlias, TypeGuard

import gymnasium
import numpy as np
from gymnasium.utils.seeding import np_random

from metarl_gan.envs.distributions import Choice
from metarl_gan.envs.errors import FamilyError
from metarl_gan.envs.family import TaskFamily
from metarl_gan.envs.plug_in.global_random import global_generators
from metarl_gan.envs.plug_in.old_gym import require_gymnasium, require_new_api
from metarl_gan.envs.plug_in.task_apis import TaskApi, find_task_api
from metarl_gan.envs.plug_in.task_contents import descriptors, distinct, identity
from metarl_gan.envs.seeded_env import SeededEnv
from metarl_gan.envs.task import ParameterValue, Task
from metarl_gan.envs.task_env import TaskEnv, float32_box
from metarl_gan.envs.task_space import TaskSpace

Source: TypeAlias = Callable[..., gymnasium.Env] | gymnasium.Env

_DRAWN = 100
_TIME_LIMITS = ("max_path_length", "_max_episode_steps", "max_episode_steps", "horizon")


def is_environment(found: object) -> TypeGuard[Source]:
    """Whether this is an environment or the class of one, of Gymnasium or not."""
    return all(callable(getattr(found, name, None)) for name in ("reset", "step"))


def adapt_family(
    source: Source,
    *,
    horizon: int | None = None,
    name: str | None = None,
    train: int | None = None,
    test: int | None = None,
    seed: int = 0,
    wrapper: Callable[[gymnasium.Env], gymnasium.Env] | None = None,
) -> TaskFamily:
    """The family of an environment that knows its tasks.

    It is known by its methods: `sample_tasks(n)` and `set_task(task)` (garage, learn2learn,
    ProMP, RLlib); `get_all_task_idx()` and `reset_task(index)` (PEARL); `get_task()` and
    `reset_task(task)`, where `reset_task(None)` draws one (VariBAD).

    Tasks are drawn once, here, whatever generator the environment draws from, and equal ones are
    dropped: every process plays the same ones. The parameter `task` is the place of a task in
    that list; its descriptor, the numbers that it is made of, if it is.

    Args:
        source: The class, a function that makes one, or an environment, which is copied.
        horizon: Time limit of an episode in steps; the environment's own, if it tells, by
            default.
        name: The family's name; that of the class or function by default.
        train: How many of the first tasks are train tasks; by default those that are no test
            tasks.
        test: How many of the last tasks are test tasks; by default the rest after `train`, or,
            where that is not given either, a fifth, and none of fewer than five.
        seed: What tasks are drawn with. Global random generators are left as they were.
        wrapper: Called with each environment, e.g. `flatten_observations`.

    Raises:
        FamilyError: An environment of the old `gym`, or with none of these interfaces; tasks that
            differ from one environment to the next; fewer distinct ones than asked for.
    """
    maker = _Maker(source=source, seed=seed, wrapper=wrapper)
    name = (name or maker.name).replace("/", "-")
    drawn = _draw_twice(maker, name, max(_DRAWN, (train or 0) + (test or 0)), horizon)
    places = distinct(drawn.contents)
    n_train, n_test = _split(name, len(places), train, test)
    chosen = [*places[:n_train], *places[len(places) - n_test :]]
    table = descriptors([drawn.contents[place] for place in chosen], n_train)
    return _AdaptedFamily(
        name=name,
        maker=maker,
        api=drawn.api,
        tasks={place: drawn.tasks[place] for place in chosen},
        n_train=n_train,
        rows=None if table is None else dict(zip(chosen, table, strict=True)),
        horizon=drawn.horizon,
    )


@dataclass(frozen=True, kw_only=True)
class _Maker:
    """Makes environments that are alike, although their constructors may draw at random."""

    source: Source
    seed: int
    wrapper: Callable[[gymnasium.Env], gymnasium.Env] | None

    @property
    def name(self) -> str:
        name = getattr(self.source, "__name__", None)
        return name if name and name.isidentifier() else type(self.source).__name__

    def make(self, **options: Any) -> gymnasium.Env:  # noqa: ANN401 - the constructor's own
        with global_generators(self.seed):
            env = require_gymnasium(self._raw(options))
            return env if self.wrapper is None else self.wrapper(env)

    def _raw(self, options: Mapping[str, Any]) -> object:
        if isinstance(self.source, type) or not isinstance(self.source, gymnasium.Env):
            made: object = self.source
            return made(**options) if callable(made) else made
        try:
            return copy.deepcopy(self.source)
        except Exception as error:
            raise FamilyError(
                f"{self.source} cannot be copied ({error}); give its class, or a function that "
                "makes one"
            ) from error


@dataclass(frozen=True, kw_only=True, eq=False)
class _Descriptors:
    """The descriptor of each task, by its place."""

    rows: Mapping[int, np.ndarray]

    def __call__(self, parameters: Mapping[str, ParameterValue]) -> np.ndarray:
        place = int(parameters["task"])
        if place not in self.rows:
            raise FamilyError(f"there is no task {place}; there are {sorted(self.rows)}")
        return self.rows[place]


class _AdaptedFamily(TaskFamily):
    def __init__(
        self,
        *,
        name: str,
        maker: _Maker,
        api: TaskApi,
        tasks: Mapping[int, Any],
        n_train: int,
        rows: Mapping[int, np.ndarray] | None,
        horizon: int,
    ) -> None:
        places = list(tasks)
        test = {"test": {"task": Choice(places[n_train:])}} if len(places) > n_train else {}
        self._maker, self._api, self._tasks = maker, api, dict(tasks)
        self._time_limit = horizon
        probe = self._build(places[0])
        super().__init__(
            name=name,
            task_space=TaskSpace(
                parameters={"task": Choice(places[:n_train])},
                overrides=test,
                splits=("train", *test),
                describe=None if rows is None else _Descriptors(rows=rows),
            ),
            observation_space=float32_box(probe.observation_space),
            action_space=probe.action_space,
            horizon=horizon,
        )
        probe.close()

    def make(self, task: Task, *, render_mode: str | None = None) -> gymnasium.Env:
        """One environment of `task`, with its time limit."""
        shown = {} if render_mode is None else {"render_mode": render_mode}
        return TaskEnv(self._build(self._place(task), **shown), task)

    def retask(self, env: gymnasium.Env, task: Task) -> bool:
        """Give `env` the task."""
        self._api.assign(env, self._tasks[self._place(task)])
        if isinstance(env, TaskEnv):
            env.task = task
        return True

    def _build(self, place: int, **options: Any) -> gymnasium.Env:  # noqa: ANN401
        env = self._maker.make(**options)
        self._api.assign(env, self._tasks[place])
        return gymnasium.wrappers.TimeLimit(SeededEnv(env), self._time_limit)

    def _place(self, task: Task) -> int:
        place = int(task.parameters["task"])
        if place not in self._tasks:
            raise FamilyError(f"{self.name} has no task {place}; it has {sorted(self._tasks)}")
        return place


@dataclass(frozen=True, kw_only=True, eq=False)
class _Drawn:
    """What an environment told of its tasks."""

    api: TaskApi
    tasks: Sequence[Any]
    contents: Sequence[Any]
    horizon: int


def _draw_twice(maker: _Maker, name: str, n: int, horizon: int | None) -> _Drawn:
    """About `n` tasks of one environment, if another one draws the same, and one can be played."""
    with _explained(f"{name}: an environment cannot be made"):
        env, other = maker.make(), maker.make()
    api = find_task_api(env)
    with _explained(f"{name}: drawing tasks failed"):
        tasks, contents = _draw(api, env, n, maker.seed)
        again = _draw(api, other, n, maker.seed)[1]
    if list(map(identity, contents)) != list(map(identity, again)):
        raise FamilyError(
            f"{name}: two environments draw different tasks under one seed, so that a task would "
            "be another one in each process; draw them from np.random, random or self.np_random"
        )
    with _explained(f"{name}: the first task cannot be played"):
        api.assign(env, tasks[0])
        require_new_api(env, seed=maker.seed)
    found = _Drawn(
        api=api, tasks=tasks, contents=contents, horizon=horizon or _time_limit(env, name)
    )
    env.close()
    other.close()
    return found


def _draw(api: TaskApi, env: gymnasium.Env, n: int, seed: int) -> tuple[Sequence, Sequence]:
    """About `n` tasks and what they consist of; the same ones from environments that are alike."""
    env.unwrapped.np_random = np_random(seed)[0]
    with global_generators(seed):
        tasks = api.draw(env, n)
    if not tasks:
        raise FamilyError(f"{type(env.unwrapped).__name__}.{api.methods[0]}() gave no task")
    return tasks, api.contents(env, tasks)


def _split(name: str, n: int, train: int | None, test: int | None) -> tuple[int, int]:
    """How many of `n` tasks are train and test tasks."""
    if test is None:
        test = n // 5 if train is None else n - train
    if train is None:
        train = n - test
    if train < 1 or test < 0 or train + test > n:
        raise FamilyError(
            f"{name} has {n} distinct tasks; asked for {train} to train on and {test} to test on"
        )
    return train, test


def _time_limit(env: gymnasium.Env, name: str) -> int:
    if env.spec is not None and env.spec.max_episode_steps:
        return env.spec.max_episode_steps
    layer = env
    while True:
        for attribute in _TIME_LIMITS:
            found = getattr(layer, attribute, None)
            if isinstance(found, int) and found > 0:
                return found
        if not isinstance(layer, gymnasium.Wrapper):
            break
        layer = layer.env
    raise FamilyError(f"{name} does not tell its time limit; give horizon=, in steps")


@contextmanager
def _explained(what: str) -> Iterator[None]:
    """Turn whatever a user's environment raises into a `FamilyError` that says what was tried."""
    try:
        yield
    except FamilyError:
        raise
    except Exception as error:
        raise FamilyError(f"{what}: {type(error).__name__}: {error}") from error
