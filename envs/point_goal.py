"""`point-goal`: walk to an unseen goal on the plane."""

from collections.abc import Sequence
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces

from metarl_gan.envs.distributions import Uniform
from metarl_gan.envs.family import TaskFamily
from metarl_gan.envs.single import SingleTaskEnv
from metarl_gan.envs.task import Task
from metarl_gan.envs.task_space import TaskSpace
from metarl_gan.envs.vector import TaskVectorEnv

HORIZON = 100
STEP_LENGTH = 0.1

_OBSERVATIONS = spaces.Box(-np.inf, np.inf, (2,), np.float32)
_ACTIONS = spaces.Box(-1.0, 1.0, (2,), np.float32)


class PointGoal(TaskFamily):
    """A point walks to a goal that it does not see; only the reward tells where it is.

    - Task: goal `(x, y)`, each uniform on [-0.5, 0.5] (length units).
    - Observation: position (2), starting at the origin. Action: move (2) in [-1, 1].
    - Dynamics: `position += 0.1 * clip(action, -1, 1)`.
    - Reward: `-‖position - goal‖₂` at the position reached. Never terminates; horizon 100.
    - Source: the 2-D navigation of MAML (Finn et al. 2017, arXiv:1703.03400, section 5.3) in
      the form of ProMP (Rothfuss et al. 2019, arXiv:1810.06784).
    - Return per episode: zero action -38.3, random -63 (500 tasks); -0.5 for one who
      knows the goal.
    """

    def __init__(self) -> None:
        super().__init__(
            name="point-goal",
            task_space=TaskSpace(parameters={"x": Uniform(-0.5, 0.5), "y": Uniform(-0.5, 0.5)}),
            observation_space=_OBSERVATIONS,
            action_space=_ACTIONS,
            horizon=HORIZON,
            floors={"zero_action": -38.3, "random": -63.0},
            reference=-0.5,
        )

    def make(self, task: Task, *, render_mode: str | None = None) -> gymnasium.Env:
        """One environment of `task`, with its time limit."""
        return SingleTaskEnv(self.make_native([task], 1))

    def make_native(self, tasks: Sequence[Task], envs_per_task: int) -> TaskVectorEnv:
        """All environments as two numpy arrays, positions and goals."""
        return _PointGoalVectorEnv(tasks, envs_per_task)


def _move(positions: np.ndarray, actions: np.ndarray) -> np.ndarray:
    return positions + STEP_LENGTH * np.clip(actions, -1.0, 1.0)


def _reward(positions: np.ndarray, goals: np.ndarray) -> np.ndarray:
    return -np.sqrt(np.sum((positions - goals) ** 2, axis=-1))


class _PointGoalVectorEnv(TaskVectorEnv):
    """Every environment's position and goal in one array each."""

    def __init__(self, tasks: Sequence[Task], envs_per_task: int) -> None:
        super().__init__(
            tasks=tasks,
            envs_per_task=envs_per_task,
            observation_space=_OBSERVATIONS,
            action_space=_ACTIONS,
            horizon=HORIZON,
        )
        self._positions = np.zeros((self.num_envs, 2))
        self._goals = np.zeros((self.num_envs, 2))
        self._retask()

    def _retask(self) -> None:
        self._goals = np.stack([self.parameter("x"), self.parameter("y")], axis=-1)

    def _start(self, rows: np.ndarray, seed: int | None) -> tuple[np.ndarray, dict[str, Any]]:
        self._positions[rows] = 0.0
        return self._positions[rows], {}

    def _advance(
        self, actions: np.ndarray, rows: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
        positions = _move(self._positions[rows], actions)
        self._positions[rows] = positions
        never = np.zeros(len(rows), bool)
        return positions, _reward(positions, self._goals[rows]), never, never, {}
