"""Many tasks as a vector environment of Stable-Baselines3, whose episodes are trials."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from gymnasium import spaces
from stable_baselines3.common.vec_env import VecEnv
from stable_baselines3.common.vec_env.base_vec_env import VecEnvIndices

from metarl_gan.agents.collector import AllTasksDroppedError, DroppedTask
from metarl_gan.agents.sb3_actions import Sb3Actions
from metarl_gan.agents.told import Told
from metarl_gan.envs.stepping.vector import TaskVectorEnv
from metarl_gan.envs.task import Task


class TrialVecEnv(VecEnv):
    """`venv` with what is told appended to observations; all environments move in one call.

    What Stable-Baselines3 takes for an episode is a trial: `episodes_per_trial` episodes of one
    task, at whose end alone `done` is True, so that a recurrent policy's state lasts through a
    trial and is reset between trials. New tasks come for all environments together, after as many
    steps as a trial takes at most; where episodes end early, a task is played in trial after
    trial until then, and the last one is cut. A trial that ends because of time is marked as
    truncated, for its value to be bootstrapped; other ends are terminal.

    An environment that breaks, or returns a number that is not finite, ends its trial with reward
    0 and an observation of zeros, and its task is listed in `dropped`.

    Args:
        venv: One environment per task.
        draw_tasks: The tasks of a block of trials, by its number: as many as `venv` has.
        told: Of as many environments as `venv` has.
        episodes_per_trial: 1 for policies that remember nothing.
        seed: Of the environments' randomness.
    """

    def __init__(
        self,
        venv: TaskVectorEnv,
        draw_tasks: Callable[[int], Sequence[Task]],
        told: Told,
        *,
        episodes_per_trial: int,
        seed: int,
    ) -> None:
        self._venv, self._draw_tasks, self._told = venv, draw_tasks, told
        self._episodes_per_trial, self._seed = episodes_per_trial, seed
        self.block_steps = episodes_per_trial * venv.horizon
        """Steps of each environment between changes of task."""
        self.real_steps = 0
        """Environment steps taken so far."""
        self.dropped: dict[str, DroppedTask] = {}
        """By id of the task."""
        self._actions = Sb3Actions(venv.single_action_space)
        self._pending = np.zeros(0)
        self._block = self._time = 0
        self._episodes = np.zeros(venv.num_envs, np.int64)
        size = int(np.prod(venv.single_observation_space.shape or ())) + told.values.shape[1]
        space = spaces.Box(-np.inf, np.inf, (size,), np.float32)
        super().__init__(venv.num_envs, space, self._actions.space)

    def reset(self) -> np.ndarray:
        """Begin the first block anew; steps stay counted."""
        self._block = 0
        return self._begin_block()

    @property
    def begins_block(self) -> bool:
        """Whether all environments are about to take the first step of their tasks."""
        return self._block > 0 and self._time == 0

    @property
    def block(self) -> int:
        """The number of the present block, from 0."""
        return self._block - 1

    def go_to(self, block: int, real_steps: int) -> None:
        """Begin a block as if those before it had been played, with so many steps."""
        self._block, self.real_steps = block, real_steps
        self._begin_block()

    def step_async(self, actions: np.ndarray) -> None:
        """Remember the actions for `step_wait`."""
        self._pending = self._actions.to_environment(actions)

    def step_wait(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, list[dict]]:
        """Observations `[envs, obs + told]`, rewards, ends of trials and infos."""
        observations, rewards, terminated, truncated, info = self._venv.step(self._pending)
        stepped = np.asarray(info["stepped"])
        self.real_steps += int(stepped.sum())
        broken = self._mend(observations, rewards, info.get("failures", {}))
        terminated = terminated | broken
        ended = terminated | truncated
        self._told.note(self._pending, rewards, ended, stepped)
        self._time += 1
        self._episodes += ended
        over = self._time == self.block_steps
        done = (self._episodes >= self._episodes_per_trial) | broken | over
        infos = self._infos(done, terminated, self._told.beside(observations))
        if over:
            return self._begin_block(), rewards, done, infos
        if ended.any():
            observations = self._restart(ended, done)
        return self._told.beside(observations), rewards, done, infos

    def _begin_block(self) -> np.ndarray:
        self._venv.set_tasks(self._draw_tasks(self._block))
        # Blocks do not share seeds: a row's is the block's plus its number.
        observations, info = self._venv.reset(seed=self._seed + self._block * self.num_envs)
        self._block += 1
        self._time = 0
        self._episodes[:] = 0
        self._told.begin(self._tasks, np.ones(self.num_envs, bool))
        self._mend(observations, np.zeros(self.num_envs), info.get("failures", {}))
        return self._told.beside(observations)

    def _restart(self, ended: np.ndarray, done: np.ndarray) -> np.ndarray:
        """New episodes where one ended, which are of a new trial where that is done."""
        observations, info = self._venv.reset(options={"reset_mask": ended})
        self._mend(observations, np.zeros(self.num_envs), info.get("failures", {}))
        self._told.begin(self._tasks, done)
        self._episodes[done] = 0
        return observations

    @property
    def _tasks(self) -> list[Task]:
        return [task for task in self._venv.tasks for _ in range(self._venv.envs_per_task)]

    def _infos(
        self, done: np.ndarray, terminated: np.ndarray, reached: np.ndarray
    ) -> list[dict[str, Any]]:
        infos: list[dict[str, Any]] = [{} for _ in range(self.num_envs)]
        for row in np.flatnonzero(done).tolist():
            infos[row] = {
                "terminal_observation": reached[row],
                "TimeLimit.truncated": not terminated[row],
            }
        return infos

    def _mend(
        self, observations: np.ndarray, rewards: np.ndarray, failures: dict[int, str]
    ) -> np.ndarray:
        """Which environments are broken; zeros take the place of what they returned.

        Raises `AllTasksDroppedError` if all are.
        """
        broken = ~(np.isfinite(observations).all(-1) & np.isfinite(rewards))
        if not broken.any():
            return broken
        for row in np.flatnonzero(broken).tolist():
            task, text = self._tasks[row].id, failures.get(row)
            reason = f"the environment failed in {text}" if text else "a number was not finite"
            self.dropped.setdefault(task, DroppedTask(task_id=task, reason=reason))
        if broken.all():
            raise AllTasksDroppedError(tuple(self.dropped.values()), self.real_steps)
        observations[broken], rewards[broken] = 0.0, 0.0
        return broken

    def close(self) -> None:
        """Close the environments."""
        self._venv.close()

    def get_attr(self, attr_name: str, indices: VecEnvIndices = None) -> list[Any]:
        """Stable-Baselines3 asks for `render_mode` alone; nothing else is here to be had."""
        if attr_name != "render_mode":
            raise AttributeError(f"environments that move as arrays have no {attr_name!r} each")
        return [None] * self.num_envs

    def set_attr(self, attr_name: str, value: Any, indices: VecEnvIndices = None) -> None:  # noqa: ANN401
        """Refused: see `get_attr`."""
        raise AttributeError(f"environments that move as arrays have no {attr_name!r} each")

    def env_method(
        self,
        method_name: str,
        *method_args: Any,  # noqa: ANN401
        indices: VecEnvIndices = None,
        **method_kwargs: Any,  # noqa: ANN401
    ) -> list[Any]:
        """Refused: see `get_attr`."""
        raise AttributeError(f"environments that move as arrays have no {method_name!r} each")

    def env_is_wrapped(self, wrapper_class: type, indices: VecEnvIndices = None) -> list[bool]:
        """None of them is."""
        return [False] * self.num_envs
