"""A task family on MuJoCo physics."""

from collections.abc import Mapping, Sequence

import gymnasium
import numpy as np
from gymnasium import spaces

from metarl_gan.envs.errors import FamilyError
from metarl_gan.envs.family import TaskFamily
from metarl_gan.envs.mujoco_model import load_physics
from metarl_gan.envs.mujoco_rules import MujocoRules, MujocoState
from metarl_gan.envs.mujoco_vector import MujocoSetup, MujocoVectorEnv
from metarl_gan.envs.single import SingleTaskEnv
from metarl_gan.envs.task import Task
from metarl_gan.envs.task_space import TaskSpace


class MujocoFamily(TaskFamily):
    """A MuJoCo model, a task space, and rules: see `half_cheetah.py` for one in full.

    Args:
        name: The family's name.
        task_space: Parameter ranges and splits.
        rules: Observation, reward, end and start of an episode.
        model: Path of a MuJoCo model, or the name of one that comes with Gymnasium.
        frame_skip: Physics steps per control step.
        horizon: Control steps per episode.
        floors: As in `TaskFamily`, and under "reference" what a good agent reaches.
        threads: How many threads step the environments; `None`: one per processor, at most 8.

    Raises:
        FamilyError: `threads` or `frame_skip` is below 1.
    """

    def __init__(
        self,
        *,
        name: str,
        task_space: TaskSpace,
        rules: MujocoRules,
        model: str,
        frame_skip: int,
        horizon: int,
        floors: Mapping[str, float],
        threads: int | None = None,
    ) -> None:
        if frame_skip < 1 or (threads is not None and threads < 1):
            raise FamilyError(
                f"{name}: frame_skip is {frame_skip}, threads is {threads}; both must be ≥ 1 "
                "(threads=None takes one per processor)"
            )
        physics = load_physics(model)
        low, high = physics.actuator_ctrlrange.T.astype(np.float32)
        pose = MujocoState(
            positions=physics.qpos0[None], velocities=np.zeros((1, physics.nv)), time_step=1.0
        )
        n_observations = rules.observe(pose).shape[1]
        super().__init__(
            name=name,
            task_space=task_space,
            observation_space=spaces.Box(-np.inf, np.inf, (n_observations,), np.float32),
            action_space=spaces.Box(low, high, dtype=np.float32),
            horizon=horizon,
            floors={key: value for key, value in floors.items() if key != "reference"},
            reference=floors.get("reference"),
        )
        self._setup = MujocoSetup(
            model=physics,
            rules=rules,
            observation_space=self.observation_space,
            action_space=self.action_space,
            horizon=horizon,
            frame_skip=frame_skip,
            threads=threads,
        )

    def make(self, task: Task, *, render_mode: str | None = None) -> gymnasium.Env:
        """One environment of `task`, with its time limit."""
        return SingleTaskEnv(self.make_native([task], 1))

    def make_native(self, tasks: Sequence[Task], envs_per_task: int) -> MujocoVectorEnv:
        """All environments, stepped in one call per control step."""
        return MujocoVectorEnv(self._setup, tasks, envs_per_task)
