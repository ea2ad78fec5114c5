"""A task of a family from what a user has in hand: its id, its parameters, or itself."""

import re
from collections.abc import Mapping

from metarl_gan.envs.distributions import Choice, Distribution
from metarl_gan.envs.errors import FamilyError
from metarl_gan.envs.family import TaskFamily
from metarl_gan.envs.task import ParameterValue, Task, parameter_text


def find_task(family: TaskFamily, task: Task | Mapping[str, ParameterValue] | str) -> Task:
    """The task of `family` that `task` is, whose parameters it holds, or whose id it is.

    >>> from metarl_gan.envs import make_family
    >>> find_task(make_family("point-goal"), "point-goal/x=0.25,y=-0.1").parameters
    {'x': 0.25, 'y': -0.1}

    Raises `FamilyError` for a task of another family, missing or unknown parameters, and what is
    no task's id.
    """
    if isinstance(task, Task):
        if task.family != family.name:
            raise FamilyError(
                f"task {task.id} is of family {task.family!r}; give one of {family.name!r}"
            )
        return task
    if isinstance(task, Mapping):
        return family.task(**task)
    if isinstance(task, str):
        return _by_id(family, task)
    raise FamilyError(f"task is {task!r}; give a Task, a mapping of parameters, an id, or None")


def _by_id(family: TaskFamily, task_id: str) -> Task:
    pattern = ",".join(f"{re.escape(name)}=(.*)" for name in family.parameters)
    match = re.fullmatch(f"{re.escape(family.name)}/{pattern}", task_id, re.DOTALL)
    try:
        if match:
            values = {
                name: _value(text, range_)
                for text, (name, range_) in zip(
                    match.groups(), family.parameters.items(), strict=True
                )
            }
            return family.task(**values)
    except ValueError:
        pass  # what is said below helps more
    example = family.sample(1, seed=0)[0].id
    raise FamilyError(f"no task of {family.name!r} has the id {task_id!r}; ids read {example!r}")


def _value(text: str, range_: Distribution) -> ParameterValue:
    if isinstance(range_, Choice):
        for value in range_.values:
            if parameter_text({"": value}) == f"={text}":
                return value
    return float(text)
