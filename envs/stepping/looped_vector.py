"""What vector environments of single environments have in common, wherever these live."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import numpy as np

from metarl_gan.envs.errors import FamilyError
from metarl_gan.envs.stepping.environment_source import EnvironmentSource
from metarl_gan.envs.stepping.rows import EnvironmentRows, Failures, Outcome
from metarl_gan.envs.stepping.vector import TaskVectorEnv
from metarl_gan.envs.task import Task


class LoopedTaskVectorEnv(TaskVectorEnv, ABC):
    """The environments that `family.make` builds, one per row.

    An environment that breaks in being made, in `reset` or in `step` does not take the others
    down: its observation is NaN from then on, its episode is truncated, and `info["failures"]`
    maps its index to the task's id with the traceback, in every call until it is reset. `reset`
    builds it anew.

    Args:
        family: Builds the environments.
        tasks: The tasks.
        envs_per_task: Environments of each task.

    Raises:
        FamilyError: Not one environment can be made.
    """

    def __init__(
        self, family: EnvironmentSource, tasks: Sequence[Task], envs_per_task: int = 1
    ) -> None:
        super().__init__(
            tasks=tasks,
            envs_per_task=envs_per_task,
            observation_space=family.observation_space,
            action_space=family.action_space,
            horizon=family.horizon,
        )
        self._failures: Failures = {}
        self._untold: set[int] = set()
        self._rows = self._house(family)
        self._retask()
        if len(self._failures) == self.num_envs:
            self.close()
            cause, _, details = self._failures[0].partition("\n")
            error = FamilyError(f"no environment of {family.name!r} can be made: {cause}")
            error.add_note(details)
            raise error

    @abstractmethod
    def _house(self, family: EnvironmentSource) -> EnvironmentRows:
        """Where the environments live."""

    @property
    def backend(self) -> str:
        """Where the environments live now: "sync" or "async"."""
        return self._rows.backend

    def _retask(self) -> None:
        n = self.envs_per_task
        self._failures = self._rows.assign(
            {row: self.tasks[row // n] for row in range(self.num_envs)}
        )
        self._untold = set(self._failures)

    def _start(self, rows: np.ndarray, seed: int | None) -> tuple[np.ndarray, dict[str, Any]]:
        # What could not be made since the last reset is told now, and tried again at the next.
        fit = np.array([row not in self._untold for row in rows.tolist()], bool)
        self._untold -= set(rows.tolist())
        observations = np.full((len(rows), *self._observations.shape[1:]), np.nan, np.float32)
        seeds = {row: None if seed is None else seed + row for row in rows[fit].tolist()}
        for row in seeds:
            self._failures.pop(row, None)
        if seeds:
            observations[fit], failures = self._rows.start(seeds)
            self._failures |= failures
        return observations, self._info()

    def _advance(
        self, actions: np.ndarray, rows: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
        if self._failures:
            outcome = Outcome.empty(len(rows), self._observations.shape[1:])
            fit = np.array([row not in self._failures for row in rows.tolist()], bool)
            outcome.break_down(~fit)
            if fit.any():
                reached, failures = self._rows.advance(rows[fit], actions[fit])
                outcome.fill(fit, reached)
                self._failures |= failures
        else:
            outcome, self._failures = self._rows.advance(rows, actions)
        return (
            outcome.observations,
            outcome.rewards,
            outcome.terminated,
            outcome.truncated,
            self._info() | self._success(rows, outcome),
        )

    def _info(self) -> dict[str, Any]:
        return {"failures": dict(self._failures)} if self._failures else {}

    def _success(self, rows: np.ndarray, outcome: Outcome) -> dict[str, Any]:
        told = outcome.success >= 0
        if not told.any():
            return {}
        success, known = np.zeros((2, self.num_envs), bool)
        success[rows], known[rows] = outcome.success == 1, told
        return {"success": success, "_success": known}

    def close_extras(self, **kwargs: Any) -> None:  # noqa: ANN401 - Gymnasium's signature
        """Close every environment."""
        self._rows.close()
