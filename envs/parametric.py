"""Any Gymnasium environment as a task family."""

from collections.abc import Callable, Mapping, Sequence

import gymnasium

from metarl_gan.envs.attributes import set_attribute
from metarl_gan.envs.distributions import Distribution
from metarl_gan.envs.errors import FamilyError
from metarl_gan.envs.family import TaskFamily, require_horizon
from metarl_gan.envs.task import Task
from metarl_gan.envs.task_env import TaskEnv, float32_box
from metarl_gan.envs.task_space import TaskSpace

Splits = Sequence[str] | Mapping[str, Mapping[str, Distribution]]


class ParametricFamily(TaskFamily):
    """Tasks that differ by named parameters of a Gymnasium environment.

    >>> from metarl_gan.envs import ParametricFamily, Uniform
    >>> ranges = {"g": Uniform(5.0, 15.0, unit="m/s^2"), "m": Uniform(0.5, 2.0, unit="kg")}
    >>> family = ParametricFamily("Pendulum-v1", ranges, horizon=200)
    >>> [task] = family.sample(1, split="test", seed=0)
    >>> round(family.make(task).unwrapped.g, 3) == round(task.parameters["g"], 3)
    True

    Args:
        env: The id of a registered environment, whose unwrapped instance gets each parameter as
            an attribute (also `"model.body_mass[torso]"`, see `set_attribute`); or a callable
            `make(**parameters)` that returns an environment. What a constructor derived from an
            attribute does not follow it: prefer a callable there, and run `check_family`.
        parameters: The range of each parameter.
        horizon: Time limit of an episode in steps.
        name: The family's name; the environment's id or the callable's name by default.
        splits: The splits that exist, e.g. `("train",)`, or ranges that differ per split, e.g.
            `{"ood": {"g": Uniform(15.0, 20.0)}}`, beside train and test.
        floors: As in `TaskFamily`.

    Raises:
        FamilyError: The environment cannot be made, or has no such parameter.
    """

    def __init__(
        self,
        env: str | Callable[..., gymnasium.Env],
        parameters: Mapping[str, Distribution],
        *,
        horizon: int,
        name: str | None = None,
        splits: Splits = (),
        floors: Mapping[str, float] | None = None,
    ) -> None:
        overrides = splits if isinstance(splits, Mapping) else {}
        task_space = TaskSpace(
            parameters=parameters,
            overrides=overrides,
            splits=() if isinstance(splits, Mapping) else tuple(splits),
        )
        name = name or (env if isinstance(env, str) else getattr(env, "__name__", "parametric"))
        name = name.replace("/", "-")
        require_horizon(name, horizon)
        self._env = env
        self._horizon = horizon
        sample = task_space.sample(1, split="train", seed=0)[0]
        probe = self._build(task_space.task(name, sample))
        super().__init__(
            name=name,
            task_space=task_space,
            observation_space=float32_box(probe.observation_space),
            action_space=probe.action_space,
            horizon=horizon,
            floors=floors,
        )
        probe.close()

    def make(self, task: Task, *, render_mode: str | None = None) -> gymnasium.Env:
        """One environment of `task`, with its time limit."""
        return TaskEnv(self._build(task, render_mode), task)

    def retask(self, env: gymnasium.Env, task: Task) -> bool:
        """Set the attributes; what a callable made has to be made anew."""
        if not isinstance(self._env, str):
            return False
        _configure(env, task)
        if isinstance(env, TaskEnv):
            env.task = task
        return True

    def _build(self, task: Task, render_mode: str | None = None) -> gymnasium.Env:
        # Only where somebody wants to see it: not every environment knows render_mode.
        shown = {} if render_mode is None else {"render_mode": render_mode}
        if not isinstance(self._env, str):
            made = self._env(**task.parameters, **shown)
            if not isinstance(made, gymnasium.Env):
                raise FamilyError(f"{self._env!r} returned {made!r}, which is no gymnasium.Env")
            return gymnasium.wrappers.TimeLimit(made, self._horizon)
        try:
            env = gymnasium.make(
                self._env, max_episode_steps=self._horizon, disable_env_checker=True, **shown
            )
        except gymnasium.error.Error as error:
            raise FamilyError(f"environment {self._env!r} cannot be made: {error}") from error
        _configure(env, task)
        return env


def _configure(env: gymnasium.Env, task: Task) -> None:
    for path, value in task.parameters.items():
        set_attribute(env, path, value)
    if any(path.startswith("model.") for path in task.parameters):
        _refresh_mujoco(env)


def _refresh_mujoco(env: gymnasium.Env) -> None:
    """Recompute what a MuJoCo model derives from masses and inertias."""
    model = getattr(env.unwrapped, "model", None)
    if type(model).__name__ != "MjModel":
        return
    from metarl_gan.envs.mujoco_api import MjData, mj_setConst

    mj_setConst(model, MjData(model))
