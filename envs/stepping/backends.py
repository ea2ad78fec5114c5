"""Which way a family's environments are stepped together."""

import difflib
from collections.abc import Sequence
from dataclasses import dataclass

from metarl_gan.envs.errors import FamilyError
from metarl_gan.envs.stepping.async_vector import AsyncTaskVectorEnv
from metarl_gan.envs.stepping.auto_vector import AutoTaskVectorEnv
from metarl_gan.envs.stepping.environment_source import EnvironmentSource
from metarl_gan.envs.stepping.sync_vector import SyncTaskVectorEnv
from metarl_gan.envs.stepping.vector import TaskVectorEnv
from metarl_gan.envs.task import Task

BACKENDS = ("auto", "native", "sync", "async")


@dataclass(frozen=True, kw_only=True)
class Stepping:
    """How to step: see `TaskFamily.make_vec`.

    Raises `FamilyError` for a value that makes no sense.
    """

    backend: str = "auto"
    step_timeout_s: float = 60.0
    processes: int | None = None

    def __post_init__(self) -> None:
        if self.backend not in BACKENDS:
            near = difflib.get_close_matches(self.backend, BACKENDS, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise FamilyError(f"backend is {self.backend!r}; give one of {list(BACKENDS)}{hint}")
        if not self.step_timeout_s > 0:
            raise FamilyError(f"step_timeout_s is {self.step_timeout_s}; give seconds above 0")
        if self.processes is not None and self.processes < 1:
            raise FamilyError(f"processes is {self.processes}; give at least 1, or None")


def choose_backend(family: EnvironmentSource, stepping: Stepping) -> str:
    """The backend that `stepping` means for `family`; "auto" is left to `make_looped`.

    Raises `FamilyError` for one that the family does not have.
    """
    if stepping.backend == "auto":
        return "native" if "native" in family.backends else "auto"
    if stepping.backend not in family.backends:
        raise FamilyError(
            f"{family.name} cannot be stepped with backend {stepping.backend!r}; "
            f"give one of {['auto', *family.backends]}"
        )
    return stepping.backend


def make_looped(
    family: EnvironmentSource,
    tasks: Sequence[Task],
    envs_per_task: int,
    backend: str,
    stepping: Stepping,
) -> TaskVectorEnv:
    """The environments that `family.make` builds, in this process or in others.

    Raises `FamilyError` if not one can be made, or the family not be sent to other processes.
    """
    if backend == "sync":
        return SyncTaskVectorEnv(family, tasks, envs_per_task)
    looped = AsyncTaskVectorEnv if backend == "async" else AutoTaskVectorEnv
    return looped(
        family,
        tasks,
        envs_per_task,
        step_timeout_s=stepping.step_timeout_s,
        processes=stepping.processes,
    )
