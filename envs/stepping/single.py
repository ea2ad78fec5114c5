"""One task as a plain Gymnasium environment."""

from collections.abc import Callable
from typing import Any

import gymnasium
import numpy as np

from metarl_gan.envs.stepping.vector import TaskVectorEnv


class SingleTaskEnv(gymnasium.Env):
    """A `gymnasium.Env` around a `TaskVectorEnv` that holds a single environment.

    Families that step arrays thus need no second implementation: `make` and `make_vec` run the
    same code. The vector environment keeps the time limit.

    Args:
        venv: Holds the environment.
        picture: Draws what `venv` is in now, `[height, width, 3]` uint8: what `render` gives.

    Raises:
        ValueError: `venv` holds more than one environment.
    """

    metadata: dict[str, Any] = {  # noqa: RUF012 - as Gymnasium declares it
        "render_modes": ["rgb_array"],
        "render_fps": 20,
    }

    def __init__(
        self, venv: TaskVectorEnv, *, picture: Callable[[], np.ndarray] | None = None
    ) -> None:
        if venv.num_envs != 1:
            raise ValueError(f"venv holds {venv.num_envs} environments; give one that holds 1")
        self.task = venv.tasks[0]
        self.observation_space = venv.single_observation_space
        self.action_space = venv.single_action_space
        self.render_mode = None if picture is None else "rgb_array"
        self._venv, self._picture = venv, picture

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Begin an episode of the same task."""
        super().reset(seed=seed, options=options)
        observations, info = self._venv.reset(seed=seed)
        return observations[0], info

    def step(
        self,
        action: Any,  # noqa: ANN401 - whatever the space contains
    ) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """One step; actions are clipped to the action space."""
        result = self._venv.step(self._venv.action_format.pack(action)[None])
        observations, rewards, terminated, truncated, _ = result
        return observations[0], float(rewards[0]), bool(terminated[0]), bool(truncated[0]), {}

    def render(self) -> np.ndarray | None:
        """What it looks like now; nothing without a `picture`."""
        return None if self._picture is None else self._picture()

    def close(self) -> None:
        """Free what the vector environment holds."""
        self._venv.close()
