"""Two tiny families whose optimum is known in closed form: every learner has to get there."""

from collections.abc import Sequence
from typing import final

import gymnasium
import numpy as np
from gymnasium import spaces

from metarl_gan.envs import Uniform
from metarl_gan.envs.family import TaskFamily
from metarl_gan.envs.stepping.single import SingleTaskEnv
from metarl_gan.envs.stepping.vector import TaskVectorEnv
from metarl_gan.envs.task import Task
from metarl_gan.envs.task_space import TaskSpace


@final
class TwoArmedBandit(TaskFamily):
    """`horizon` pulls of two arms, of which one pays 1 a pull and the other nothing.

    Which one differs by task: arm 1 where `side` is positive, arm 0 elsewhere. The observation
    is the share of pulls that are left; the last pull terminates. One who knows the task earns
    `horizon`, one who never learns half of that.
    """

    def __init__(self, horizon: int = 1) -> None:
        super().__init__(
            name="two-armed-bandit",
            task_space=TaskSpace(parameters={"side": Uniform(-1.0, 1.0)}),
            observation_space=spaces.Box(0.0, 1.0, (1,), np.float32),
            action_space=spaces.Discrete(2),
            horizon=horizon,
        )

    def make(self, task: Task, *, render_mode: str | None = None) -> gymnasium.Env:
        return SingleTaskEnv(self.make_native([task], 1))

    def make_native(self, tasks: Sequence[Task], envs_per_task: int) -> TaskVectorEnv:
        return _Bandits(self, tasks, envs_per_task)

    def best_return(self, task: Task) -> float:
        """What one who knows the task earns in an episode."""
        return float(self.horizon)

    def best_arm(self, task: Task) -> int:
        return int(float(task.parameters["side"]) > 0)


@final
class LinearQuadraticPoint(TaskFamily):
    """A point on a line walks to `goal`, uniform on [-1, 1], which it does not see.

    - Observation: position, 0 at first, and the share of steps that are left. Action: a step in
      [-1, 1]; `position += action`.
    - Reward: `-(position reached - goal)² - EFFORT · action²`. The last step terminates.
    - Optimum: with `e = position - goal` and `P` what the steps to come cost (`P e²`, 0 after the
      last), the best step is `-(1 + P) / (1 + P + EFFORT) · e`, and `P` one step earlier is
      `EFFORT (1 + P) / (1 + P + EFFORT)`: the Riccati recursion. It never meets the limits.
    """

    EFFORT = 0.5

    def __init__(self, horizon: int = 5) -> None:
        super().__init__(
            name="linear-quadratic-point",
            task_space=TaskSpace(parameters={"goal": Uniform(-1.0, 1.0)}),
            observation_space=spaces.Box(-np.inf, np.inf, (2,), np.float32),
            action_space=spaces.Box(-1.0, 1.0, (1,), np.float32),
            horizon=horizon,
        )

    def make(self, task: Task, *, render_mode: str | None = None) -> gymnasium.Env:
        return SingleTaskEnv(self.make_native([task], 1))

    def make_native(self, tasks: Sequence[Task], envs_per_task: int) -> TaskVectorEnv:
        return _Points(self, tasks, envs_per_task)

    def best_gains(self) -> list[float]:
        """Share of the way to the goal that the best step goes, by time."""
        gains, cost = [], 0.0
        for _ in range(self.horizon):
            gains.append((1.0 + cost) / (1.0 + cost + self.EFFORT))
            cost = self.EFFORT * gains[-1]
        return gains[::-1]

    def best_return(self, task: Task) -> float:
        """What one who knows the task earns in an episode."""
        return -self.EFFORT * self.best_gains()[0] * float(task.parameters["goal"]) ** 2

    def idle_return(self, task: Task) -> float:
        """What one earns who stays: the best of those who never learn which task it is."""
        return -self.horizon * float(task.parameters["goal"]) ** 2


@final
class _Bandits(TaskVectorEnv):
    def __init__(self, family: TwoArmedBandit, tasks: Sequence[Task], envs_per_task: int) -> None:
        super().__init__(
            tasks=tasks,
            envs_per_task=envs_per_task,
            observation_space=family.observation_space,
            action_space=family.action_space,
            horizon=family.horizon,
        )
        self._retask()

    def _retask(self) -> None:
        self._better = (self.parameter("side") > 0).astype(np.int64)

    def _start(self, rows, seed):
        return np.ones((len(rows), 1)), {}

    def _advance(self, actions, rows):
        left = self.horizon - self._elapsed[rows] - 1
        pays = (actions == self._better[rows]).astype(float)
        return (left / self.horizon)[:, None], pays, left == 0, np.zeros(len(rows), bool), {}


@final
class _Points(TaskVectorEnv):
    def __init__(
        self, family: LinearQuadraticPoint, tasks: Sequence[Task], envs_per_task: int
    ) -> None:
        super().__init__(
            tasks=tasks,
            envs_per_task=envs_per_task,
            observation_space=family.observation_space,
            action_space=family.action_space,
            horizon=family.horizon,
        )
        self._effort = family.EFFORT
        self._positions = np.zeros(self.num_envs)
        self._retask()

    def _retask(self) -> None:
        self._goals = self.parameter("goal")

    def _start(self, rows, seed):
        self._positions[rows] = 0.0
        return np.stack([self._positions[rows], np.ones(len(rows))], axis=-1), {}

    def _advance(self, actions, rows):
        self._positions[rows] += actions[:, 0]
        reached = self._positions[rows]
        left = self.horizon - self._elapsed[rows] - 1
        rewards = -((reached - self._goals[rows]) ** 2) - self._effort * actions[:, 0] ** 2
        observations = np.stack([reached, left / self.horizon], axis=-1)
        return observations, rewards, left == 0, np.zeros(len(rows), bool), {}
