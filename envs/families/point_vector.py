"""A point on the plane that walks to a goal: what the point families share."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from gymnasium import spaces

from metarl_gan.envs.families.point_picture import point_picture
from metarl_gan.envs.stepping.single import SingleTaskEnv
from metarl_gan.envs.stepping.vector import TaskVectorEnv
from metarl_gan.envs.task import Task

STEP_LENGTH = 0.1

OBSERVATIONS = spaces.Box(-np.inf, np.inf, (2,), np.float32)
ACTIONS = spaces.Box(-1.0, 1.0, (2,), np.float32)


class PointVectorEnv(TaskVectorEnv):
    """Every environment's position and goal, float64 `[num_envs, 2]` each.

    The point starts at the origin, observes its position, and moves by 0.1 times the action.

    Args:
        tasks: The tasks.
        envs_per_task: Environments of each task.
        horizon: Time limit in steps.
        goal: The goal `(x, y)` of a task.
        reward: From the distances to the goal `[n]` that a step reached to its rewards `[n]`.
        goal_radius: Length units, of the ring around the goal in pictures.
    """

    def __init__(
        self,
        tasks: Sequence[Task],
        envs_per_task: int,
        *,
        horizon: int,
        goal: Callable[[Task], tuple[float, float]],
        reward: Callable[[np.ndarray], np.ndarray],
        goal_radius: float = STEP_LENGTH,
    ) -> None:
        super().__init__(
            tasks=tasks,
            envs_per_task=envs_per_task,
            observation_space=OBSERVATIONS,
            action_space=ACTIONS,
            horizon=horizon,
        )
        self._goal, self._reward, self._goal_radius = goal, reward, goal_radius
        self._positions = np.zeros((self.num_envs, 2))
        self._retask()

    def single(self, render_mode: str | None) -> SingleTaskEnv:
        """The only environment, as a plain one; it can be seen as `rgb_array`."""
        return SingleTaskEnv(self, picture=self._picture if render_mode == "rgb_array" else None)

    def _picture(self) -> np.ndarray:
        return point_picture(self._positions[0], self._goals[0], self._goal_radius)

    def _retask(self) -> None:
        goals = np.array([self._goal(task) for task in self.tasks])
        self._goals = np.repeat(goals, self.envs_per_task, axis=0)

    def _start(self, rows: np.ndarray, seed: int | None) -> tuple[np.ndarray, dict[str, Any]]:
        self._positions[rows] = 0.0
        return self._positions[rows], {}

    def _advance(
        self, actions: np.ndarray, rows: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
        positions = self._positions[rows] + STEP_LENGTH * actions
        self._positions[rows] = positions
        distances = np.sqrt(np.sum((positions - self._goals[rows]) ** 2, axis=-1))
        never = np.zeros(len(rows), bool)
        return positions, self._reward(distances), never, never, {}
