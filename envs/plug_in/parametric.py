"""Any Gymnasium environment as a task family."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import gymnasium

from metarl_gan.envs.distributions import Distribution
from metarl_gan.envs.errors import FamilyError
from metarl_gan.envs.family import TaskFamily, require_horizon
from metarl_gan.envs.plug_in.attributes import AttributeParameters
from metarl_gan.envs.task import Task
from metarl_gan.envs.task_env import TaskEnv, float32_box
from metarl_gan.envs.task_space import TaskSpace

Splits = Sequence[str] | Mapping[str, Mapping[str, Distribution]]

CONSTRUCTOR = "kwargs."
"""What the name of a parameter begins with that the environment's constructor takes."""
WRAPPER = "wrapper."
"""What the name of a parameter begins with that the wrapper takes."""


class ParametricFamily(TaskFamily):
    """Tasks that differ by named parameters of a Gymnasium environment.

    >>> from metarl_gan.envs import ParametricFamily, Uniform
    >>> ranges = {"g": Uniform(5.0, 15.0, unit="m/s^2"), "m": Uniform(0.5, 2.0, unit="kg")}
    >>> family = ParametricFamily("Pendulum-v1", ranges, horizon=200)
    >>> [task] = family.sample(1, split="test", seed=0)
    >>> round(family.make(task).unwrapped.g, 3) == round(task.parameters["g"], 3)
    True

    The name of a parameter says where it goes:

    - `"g"`, `"model.body_mass[torso]"`: an attribute of the unwrapped environment, or a place in
      its MuJoCo model; `"model.dof_damping *"`: a factor of what is there (see
      `AttributeParameters`). What a constructor derived from an attribute does not follow it:
      prefer the next there, and run `check_family`;
    - `"kwargs.gravity"`: the keyword argument `gravity` of the environment's constructor;
    - `"wrapper.wind"`: the keyword argument `wind` of `wrapper`;
    - where `env` is a callable: its keyword arguments, names as they are.

    Args:
        env: The id of a registered environment, or a callable `make(**parameters)` that returns
            an environment.
        parameters: The range of each parameter.
        horizon: Time limit of an episode in steps, counted outside of `wrapper`.
        name: The family's name; the environment's id or the callable's name by default.
        splits: The splits that exist, e.g. `("train",)`, or ranges that differ per split, e.g.
            `{"ood": {"g": Uniform(15.0, 20.0)}}`, beside train and test.
        floors: As in `TaskFamily`.
        wrapper: Called with each environment, and with the parameters that are its own; returns
            what is stepped, e.g. `flatten_observations`.

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
        wrapper: Callable[..., gymnasium.Env] | None = None,
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
        self._env, self._horizon, self._wrapper = env, horizon, wrapper
        self._places = _require_places(name, list(parameters), env, wrapper)
        self._originals: dict[str, Any] = {}
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
        """Set the attributes; what a constructor or a wrapper was told has to be made anew."""
        if self._places is None or any(
            name.startswith((CONSTRUCTOR, WRAPPER)) for name in task.parameters
        ):
            return False
        self._places.apply(env, task.parameters, self._originals)
        if isinstance(env, TaskEnv):
            env.task = task
        return True

    def _build(self, task: Task, render_mode: str | None = None) -> gymnasium.Env:
        # Only where somebody wants to see it: not every environment knows render_mode.
        shown = {} if render_mode is None else {"render_mode": render_mode}
        env = self._make_env(task, shown)
        if self._places is not None:
            self._originals = self._places.originals(env)
            self._places.apply(env, task.parameters, self._originals)
        if self._wrapper is not None:
            env = _called(self._wrapper, _own(task, WRAPPER), env)
        return gymnasium.wrappers.TimeLimit(env, self._horizon)

    def _make_env(self, task: Task, shown: dict[str, str]) -> gymnasium.Env:
        if not isinstance(self._env, str):
            names = [name for name in task.parameters if not name.startswith(WRAPPER)]
            return _called(self._env, {name: task.parameters[name] for name in names} | shown)
        try:
            return gymnasium.make(
                self._env,
                max_episode_steps=-1,  # the limit is set around the wrapper
                disable_env_checker=True,
                **_own(task, CONSTRUCTOR),
                **shown,
            )
        except Exception as error:
            raise FamilyError(
                f"environment {self._env!r} cannot be made: {type(error).__name__}: {error}"
            ) from error


def _require_places(
    name: str,
    parameters: Sequence[str],
    env: str | Callable[..., gymnasium.Env],
    wrapper: Callable[..., gymnasium.Env] | None,
) -> AttributeParameters | None:
    """The parameters that are attributes; `None` where all are those of a callable."""
    for_wrapper = [parameter for parameter in parameters if parameter.startswith(WRAPPER)]
    if for_wrapper and wrapper is None:
        raise FamilyError(f"{name}: parameters {for_wrapper} are for a wrapper; give wrapper=…")
    others = [parameter for parameter in parameters if parameter not in for_wrapper]
    if isinstance(env, str):
        return AttributeParameters([n for n in others if not n.startswith(CONSTRUCTOR)])
    wrong = [parameter for parameter in others if not parameter.isidentifier()]
    if wrong:
        raise FamilyError(
            f"{name}: parameters {wrong} are no keyword arguments of a callable; give their plain "
            "names, or the id of a registered environment in place of the callable"
        )
    return None


def _own(task: Task, prefix: str) -> dict[str, Any]:
    """The parameters whose names begin with `prefix`, without it."""
    return {
        name.removeprefix(prefix): value
        for name, value in task.parameters.items()
        if name.startswith(prefix)
    }


def _called(
    function: Callable[..., gymnasium.Env], keywords: Mapping[str, Any], *args: gymnasium.Env
) -> gymnasium.Env:
    try:
        made = function(*args, **keywords)
    except Exception as error:
        given = ", ".join(f"{name}={value!r}" for name, value in keywords.items())
        raise FamilyError(
            f"{function!r} cannot make an environment of {given or 'no parameters'}: "
            f"{type(error).__name__}: {error}"
        ) from error
    if not isinstance(made, gymnasium.Env):
        raise FamilyError(f"{function!r} returned {made!r}, which is no gymnasium.Env")
    return made
