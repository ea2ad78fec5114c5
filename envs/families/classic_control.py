"""Task families on Gymnasium's classic-control environments."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

import gymnasium
import numpy as np

from metarl_gan.envs.family import TaskFamily
from metarl_gan.envs.stepping.vector import TaskVectorEnv
from metarl_gan.envs.task import ParameterValue, Task
from metarl_gan.envs.task_env import TaskEnv
from metarl_gan.envs.task_space import TaskSpace


class ClassicRules(ABC):
    """One classic-control family on top of one of Gymnasium's environments.

    A single environment is Gymnasium's own with the task's physics. Many at once are stepped as
    arrays, so that the rules say as array operations what Gymnasium's code says of one, in its
    order and precision: the tests compare the two over whole episodes. `parameters` holds one
    float64 array `[n]` per declared parameter; states are float64 `[state, n]`, one row per
    variable.

    Attributes:
        env_id: Gymnasium's environment.
        state_size: How many variables its state has.
    """

    env_id: str
    state_size: int

    @abstractmethod
    def configure(self, env: Any, parameters: Mapping[str, ParameterValue]) -> None:  # noqa: ANN401
        """Give Gymnasium's unwrapped environment the task's physics, whatever it had before."""

    @abstractmethod
    def start(self, rng: np.random.Generator) -> np.ndarray:
        """The state `[state]` that an episode begins in, drawn as Gymnasium's `reset` does."""

    @abstractmethod
    def observe(self, states: np.ndarray) -> np.ndarray:
        """Observations `[n, obs]`."""

    @abstractmethod
    def step(
        self, states: np.ndarray, actions: np.ndarray, parameters: Mapping[str, np.ndarray]
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """One step under clipped `actions` `[n, …]`: states, rewards `[n]`, terminated `[n]`."""


class ClassicControlFamily(TaskFamily):
    """Gymnasium's environment, a task space, and rules: `cartpole.py` is one in full.

    Args:
        name: The family's name.
        task_space: Parameter ranges and splits.
        rules: The environment, physics of a task, and how many step at once.
        horizon: Time limit in steps.
        floors: As in `TaskFamily`.
        reference: As in `TaskFamily`.
    """

    def __init__(
        self,
        *,
        name: str,
        task_space: TaskSpace,
        rules: ClassicRules,
        horizon: int,
        floors: Mapping[str, float],
        reference: float,
    ) -> None:
        original = gymnasium.make(rules.env_id, disable_env_checker=True)
        super().__init__(
            name=name,
            task_space=task_space,
            observation_space=original.observation_space,
            action_space=original.action_space,
            horizon=horizon,
            floors=floors,
            reference=reference,
        )
        original.close()
        self._rules = rules

    def make(self, task: Task, *, render_mode: str | None = None) -> gymnasium.Env:
        """Gymnasium's own environment with the task's physics."""
        env = gymnasium.make(
            self._rules.env_id,
            max_episode_steps=self.horizon,
            disable_env_checker=True,
            render_mode=render_mode,
        )
        self._rules.configure(env.unwrapped, task.parameters)
        return TaskEnv(env, task)

    def retask(self, env: gymnasium.Env, task: Task) -> bool:
        """Give the same environment the physics of `task`."""
        self._rules.configure(env.unwrapped, task.parameters)
        if isinstance(env, TaskEnv):
            env.task = task
        return True

    def make_native(self, tasks: Sequence[Task], envs_per_task: int) -> TaskVectorEnv:
        """All environments as one array of states."""
        return ClassicVectorEnv(self, self._rules, tasks, envs_per_task)


class ClassicVectorEnv(TaskVectorEnv):
    """The states of all environments, float64 `[state, num_envs]`, stepped by the rules."""

    def __init__(
        self, family: TaskFamily, rules: ClassicRules, tasks: Sequence[Task], envs_per_task: int
    ) -> None:
        super().__init__(
            tasks=tasks,
            envs_per_task=envs_per_task,
            observation_space=family.observation_space,
            action_space=family.action_space,
            horizon=family.horizon,
        )
        self._rules = rules
        self._states = np.zeros((rules.state_size, self.num_envs))
        self._retask()

    def _retask(self) -> None:
        self._parameters = {name: self.parameter(name) for name in self.tasks[0].parameters}

    def _start(self, rows: np.ndarray, seed: int | None) -> tuple[np.ndarray, dict[str, Any]]:
        draws = [self._rules.start(generator) for generator in self._row_generators(rows)]
        self._states[:, rows] = np.stack(draws, axis=-1)
        return self._rules.observe(np.stack(draws, axis=-1)), {}

    def _advance(
        self, actions: np.ndarray, rows: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
        parameters = {name: values[rows] for name, values in self._parameters.items()}
        states, rewards, terminated = self._rules.step(self._states[:, rows], actions, parameters)
        self._states[:, rows] = states
        return self._rules.observe(states), rewards, terminated, np.zeros(len(rows), bool), {}
