"""What `gymnasium.make` builds of a family."""

import copy
from collections.abc import Mapping
from typing import Any

import gymnasium
import numpy as np
from gymnasium.envs.registration import EnvSpec

from metarl_gan.envs.errors import FamilyError
from metarl_gan.envs.family import TaskFamily
from metarl_gan.envs.registry import make_family
from metarl_gan.envs.task import ParameterValue, Task
from metarl_gan.envs.task_lookup import find_task


class FamilyEnv(gymnasium.Wrapper):
    """One environment of a family, of one task for as long as it lives.

    Without a task, its first reset draws one: `reset(seed=s)` that of
    `family.sample(1, split=split, seed=s)`, a reset without a seed any. The environments of
    `gymnasium.make_vec` so play different tasks. Later resets keep it; `env.get_wrapper_attr(
    "task")` is it, and `None` before.

    Args:
        family: The family.
        task: A task, or `None`.
        split: From which split the first reset draws.
        render_mode: As `family.make` takes it.

    Raises:
        FamilyError: The family cannot be rendered like that, or has no such split.
    """

    def __init__(
        self, family: TaskFamily, task: Task | None, *, split: str, render_mode: str | None
    ) -> None:
        self._family, self._split, self._render_mode = family, split, render_mode
        self.task = task
        anyone = task or family.sample(1, split=split, seed=0)[0]
        super().__init__(self._make(anyone))

    @property
    def spec(self) -> EnvSpec | None:
        """What makes an environment of the same task anew; the task is given by its id."""
        spec = copy.deepcopy(self.unwrapped.spec)
        if spec is not None:
            spec.max_episode_steps = self._family.horizon
            if self.task is not None:
                spec.kwargs["task"] = self.task.id
        return spec

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """Begin an episode; the first one draws the task, if none was given."""
        if self.task is None:
            drawn_by = seed if seed is not None else int(np.random.default_rng().integers(2**31))
            [self.task] = self._family.sample(1, split=self._split, seed=drawn_by)
            spec = self.unwrapped.spec
            self.env.close()
            self.env = self._make(self.task)
            self.env.unwrapped.spec = spec
        return self.env.reset(seed=seed, options=options)

    def _make(self, task: Task) -> gymnasium.Env:
        if self._render_mode is None:
            return self._family.make(task)
        env = self._family.make(task, render_mode=self._render_mode)
        if env.render_mode != self._render_mode:
            env.close()
            raise FamilyError(
                f"{self._family.name} cannot be rendered with render_mode={self._render_mode!r}; "
                "leave it out"
            )
        return env


def make_family_env(
    family: str,
    task: Task | Mapping[str, ParameterValue] | str | None = None,
    *,
    split: str = "train",
    render_mode: str | None = None,
    **options: Any,  # noqa: ANN401 - whatever the family's factory takes
) -> FamilyEnv:
    """The entry point of the families' ids in Gymnasium's registry.

    Args:
        family: A registered name.
        task: A `Task`, its parameters by name, its id, or `None`: drawn by the first reset.
        split: Where it is drawn from then.
        render_mode: As `family.make` takes it.
        **options: Passed to the family's factory, as by `make_family`.

    Raises:
        FamilyError: No such family, task, split or render mode.
    """
    made = make_family(family, **options)
    chosen = None if task is None else find_task(made, task)
    return FamilyEnv(made, chosen, split=split, render_mode=render_mode)
