"""`point-sparse`: find an unseen goal on a semicircle that pays only nearby."""

import math
from collections.abc import Sequence

import gymnasium
import numpy as np

from metarl_gan.envs.distributions import Uniform
from metarl_gan.envs.families.point_vector import ACTIONS, OBSERVATIONS, PointVectorEnv
from metarl_gan.envs.family import TaskFamily
from metarl_gan.envs.task import Task
from metarl_gan.envs.task_space import TaskSpace

HORIZON = 100
GOAL_RADIUS = 0.2

_UPPER, _LOWER = (
    Uniform(0.0, math.pi, unit="rad"),
    Uniform(math.pi, 2 * math.pi, unit="rad"),
)
# Zero action, random, one who knows the goal: by horizon.
_RETURNS = {20: (0.0, 0.0, 13.4), 100: (0.0, 0.5, 93.4)}


class PointSparse(TaskFamily):
    """A point looks for a goal at distance 1; the reward is 0 until it is nearly there.

    - Task: the goal is `(cos angle, sin angle)` (length units), `angle` uniform on [0, π] rad;
      out of distribution: on [π, 2π], the other half of the circle.
    - Observation: position (2), starting at the origin. Action: move (2) in [-1, 1].
    - Dynamics: `position += 0.1 * clip(action, -1, 1)`.
    - Reward: with `d` the distance to the goal from the position reached, `1 - d` where
      `d <= 0.2`, else 0: in training as in evaluation. The episode goes on at the goal; it
      never terminates. Horizon 100, or 20.
    - Source: the sparse 2-D navigation of PEARL (Rakelly et al. 2019, arXiv:1903.08254,
      section 6.4; horizon 20).
    - Return per episode (500 tasks), horizon 100: zero action 0, random 0.5; 93.4 for one who
      knows the goal. Horizon 20: 0, 0 and 13.4.

    Args:
        horizon: Time limit in steps.
    """

    def __init__(self, horizon: int = HORIZON) -> None:
        floors = _RETURNS.get(horizon)
        super().__init__(
            name="point-sparse",
            task_space=TaskSpace(
                parameters={"angle": _UPPER}, overrides={"ood": {"angle": _LOWER}}
            ),
            observation_space=OBSERVATIONS,
            action_space=ACTIONS,
            horizon=horizon,
            floors={"zero_action": floors[0], "random": floors[1]} if floors else None,
            reference=floors[2] if floors else None,
        )

    def make(self, task: Task, *, render_mode: str | None = None) -> gymnasium.Env:
        """One environment of `task`, with its time limit."""
        return self.make_native([task], 1).single(render_mode)

    def make_native(self, tasks: Sequence[Task], envs_per_task: int) -> PointVectorEnv:
        """All environments as two numpy arrays, positions and goals."""
        return PointVectorEnv(
            tasks,
            envs_per_task,
            horizon=self.horizon,
            goal=_goal,
            reward=_reward,
            goal_radius=GOAL_RADIUS,
        )


def _goal(task: Task) -> tuple[float, float]:
    angle = float(task.parameters["angle"])
    return math.cos(angle), math.sin(angle)


def _reward(distances: np.ndarray) -> np.ndarray:
    return np.where(distances <= GOAL_RADIUS, 1.0 - distances, 0.0)
