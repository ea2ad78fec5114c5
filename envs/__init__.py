"""Where tasks come from: tasks, families, parameter distributions, task-parallel stepping.

The names below are the public interface. They are imported on first use: neither torch nor
MuJoCo is needed to list families. Gymnasium is: it learns of every registered family at once
(`gymnasium.make("metarl_gan/PointGoal-v0")`).

>>> from metarl_gan.envs import make_family
>>> family = make_family("point-goal")
>>> venv = family.make_vec(family.sample(8, split="test", seed=0), envs_per_task=4)
>>> observations, info = venv.reset(seed=0)
>>> observations.shape
(32, 2)
"""

from importlib import import_module
from typing import TYPE_CHECKING

import metarl_gan.envs.builtin as _builtin  # noqa: F401 - registers the built-in families
from metarl_gan.envs.registry import register_entry_points as _register_entry_points

if TYPE_CHECKING:
    from metarl_gan.envs.checks.check import FamilyReport, check_family
    from metarl_gan.envs.distributions import (
        Choice,
        DiskRadius,
        Distribution,
        LogUniform,
        Uniform,
        Union,
    )
    from metarl_gan.envs.errors import FamilyError
    from metarl_gan.envs.family import TaskFamily
    from metarl_gan.envs.plug_in.adapters import adapt_family
    from metarl_gan.envs.plug_in.observations import flatten_observations
    from metarl_gan.envs.plug_in.parametric import ParametricFamily
    from metarl_gan.envs.registry import list_families, make_family, register_family
    from metarl_gan.envs.stepping.async_vector import AsyncTaskVectorEnv
    from metarl_gan.envs.stepping.sync_vector import SyncTaskVectorEnv
    from metarl_gan.envs.stepping.vector import TaskVectorEnv
    from metarl_gan.envs.task import Task
    from metarl_gan.envs.task_space import TaskSpace
    from metarl_gan.envs.transitions import Transitions

__all__ = [
    "AsyncTaskVectorEnv",
    "Choice",
    "DiskRadius",
    "Distribution",
    "FamilyError",
    "FamilyReport",
    "LogUniform",
    "ParametricFamily",
    "SyncTaskVectorEnv",
    "Task",
    "TaskFamily",
    "TaskSpace",
    "TaskVectorEnv",
    "Transitions",
    "Uniform",
    "Union",
    "adapt_family",
    "check_family",
    "flatten_observations",
    "list_families",
    "make_family",
    "register_family",
]

_HOME = {
    "AsyncTaskVectorEnv": "stepping.async_vector",
    "Choice": "distributions",
    "DiskRadius": "distributions",
    "Distribution": "distributions",
    "FamilyError": "errors",
    "FamilyReport": "checks.check",
    "LogUniform": "distributions",
    "ParametricFamily": "plug_in.parametric",
    "SyncTaskVectorEnv": "stepping.sync_vector",
    "Task": "task",
    "TaskFamily": "family",
    "TaskSpace": "task_space",
    "TaskVectorEnv": "stepping.vector",
    "Transitions": "transitions",
    "Uniform": "distributions",
    "Union": "distributions",
    "adapt_family": "plug_in.adapters",
    "check_family": "checks.check",
    "flatten_observations": "plug_in.observations",
    "list_families": "registry",
    "make_family": "registry",
    "register_family": "registry",
}

_register_entry_points()


def __getattr__(name: str) -> object:
    """Import a public name when it is first asked for (PEP 562)."""
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}; it has {__all__}")
    value = getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
