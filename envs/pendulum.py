"""`pendulum-physics`: swing up a pendulum of unknown gravity, mass, length and motor."""

from collections.abc import Sequence
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces

from metarl_gan.envs.distributions import Uniform
from metarl_gan.envs.family import TaskFamily
from metarl_gan.envs.parametric import ParametricFamily
from metarl_gan.envs.task import Task
from metarl_gan.envs.task_space import TaskSpace
from metarl_gan.envs.vector import TaskVectorEnv

HORIZON = 200
TIME_STEP = 0.05
MAX_SPEED = 8.0
MAX_TORQUE = 2.0  # the action space; a task's own motor may be weaker

_RANGES = {
    "g": Uniform(8.0, 12.0, unit="m/s^2"),
    "m": Uniform(0.7, 1.3, unit="kg"),
    "l": Uniform(0.7, 1.3, unit="m"),
    "max_torque": Uniform(1.4, MAX_TORQUE, unit="N m"),
}
_BOUND = np.array([1.0, 1.0, MAX_SPEED], np.float32)
_OBSERVATIONS = spaces.Box(-_BOUND, _BOUND, dtype=np.float32)
_ACTIONS = spaces.Box(-MAX_TORQUE, MAX_TORQUE, (1,), np.float32)


class PendulumPhysics(TaskFamily):
    """Gymnasium's Pendulum-v1 with other physics in every task; the reward is the same.

    - Task: gravity `g` in [8, 12] m/s², mass `m` in [0.7, 1.3] kg, length `l` in [0.7, 1.3] m,
      `max_torque` in [1.4, 2] N m, each uniform.
    - Observation (3): cos θ, sin θ, angular velocity (rad/s). Action (1): torque in [-2, 2] N m,
      clipped to the task's `max_torque`.
    - Reward: `-(θ² + 0.1 θ'² + 0.001 u²)` of the state left, with θ in [-π, π). Never
      terminates; horizon 200.
    - Source: Gymnasium 1.x, `classic_control/pendulum.py`, stepped here as arrays.
    - Return per episode: zero action -1246, random -1249 (500 tasks).
    """

    def __init__(self) -> None:
        super().__init__(
            name="pendulum-physics",
            task_space=TaskSpace(parameters=_RANGES),
            observation_space=_OBSERVATIONS,
            action_space=_ACTIONS,
            horizon=HORIZON,
            floors={"zero_action": -1246.0, "random": -1249.0},
        )
        self._single = ParametricFamily(
            "Pendulum-v1", _RANGES, horizon=HORIZON, name="pendulum-physics"
        )

    def make(self, task: Task, *, render_mode: str | None = None) -> gymnasium.Env:
        """Gymnasium's own Pendulum-v1 with the task's physics."""
        return self._single.make(task, render_mode=render_mode)

    def make_native(self, tasks: Sequence[Task], envs_per_task: int) -> TaskVectorEnv:
        """All pendulums as one array of angles and one of velocities."""
        return _PendulumVectorEnv(tasks, envs_per_task)


class _PendulumVectorEnv(TaskVectorEnv):
    """Angle and angular velocity `[num_envs, 2]`, float64 as Gymnasium's."""

    def __init__(self, tasks: Sequence[Task], envs_per_task: int) -> None:
        super().__init__(
            tasks=tasks,
            envs_per_task=envs_per_task,
            observation_space=_OBSERVATIONS,
            action_space=_ACTIONS,
            horizon=HORIZON,
        )
        self._states = np.zeros((self.num_envs, 2))
        self._retask()

    def _retask(self) -> None:
        g, m, length = self.parameter("g"), self.parameter("m"), self.parameter("l")
        self._gravity = 3 * g / (2 * length)
        # Gymnasium multiplies these two with a float32 torque: the same rounding here.
        self._gain = (3.0 / (m * length**2)).astype(np.float32)
        self._torque = self.parameter("max_torque").astype(np.float32)

    def _start(self, rows: np.ndarray, seed: int | None) -> tuple[np.ndarray, dict[str, Any]]:
        high = np.array([np.pi, 1.0])
        draws = [generator.uniform(-high, high) for generator in self._row_generators(rows)]
        self._states[rows] = draws
        return _observe(self._states[rows]), {}

    def _advance(
        self, actions: np.ndarray, rows: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
        angle, speed = self._states[rows].T
        torque = np.clip(actions[:, 0], -self._torque[rows], self._torque[rows])
        folded = (angle + np.pi) % (2 * np.pi) - np.pi
        costs = folded**2 + 0.1 * speed**2 + np.float32(0.001) * torque**2
        pull = self._gravity[rows] * np.sin(angle) + self._gain[rows] * torque
        speed = np.clip(speed + pull * TIME_STEP, -MAX_SPEED, MAX_SPEED)
        states = np.stack([angle + speed * TIME_STEP, speed], axis=-1)
        self._states[rows] = states
        never = np.zeros(len(rows), bool)
        return _observe(states), -costs, never, never, {}


def _observe(states: np.ndarray) -> np.ndarray:
    angle, speed = states.T
    return np.stack([np.cos(angle), np.sin(angle), speed], axis=-1)
