"""Actions as Stable-Baselines3 wants them: in [-1, 1], or numbered from 0."""

import gymnasium
import numpy as np
from gymnasium import spaces


def sb3_problem(space: gymnasium.Space) -> str | None:
    """Why Stable-Baselines3 cannot act in `space`; `None` for bounded 1-D `Box` and `Discrete`."""
    if isinstance(space, spaces.Discrete):
        return None
    if isinstance(space, spaces.Box) and len(space.shape) == 1:
        if space.is_bounded():
            return None
        return f"Stable-Baselines3 needs actions with finite bounds, and these are {space}"
    return f"needs 1-D Box or Discrete actions, and these are {space}"


class Sb3Actions:
    """Turns the actions of `space` into those of the environment, and says what `space` is.

    Continuous actions are in half ranges about the middle, so that one initial standard deviation
    suits every family.
    """

    def __init__(self, own: gymnasium.Space) -> None:
        if problem := sb3_problem(own):
            raise ValueError(problem)
        self._start, self._box = 0, None
        if isinstance(own, spaces.Discrete):
            self._start = int(own.start)
            self.space: gymnasium.Space = spaces.Discrete(int(own.n))
        else:
            assert isinstance(own, spaces.Box)
            self._box = own
            self.space = spaces.Box(-1.0, 1.0, own.shape, np.float32)

    def to_environment(self, actions: np.ndarray) -> np.ndarray:
        """Actions of `space` `[envs, ...]` as the environment takes them."""
        if self._box is None:
            return actions + self._start
        low, high = self._box.low, self._box.high
        return (low + (actions + 1.0) * 0.5 * (high - low)).astype(np.float32)
