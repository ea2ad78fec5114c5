"""The task interfaces of other meta-RL code, told apart by their methods."""

import copy
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import gymnasium

from metarl_gan.envs.errors import FamilyError


class TaskApi(ABC):
    """How an environment of one of these interfaces names its tasks, and is given one.

    Tasks are whatever the interface calls so: numbers, vectors, dictionaries, indices, objects.
    """

    methods: Sequence[str]
    """What an environment must have to be one of these."""

    @abstractmethod
    def draw(self, env: gymnasium.Env, n: int) -> list[Any]:
        """About `n` tasks; an interface that knows all of its tasks gives all."""

    @abstractmethod
    def assign(self, env: gymnasium.Env, task: Any) -> None:  # noqa: ANN401 - the interface's own
        """Have `env` play `task` from its next reset on."""

    def contents(self, env: gymnasium.Env, tasks: Sequence[Any]) -> list[Any]:
        """What the tasks consist of, in place of names of tasks."""
        return list(tasks)


class SetTask(TaskApi):
    """`sample_tasks(n)` and `set_task(task)`: garage, learn2learn, ProMP, RLlib."""

    methods = ("sample_tasks", "set_task")

    def draw(self, env: gymnasium.Env, n: int) -> list[Any]:
        return list(_owner(env, self).sample_tasks(n))

    def assign(self, env: gymnasium.Env, task: Any) -> None:  # noqa: ANN401
        _owner(env, self).set_task(task)


class ResetIndex(TaskApi):
    """`get_all_task_idx()` and `reset_task(index)`: PEARL. The tasks exist from the start."""

    methods = ("get_all_task_idx", "reset_task")

    def draw(self, env: gymnasium.Env, n: int) -> list[Any]:
        return list(_owner(env, self).get_all_task_idx())

    def assign(self, env: gymnasium.Env, task: Any) -> None:  # noqa: ANN401
        _owner(env, self).reset_task(task)

    def contents(self, env: gymnasium.Env, tasks: Sequence[Any]) -> list[Any]:
        """PEARL's environments keep their tasks in the list `tasks`."""
        known = getattr(_owner(env, self), "tasks", None)
        counted = list(tasks) == list(range(len(tasks)))
        listed = isinstance(known, Sequence) and len(known) == len(tasks)
        return list(known) if counted and listed else list(tasks)


class ResetTask(TaskApi):
    """`get_task()` and `reset_task(task)`, where `reset_task(None)` draws one: VariBAD."""

    methods = ("get_task", "reset_task")

    def draw(self, env: gymnasium.Env, n: int) -> list[Any]:
        owner, drawn = _owner(env, self), []
        for _ in range(n):
            owner.reset_task(None)
            drawn.append(copy.deepcopy(owner.get_task()))
        return drawn

    def assign(self, env: gymnasium.Env, task: Any) -> None:  # noqa: ANN401
        _owner(env, self).reset_task(task)


# Environments with several are taken by the first: the drawn tasks say more than an index.
TASK_APIS: tuple[TaskApi, ...] = (SetTask(), ResetIndex(), ResetTask())


def find_task_api(env: gymnasium.Env) -> TaskApi:
    """The interface that `env`, or an environment that it wraps, has.

    Raises `FamilyError` if it has none.
    """
    for api in TASK_APIS:
        if _find(env, api.methods) is not None:
            return api
    wanted = "; or ".join(" and ".join(f"{name}()" for name in api.methods) for api in TASK_APIS)
    raise FamilyError(
        f"{type(env.unwrapped).__name__} has none of the task interfaces that are known: {wanted}. "
        "Give it one of them, or say what varies: ParametricFamily(make_env, {…}, horizon=…)"
    )


def _owner(env: gymnasium.Env, api: TaskApi) -> Any:  # noqa: ANN401 - known by its methods alone
    owner = _find(env, api.methods)
    assert owner is not None, "the interface was found before"
    return owner


def _find(env: gymnasium.Env, methods: Sequence[str]) -> object | None:
    layer = env
    while not all(callable(getattr(layer, name, None)) for name in methods):
        if not isinstance(layer, gymnasium.Wrapper):
            return None
        layer = layer.env
    return layer
