"""`point-slip`: walk on a plane that is slippery one way, between ditches."""

import math
from collections.abc import Sequence
from typing import Any, final

import gymnasium
import numpy as np

from metarl_gan.envs.distributions import Uniform
from metarl_gan.envs.families.point_vector import ACTIONS, OBSERVATIONS, STEP_LENGTH
from metarl_gan.envs.family import TaskFamily
from metarl_gan.envs.stepping.single import SingleTaskEnv
from metarl_gan.envs.stepping.vector import TaskVectorEnv
from metarl_gan.envs.task import Task
from metarl_gan.envs.task_space import TaskSpace

HORIZON = 50
DITCH_HALF_WIDTH = 0.3
FALL_COST = 1.0

_AROUND = Uniform(-math.pi, math.pi, unit="rad")
_NEAR, _FAR = Uniform(0.8, 1.2), Uniform(0.6, 1.6)


class PointSlip(TaskFamily):
    """The way that pays best is slippery, and every slip ends in a ditch; the other way is firm.

    - Task: `angle`, uniform on [-π, π] rad, is where "ahead" is; `gap`, uniform on [0.8, 1.2]
      (length units), how far a slip goes. Out of distribution: `gap` on [0.6, 1.6], outside of
      that range.
    - Observation: position (2), starting at the origin. Action: move (2) in [-1, 1].
    - Dynamics: `position += 0.1 * clip(action, -1, 1)`. With `v` the part of the action that
      points ahead, the step also slips aside with probability `clip(v, 0, 1)`: by exactly `gap`,
      to either side alike. Two ditches run ahead and back, at `gap ± 0.3` to either side of the
      origin: from within one, whatever the action, the next step leads back to the origin.
    - Reward: a step from firm ground pays for how far ahead it leads, `x`, wherever else:
      `1 + 2 min(x, 1)` where `x > 0` and `1 + min(-x, 1)` elsewhere. A step out of a ditch
      costs 1. Never terminates; horizon 50.
    - Source: this project. The mean of every step is firm ground, and so are most draws of a
      normal distribution of its variance; what really happens is one ditch or the other. No
      reward tells of the fall before it has happened (`docs/decisions.md`).
    - Return per episode (500 tasks): zero action 50, random 37.3; 96.0 for one who knows where
      ahead is and walks back. One who trusts the mean step and walks ahead: 5.6.
    """

    def __init__(self) -> None:
        super().__init__(
            name="point-slip",
            task_space=TaskSpace(
                parameters={"angle": _AROUND, "gap": _NEAR}, overrides={"ood": {"gap": _FAR}}
            ),
            observation_space=OBSERVATIONS,
            action_space=ACTIONS,
            horizon=HORIZON,
            floors={"zero_action": 50.0, "random": 37.0},
            reference=96.0,
        )

    def make(self, task: Task, *, render_mode: str | None = None) -> gymnasium.Env:
        """One environment of `task`, with its time limit."""
        return SingleTaskEnv(self.make_native([task], 1))

    def make_native(self, tasks: Sequence[Task], envs_per_task: int) -> TaskVectorEnv:
        """All environments as numpy arrays."""
        return _SlipVectorEnv(tasks, envs_per_task)


@final
class _SlipVectorEnv(TaskVectorEnv):
    """How far ahead and how far aside every environment is, float64 `[num_envs]` each."""

    def __init__(self, tasks: Sequence[Task], envs_per_task: int) -> None:
        super().__init__(
            tasks=tasks,
            envs_per_task=envs_per_task,
            observation_space=OBSERVATIONS,
            action_space=ACTIONS,
            horizon=HORIZON,
        )
        self._ahead, self._aside = np.zeros(self.num_envs), np.zeros(self.num_envs)
        # An episode's chance is drawn when it begins: one call per environment, not per step.
        self._chances = np.zeros((self.num_envs, HORIZON))
        self._retask()

    def _retask(self) -> None:
        angles = self.parameter("angle")
        self._cosines, self._sines, self._gaps = (
            np.cos(angles),
            np.sin(angles),
            self.parameter("gap"),
        )

    def _start(self, rows: np.ndarray, seed: int | None) -> tuple[np.ndarray, dict[str, Any]]:
        self._ahead[rows] = self._aside[rows] = 0.0
        self._chances[rows] = [rng.random(HORIZON) for rng in self._row_generators(rows)]
        return np.zeros((len(rows), 2)), {}

    def _advance(
        self, actions: np.ndarray, rows: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
        cosine, sine, gap = self._cosines[rows], self._sines[rows], self._gaps[rows]
        ahead, aside = self._ahead[rows], self._aside[rows]
        fallen = np.abs(np.abs(aside) - gap) <= DITCH_HALF_WIDTH
        forward = actions[:, 0] * cosine + actions[:, 1] * sine
        sideways = actions[:, 1] * cosine - actions[:, 0] * sine
        slips = _slips(np.clip(forward, 0.0, 1.0), self._chances[rows, self._elapsed[rows]])
        ahead = np.where(fallen, 0.0, ahead + STEP_LENGTH * forward)
        aside = np.where(fallen, 0.0, aside + STEP_LENGTH * sideways + gap * slips)
        self._ahead[rows], self._aside[rows] = ahead, aside
        positions = np.stack(
            [ahead * cosine - aside * sine, ahead * sine + aside * cosine], axis=-1
        )
        rewards = np.where(fallen, -FALL_COST, _pay(ahead))
        terminated, failed = np.zeros((2, len(rows)), bool)
        return positions, rewards, terminated, failed, {}


def _slips(probabilities: np.ndarray, chances: np.ndarray) -> np.ndarray:
    """1 or -1 with half of its probability each, else 0; `chances` are uniform on [0, 1)."""
    left, right = chances < probabilities / 2, chances >= 1.0 - probabilities / 2
    return left.astype(float) - right.astype(float)


def _pay(ahead: np.ndarray) -> np.ndarray:
    return 1.0 + np.where(ahead > 0, 2.0 * np.minimum(ahead, 1.0), np.minimum(-ahead, 1.0))
