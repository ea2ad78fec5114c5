"""Environments that leave the seed of a reset alone."""

from typing import Any

import gymnasium


class SeededEnv(gymnasium.Wrapper):
    """Seeds `np_random` of the unwrapped environment, which its own `reset` may not do.

    Meta-World's starts where the task says, and those of the old `gym` have another generator.
    """

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """Begin an episode."""
        if seed is not None:
            gymnasium.Env.reset(self.unwrapped, seed=seed)
        return self.env.reset(seed=seed, options=options)
