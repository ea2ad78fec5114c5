"""The wrapper around a family's own environments."""

from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces

from metarl_gan.envs.action_format import ActionFormat, action_format
from metarl_gan.envs.supported_spaces import action_problem
from metarl_gan.envs.task import Task


class TaskEnv(gymnasium.Wrapper):
    """An environment of one task: actions are clipped to the space, observations float32.

    Gymnasium's `ClipAction` would do, but it widens the action space to infinity.
    """

    def __init__(self, env: gymnasium.Env, task: Task) -> None:
        super().__init__(env)
        self.task = task
        self.observation_space = float32_box(env.observation_space)
        self._actions = _clipped_format(env.action_space)

    @property
    def spec(self) -> None:
        """None: an environment made anew from a specification would not be of this task."""
        return

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Begin an episode of the same task."""
        observation, info = self.env.reset(seed=seed, options=options)
        return self._float32(observation), info

    def step(self, action: Any) -> tuple[np.ndarray, Any, bool, bool, dict[str, Any]]:  # noqa: ANN401
        """One step with `action` clipped."""
        if self._actions is not None:
            action = self._actions.unpack(self._actions.clip(self._actions.pack(action)))
        observation, reward, terminated, truncated, info = self.env.step(action)
        return self._float32(observation), reward, terminated, truncated, info

    def _float32(self, observation: np.ndarray) -> np.ndarray:
        # Other spaces pass unchanged: check_family says that they are not supported.
        is_box = isinstance(self.observation_space, spaces.Box)
        return np.asarray(observation, np.float32) if is_box else observation


def float32_box(space: gymnasium.Space) -> gymnasium.Space:
    """The same `Box` in float32; any other space unchanged."""
    if not isinstance(space, spaces.Box) or space.dtype == np.float32:
        return space
    return spaces.Box(space.low.astype(np.float32), space.high.astype(np.float32), dtype=np.float32)


def _clipped_format(space: gymnasium.Space) -> ActionFormat | None:
    """The format of actions with something to clip; others pass unchanged."""
    if isinstance(space, spaces.Box):
        return action_format(space)
    passes = isinstance(space, spaces.Discrete) or action_problem(space) is not None
    return None if passes else action_format(space)
