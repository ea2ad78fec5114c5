"""What looped vector environments need to know of a family."""

from typing import Protocol

import gymnasium

from metarl_gan.envs.task import Task


class EnvironmentSource(Protocol):
    """Makes environments; every `TaskFamily` is one. See there for the members."""

    name: str
    observation_space: gymnasium.Space
    action_space: gymnasium.Space
    horizon: int

    @property
    def backends(self) -> tuple[str, ...]:
        """What the family can be stepped with."""
        ...

    def make(self, task: Task) -> gymnasium.Env:
        """One environment of `task`."""
        ...

    def retask(self, env: gymnasium.Env, task: Task) -> bool:
        """Turn `env` into one of `task` in place; False where it has to be made anew."""
        ...
