"""`point-goal`: walk to an unseen goal on the plane."""

from collections.abc import Sequence

import gymnasium
import numpy as np

from metarl_gan.envs.distributions import Uniform
from metarl_gan.envs.families.point_vector import ACTIONS, OBSERVATIONS, PointVectorEnv
from metarl_gan.envs.family import TaskFamily
from metarl_gan.envs.task import Task
from metarl_gan.envs.task_space import TaskSpace

HORIZON = 100

_NEAR, _FAR = Uniform(-0.5, 0.5), Uniform(-0.75, 0.75)


class PointGoal(TaskFamily):
    """A point walks to a goal that it does not see; only the reward tells where it is.

    - Task: goal `(x, y)`, each uniform on [-0.5, 0.5] (length units); out of distribution: on
      [-0.75, 0.75], outside of that square.
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
            task_space=TaskSpace(
                parameters={"x": _NEAR, "y": _NEAR}, overrides={"ood": {"x": _FAR, "y": _FAR}}
            ),
            observation_space=OBSERVATIONS,
            action_space=ACTIONS,
            horizon=HORIZON,
            floors={"zero_action": -38.3, "random": -63.0},
            reference=-0.5,
        )

    def make(self, task: Task, *, render_mode: str | None = None) -> gymnasium.Env:
        """One environment of `task`, with its time limit."""
        return self.make_native([task], 1).single(render_mode)

    def make_native(self, tasks: Sequence[Task], envs_per_task: int) -> PointVectorEnv:
        """All environments as two numpy arrays, positions and goals."""
        return PointVectorEnv(tasks, envs_per_task, horizon=HORIZON, goal=_goal, reward=np.negative)


def _goal(task: Task) -> tuple[float, float]:
    return float(task.parameters["x"]), float(task.parameters["y"])
