"""Any Gymnasium environments, stepped together one after the other."""

import contextlib
import traceback
from collections.abc import Iterator, Sequence
from typing import Any

import gymnasium
import numpy as np

from metarl_gan.envs.environment_source import EnvironmentSource
from metarl_gan.envs.errors import FamilyError
from metarl_gan.envs.task import Task
from metarl_gan.envs.vector import TaskVectorEnv


class SyncTaskVectorEnv(TaskVectorEnv):
    """The environments that `family.make` builds, in a Python loop.

    An environment that raises in `reset` or `step` does not take the others down: its
    observation is NaN from then on, its episode is truncated, and `info["failures"]` maps its
    index to the task's id with the traceback, in every call until it is reset. `reset` builds it
    anew.

    Args:
        family: Builds the environments.
        tasks: The tasks.
        envs_per_task: Environments of each task.

    Raises:
        FamilyError: An environment cannot be built; the message names the task.
    """

    def __init__(
        self,
        family: EnvironmentSource,
        tasks: Sequence[Task],
        envs_per_task: int = 1,
    ) -> None:
        super().__init__(
            tasks=tasks,
            envs_per_task=envs_per_task,
            observation_space=family.observation_space,
            action_space=family.action_space,
            horizon=family.horizon,
        )
        self._family = family
        self._failures: dict[int, str] = {}
        self._envs = [self._build(index) for index in range(self.num_envs)]

    def _task(self, index: int) -> Task:
        return self.tasks[index // self.envs_per_task]

    def _build(self, index: int) -> gymnasium.Env:
        task = self._task(index)
        try:
            return self._family.make(task)
        except Exception as error:
            raise FamilyError(f"no environment of task {task.id!r} can be made: {error}") from error

    def _rebuild(self, index: int) -> None:
        with contextlib.suppress(Exception):
            self._envs[index].close()
        self._envs[index] = self._build(index)

    def _retask(self) -> None:
        for index, env in enumerate(self._envs):
            broken = self._failures.pop(index, None) is not None
            if broken or not self._family.retask(env, self._task(index)):
                self._rebuild(index)

    def _start(self, rows: np.ndarray, seed: int | None) -> tuple[np.ndarray, dict[str, Any]]:
        observations = np.empty((len(rows), *self._observations.shape[1:]), np.float32)
        for place, index in enumerate(rows.tolist()):
            if self._failures.pop(index, None) is not None:
                self._rebuild(index)
            env_seed = None if seed is None else seed + index
            with self._guard(index, "reset"):
                observation, _ = self._envs[index].reset(seed=env_seed)
                observations[place] = self._row(observation)
            if index in self._failures:
                observations[place] = np.nan
        return observations, self._info()

    def _advance(
        self, actions: np.ndarray, rows: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
        n = len(rows)
        observations = np.full((n, *self._observations.shape[1:]), np.nan, np.float32)
        rewards = np.zeros(n, np.float32)
        terminated, truncated = np.zeros(n, bool), np.zeros(n, bool)
        for place, index in enumerate(rows.tolist()):
            if index not in self._failures:
                with self._guard(index, "step"):
                    result = self._envs[index].step(actions[place])
                    observation, rewards[place], terminated[place], truncated[place], _ = result
                    observations[place] = self._row(observation)
            if index in self._failures:
                observations[place], rewards[place] = np.nan, 0.0
                terminated[place], truncated[place] = False, True
        return observations, rewards, terminated, truncated, self._info()

    @contextlib.contextmanager
    def _guard(self, index: int, what: str) -> Iterator[None]:
        try:
            yield
        except Exception:  # noqa: BLE001 - a user's environment may raise anything
            self._failures[index] = (
                f"{what} of task {self._task(index).id!r}, environment {index}:\n"
                f"{traceback.format_exc()}"
            )

    def _row(self, observation: Any) -> np.ndarray:  # noqa: ANN401 - whatever it returned
        row = np.asarray(observation, np.float32)
        if row.shape != self._observations.shape[1:]:
            raise ValueError(
                f"the observation has shape {row.shape}; the space says "
                f"{self._observations.shape[1:]}"
            )
        return row

    def _info(self) -> dict[str, Any]:
        return {"failures": dict(self._failures)} if self._failures else {}

    def close_extras(self, **kwargs: Any) -> None:  # noqa: ANN401 - Gymnasium's signature
        """Close every environment."""
        for env in self._envs:
            env.close()
