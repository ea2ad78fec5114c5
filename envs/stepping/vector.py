"""Environments of many tasks, stepped together."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import gymnasium
import numpy as np
from gymnasium.utils.seeding import np_random
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space

from metarl_gan.envs.action_format import action_format
from metarl_gan.envs.errors import FamilyError
from metarl_gan.envs.task import Task


class TaskVectorEnv(VectorEnv, ABC):
    """`len(tasks) * envs_per_task` environments: row `i` plays `tasks[i // envs_per_task]`.

    There is no autoreset (`AutoresetMode.DISABLED`). An environment that has ended stays frozen
    until it is reset: it repeats its last observation with reward 0, `terminated` and
    `truncated` False, and costs no real step. What `step` puts into `info`:

    - `"stepped"`, bool `[num_envs]`: which environments the call really stepped;
    - `"final_obs"`, float32 `[num_envs, obs]`, with `"_final_obs"`, bool `[num_envs]`, where an
      episode ended in this call: its last observation, which `step` returns as well;
    - `"failures"`, where environments broke: by index, the task's id and the traceback. Their
      observation is NaN and their episode truncated; the others go on;
    - `"success"`, bool `[num_envs]`, with `"_success"`, bool `[num_envs]`, where environments
      say in this step whether their task is solved (`info["success"]` or `info["is_success"]`).

    Actions arrive as the policy sampled them; `step` clips them to the action space. Those of a
    `Tuple` or `Dict` arrive as rows of `action_format`, and so reach `_advance`, or as what
    `action_space` or, in a list, `single_action_space` contains.

    `reset(seed=s)` starts row `i` as a single environment starts with `reset(seed=s + i)`, on
    every backend; later resets without a seed go on from there, row by row.

    Subclasses implement `_start`, `_advance` and `_retask` on arrays of all environments.
    """

    metadata: dict[str, Any] = {"autoreset_mode": AutoresetMode.DISABLED}  # noqa: RUF012

    def __init__(
        self,
        *,
        tasks: Sequence[Task],
        envs_per_task: int,
        observation_space: gymnasium.Space,
        action_space: gymnasium.Space,
        horizon: int,
    ) -> None:
        if not tasks or envs_per_task < 1:
            raise FamilyError(
                f"asked for {len(tasks)} tasks with {envs_per_task} environments each; "
                "give at least one of both"
            )
        self.tasks = list(tasks)
        self.envs_per_task = envs_per_task
        self.num_envs = len(tasks) * envs_per_task
        self.horizon = horizon
        self.single_observation_space = observation_space
        self.single_action_space = action_space
        self.action_format = action_format(action_space)
        self.observation_space = batch_space(observation_space, self.num_envs)
        self.action_space = batch_space(action_space, self.num_envs)
        self._needs_reset = np.ones(self.num_envs, bool)
        self._generators: list[np.random.Generator | None] = [None] * self.num_envs
        self._row_seeds = np.full(self.num_envs, -1)
        self._finished = np.zeros(self.num_envs, bool)
        self._elapsed = np.zeros(self.num_envs, np.int64)
        self._observations = np.zeros((self.num_envs, *(observation_space.shape or ())), np.float32)

    @abstractmethod
    def _start(self, rows: np.ndarray, seed: int | None) -> tuple[np.ndarray, dict[str, Any]]:
        """Begin new episodes in `rows` (indices): their observations `[len(rows), obs]`, info.

        Randomness is drawn from `self._row_generators(rows)`, already seeded.
        """

    @abstractmethod
    def _advance(
        self, actions: np.ndarray, rows: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
        """Step `rows` (indices) with their clipped `actions` `[len(rows), …]`.

        Returns observations, rewards, terminated, truncated for those rows, and info. The
        time limit is kept by `step`.
        """

    @abstractmethod
    def _retask(self) -> None:
        """`self.tasks` has been replaced: configure the environments for it."""

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Begin new episodes, in all environments or those of `options={"reset_mask": mask}`.

        Returns observations float32 `[num_envs, obs]` and info. Raises `ValueError` for a mask
        that is not bool `[num_envs]`.
        """
        super().reset(seed=seed)
        rows = np.flatnonzero(self._mask(options))
        if not len(rows):
            return self._observations.copy(), {}
        if seed is not None:
            self._row_seeds[rows] = seed + rows
            for row in rows.tolist():
                self._generators[row] = None
        observations, info = self._start(rows, seed)
        self._observations[rows] = observations
        self._elapsed[rows] = 0
        self._finished[rows] = False
        self._needs_reset[rows] = False
        return self._observations.copy(), info

    def step(
        self,
        actions: Any,  # noqa: ANN401 - rows, or what the action space contains
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
        """Step every environment whose episode is not over.

        Args:
            actions: Float `[num_envs, act]`, or integers `[num_envs]` for discrete actions; see
                above for those of several parts.

        Returns:
            Observations float32 `[num_envs, obs]` that the step reached, also where it ended
            the episode; rewards float32, terminated and truncated bool `[num_envs]`; info.

        Raises:
            gymnasium.error.ResetNeeded: Before the first `reset()` and after `set_tasks`.
            ValueError: Actions of the wrong shape or outside a discrete space.
        """
        if self._needs_reset.any():
            raise gymnasium.error.ResetNeeded("call reset() before step(), also after set_tasks()")
        actions = self._clip(actions)
        stepped = ~self._finished
        rows = np.flatnonzero(stepped)
        rewards = np.zeros(self.num_envs, np.float32)
        terminated = np.zeros(self.num_envs, bool)
        truncated = np.zeros(self.num_envs, bool)
        info: dict[str, Any] = {}
        if len(rows):
            reached = self._advance(actions[rows], rows)
            self._observations[rows], rewards[rows] = reached[0], reached[1]
            terminated[rows], truncated[rows], info = reached[2], reached[3], reached[4]
        self._elapsed += stepped
        truncated |= stepped & (self._elapsed >= self.horizon)
        self._finished |= terminated | truncated
        info = {**info, "stepped": stepped}
        ended = terminated | truncated
        if ended.any():
            info |= {"final_obs": self._observations.copy(), "_final_obs": ended}
        return self._observations.copy(), rewards, terminated, truncated, info

    def set_tasks(self, tasks: Sequence[Task]) -> None:
        """Play other tasks, as many as before; cheap. `reset()` has to follow.

        Raises `FamilyError` for another number of tasks, or tasks of another family.
        """
        if len(tasks) != len(self.tasks):
            raise FamilyError(
                f"set_tasks got {len(tasks)} tasks in place of {len(self.tasks)}; give as many, "
                "or call family.make_vec for another number"
            )
        foreign = [task.id for task in tasks if task.family != self.tasks[0].family]
        if foreign:
            raise FamilyError(f"tasks {foreign} are not of family {self.tasks[0].family!r}")
        self.tasks = list(tasks)
        self._needs_reset[:] = True
        self._retask()

    def parameter(self, name: str) -> np.ndarray:
        """One numeric task parameter of every environment, float64 `[num_envs]`."""
        values = np.array([float(task.parameters[name]) for task in self.tasks])
        return np.repeat(values, self.envs_per_task)

    def _row_generators(self, rows: np.ndarray) -> list[np.random.Generator]:
        """The random generators of `rows`, each as a single environment's own would be.

        They are made when a family first draws from them: many families never do.
        """
        found = []
        for row in rows.tolist():
            generator = self._generators[row]
            if generator is None:
                seed = int(self._row_seeds[row])
                generator, _ = np_random(seed if seed >= 0 else None)
                self._generators[row] = generator
            found.append(generator)
        return found

    def _mask(self, options: dict[str, Any] | None) -> np.ndarray:
        mask = np.asarray((options or {}).get("reset_mask", np.ones(self.num_envs, bool)))
        if mask.shape != (self.num_envs,) or mask.dtype != bool:
            raise ValueError(
                f"reset_mask has shape {mask.shape} and type {mask.dtype}; "
                f"give bool of shape ({self.num_envs},)"
            )
        return mask

    def _clip(self, actions: Any) -> np.ndarray:  # noqa: ANN401
        actions = self.action_format.pack(actions)
        expected = (self.num_envs, *self.action_format.shape)
        if actions.shape != expected:
            raise ValueError(f"actions have shape {actions.shape}; expected {expected}")
        return self.action_format.clip(actions)
