"""The interface of a task family."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence

import gymnasium

from metarl_gan.envs.distributions import Distribution
from metarl_gan.envs.errors import FamilyError
from metarl_gan.envs.stepping.backends import Stepping, choose_backend, make_looped
from metarl_gan.envs.stepping.vector import TaskVectorEnv
from metarl_gan.envs.task import ParameterValue, Task
from metarl_gan.envs.task_space import TaskSpace


class TaskFamily(ABC):
    """A distribution over tasks that share observation and action spaces.

    A subclass calls `super().__init__` with what it is, and implements `make`; the rest has
    defaults. One that steps all environments as arrays implements `make_native`; one whose
    environments change their task cheaply implements `retask`. Most families need no subclass:
    see `ParametricFamily`.

    Attributes:
        name: The family's name, the first part of its tasks' ids.
        task_space: Parameter ranges and splits.
        observation_space: 1-D `Box`, the same for all tasks.
        action_space: 1-D `Box`, `Discrete`, 1-D `MultiDiscrete`, or a `Tuple` or `Dict` of those;
            the same for all tasks.
        horizon: Time limit of an episode in environment steps.
        floors: Mean return per episode of policies that know nothing, on train tasks, e.g.
            `{"zero_action": -38.3, "random": -63.0}`; empty if not measured.
        reference: A return per episode that a good agent reaches on them; `None` if unknown.
    """

    def __init__(
        self,
        *,
        name: str,
        task_space: TaskSpace,
        observation_space: gymnasium.Space,
        action_space: gymnasium.Space,
        horizon: int,
        floors: Mapping[str, float] | None = None,
        reference: float | None = None,
    ) -> None:
        if not name or "/" in name:
            raise FamilyError(f"family name {name!r}: give a name without '/'")
        require_horizon(name, horizon)
        self.name = name
        self.task_space = task_space
        self.observation_space = observation_space
        self.action_space = action_space
        self.horizon = horizon
        self.floors = dict(floors or {})
        self.reference = reference

    @property
    def splits(self) -> tuple[str, ...]:
        """The splits that exist, in the order train, test, ood."""
        return self.task_space.splits

    @property
    def parameters(self) -> Mapping[str, Distribution]:
        """The declared train ranges by parameter name, with units."""
        return self.task_space.ranges("train")

    def levels(self, split: str) -> tuple[dict[str, float], float | None]:
        """Floors and reference on `split`.

        They were measured on the ranges of `train`: of a split with others nothing is known.
        """
        if self.task_space.ranges(split) != self.task_space.ranges("train"):
            return {}, None
        return dict(self.floors), self.reference

    def sample(self, n: int, *, split: str = "train", seed: int) -> list[Task]:
        """Draw `n` tasks of `split`: same arguments, same tasks; splits never overlap.

        Raises `FamilyError` for a split that this family does not have.
        """
        return [
            self.task_space.task(self.name, parameters)
            for parameters in self.task_space.sample(n, split=split, seed=seed)
        ]

    def task(self, **parameters: ParameterValue) -> Task:
        """The task with exactly these parameters, e.g. `family.task(x=0.25, y=-0.1)`."""
        return self.task_space.task(self.name, parameters)

    @property
    def backends(self) -> tuple[str, ...]:
        """What `make_vec` can step this family with; "native" where all move as arrays."""
        native = type(self).make_native is not TaskFamily.make_native
        return ("native", "sync", "async") if native else ("sync", "async")

    @abstractmethod
    def make(self, task: Task, *, render_mode: str | None = None) -> gymnasium.Env:
        """One environment of `task`; `reset()` keeps the task; ends at `horizon`.

        `render_mode` is given only where somebody wants to see it: a subclass that cannot be
        rendered may leave it out.
        """

    def make_vec(
        self,
        tasks: Sequence[Task],
        envs_per_task: int = 1,
        *,
        backend: str = "auto",
        step_timeout_s: float = 60.0,
        processes: int | None = None,
    ) -> TaskVectorEnv:
        """`len(tasks) * envs_per_task` environments stepped together, task-major.

        Every backend gives the same numbers under a seed.

        Args:
            tasks: At least one.
            envs_per_task: Environments of each task.
            backend: "native" (all as arrays, in this process), "sync" (one after the other in
                this process), "async" (in other processes), or "auto": native where there is
                one; else sync, and async as soon as steps are seen to take so long that it pays.
            step_timeout_s: "async": an environment that takes longer in a step, or ten times
                longer in being built or reset, is given up and reported.
            processes: "async": how many; `None` takes one per processor.

        Raises `FamilyError` for a backend that this family does not have, and where not one
        environment can be made. Single ones that cannot are reported by `reset`.
        """
        stepping = Stepping(backend=backend, step_timeout_s=step_timeout_s, processes=processes)
        chosen = choose_backend(self, stepping)
        if chosen == "native":
            return self.make_native(tasks, envs_per_task)
        return make_looped(self, tasks, envs_per_task, chosen, stepping)

    def make_native(self, tasks: Sequence[Task], envs_per_task: int) -> TaskVectorEnv:
        """All environments as arrays; implemented by families that can."""
        raise FamilyError(f"{self.name} has no native stepping; give one of {self.backends}")

    def retask(self, env: gymnasium.Env, task: Task) -> bool:
        """Turn `env`, which `make` returned, into one of `task` in place.

        Returns False where it has to be made anew, as by default.
        """
        return False


def require_horizon(name: str, horizon: int) -> None:
    """Raise `FamilyError` unless `horizon` is a whole number of steps, at least 1."""
    if not isinstance(horizon, int) or horizon < 1:
        raise FamilyError(f"{name}: horizon is {horizon!r}; give the time limit in steps, ≥ 1")
