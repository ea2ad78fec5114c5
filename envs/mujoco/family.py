"""A task family on one of Gymnasium's MuJoCo environments."""

from collections.abc import Mapping, Sequence
from typing import Any

import gymnasium
import numpy as np

from metarl_gan.envs.errors import FamilyError
from metarl_gan.envs.family import TaskFamily
from metarl_gan.envs.mujoco.model import load_physics, refresh
from metarl_gan.envs.mujoco.rules import MujocoRules, MujocoState
from metarl_gan.envs.mujoco.vector import MujocoSetup, MujocoVectorEnv
from metarl_gan.envs.task import Task
from metarl_gan.envs.task_env import TaskEnv, float32_box
from metarl_gan.envs.task_space import TaskSpace


class MujocoFamily(TaskFamily):
    """Gymnasium's environment, a task space, and rules: see `half_cheetah.py` for one in full.

    Args:
        name: The family's name.
        task_space: Parameter ranges and splits.
        rules: The environment, reward, and physics of a task.
        horizon: Control steps per episode.
        floors: As in `TaskFamily`, and under "reference" what a good agent reaches.
        threads: How many threads step the environments; `None`: one per processor.

    Raises:
        FamilyError: `threads` is below 1.
    """

    def __init__(
        self,
        *,
        name: str,
        task_space: TaskSpace,
        rules: MujocoRules,
        horizon: int,
        floors: Mapping[str, float],
        threads: int | None = None,
    ) -> None:
        if threads is not None and threads < 1:
            raise FamilyError(
                f"{name}: threads is {threads}; it must be ≥ 1, or None for one per processor"
            )
        original = gymnasium.make(rules.env_id, disable_env_checker=True, **rules.env_options)
        physics: Any = original.unwrapped
        super().__init__(
            name=name,
            task_space=task_space,
            observation_space=float32_box(original.observation_space),
            action_space=float32_box(original.action_space),
            horizon=horizon,
            floors={key: value for key, value in floors.items() if key != "reference"},
            reference=floors.get("reference"),
        )
        self._setup = MujocoSetup(
            model=load_physics(physics.fullpath),
            rules=rules,
            observation_space=self.observation_space,
            action_space=self.action_space,
            horizon=horizon,
            frame_skip=physics.frame_skip,
            threads=threads,
        )
        original.close()

    def make(self, task: Task, *, render_mode: str | None = None) -> gymnasium.Env:
        """Gymnasium's own environment with the task's physics and reward."""
        rules = self._setup.rules
        env = gymnasium.make(
            rules.env_id,
            max_episode_steps=self.horizon,
            disable_env_checker=True,
            render_mode=render_mode,
            **rules.env_options,
        )
        physics: Any = env.unwrapped
        if rules.configure(physics.model, task.parameters):
            refresh(physics.model)
        return TaskEnv(_TaskReward(env, rules, task, self._setup.time_step), task)

    def make_native(self, tasks: Sequence[Task], envs_per_task: int) -> MujocoVectorEnv:
        """All environments as arrays, stepped by threads."""
        return MujocoVectorEnv(self._setup, tasks, envs_per_task)


class _TaskReward(gymnasium.Wrapper):
    """The task's reward in place of Gymnasium's; that one stays in `info["original_reward"]`."""

    def __init__(
        self, env: gymnasium.Env, rules: MujocoRules, task: Task, time_step: float
    ) -> None:
        super().__init__(env)
        self._rules = rules
        self._time_step = time_step
        self._parameters = {
            name: np.array([value], np.float64)
            for name, value in task.parameters.items()
            if not isinstance(value, str)
        }

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """One control step, rewarded by the rules."""
        before = self._state()
        observation, original, terminated, truncated, info = self.env.step(action)
        actions = np.asarray(action, np.float64)[None]
        rewards = self._rules.reward(before, self._state(), actions, self._parameters)
        info = {**info, "original_reward": original}
        return observation, float(rewards[0]), terminated, truncated, info

    def _state(self) -> MujocoState:
        data: Any = self.env.unwrapped
        names = ("qpos", "qvel", *self._rules.fields)
        arrays = {name: np.array(getattr(data.data, name))[None] for name in names}
        return MujocoState(arrays=arrays, time_step=self._time_step)
