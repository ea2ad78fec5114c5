"""Checks of single environments: spaces, Gymnasium's rules, seeds, reset."""

import warnings

import gymnasium
import numpy as np
from gymnasium.utils.env_checker import check_env

from metarl_gan.envs.checks.findings import (
    SHORT,
    Findings,
    naming,
)
from metarl_gan.envs.checks.trace import play, seed_global_generators
from metarl_gan.envs.supported_spaces import action_problem, observation_problem
from metarl_gan.envs.task import Task

_TASKS_PER_SPLIT = 3  # whose spaces are compared
_STEPS_OF_CHECK_ENV = 10  # about so many, resets included
_ROUNDING = 1e-6  # of results that differ by the order of sums, say


def check_spaces(findings: Findings) -> None:
    """Spaces are supported."""
    family = findings.family
    found = (observation_problem(family.observation_space), action_problem(family.action_space))
    findings.problems += [text for text in found if text]


def check_environments(findings: Findings) -> None:
    """Every task has the family's spaces, and what its environment returns is of their type."""
    findings.play(findings.tasks(1)[0], steps=2)  # to know from the start how long steps take
    seen: set[str] = set()
    for task in [*findings.of_every_split(_TASKS_PER_SPLIT), *findings.corner_tasks()]:
        findings.clock.require(1, 0)
        with naming(task.id):
            env = findings.family.make(task)
            _compare_spaces(findings, env, task, seen)
            observation, _ = env.reset(seed=findings.seed)
            _check_type(findings, observation, env.observation_space, task, seen)
            env.close()


def check_gymnasium_rules(findings: Findings) -> None:
    """An environment of every split passes Gymnasium's check_env."""
    seen: set[str] = set()
    for task in findings.of_every_split(1):
        findings.clock.require(1, _STEPS_OF_CHECK_ENV)
        with naming(task.id):
            env = findings.family.make(task)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # advice on infinite bounds and wrappers
            try:
                check_env(env, skip_render_check=True)
            except Exception as error:  # noqa: BLE001 - it asserts, environments raise anything
                text = f"{type(error).__name__}: {error}"
                if text not in seen:
                    findings.problem(
                        f"Gymnasium's check_env of {task.id}: {text}",
                        mend="mend what it asks for; gymnasium.utils.env_checker.check_env(env) "
                        "shows the traceback",
                    )
                seen.add(text)
        env.close()


def check_seeds(findings: Findings) -> None:
    """A seed fixes the episode."""
    for task in findings.tasks(2):
        first, again, other = (findings.play_anew(task, global_seed=index) for index in (1, 1, 2))
        if gap := first.first_difference(again):
            findings.reproducible = first.difference(again) < _ROUNDING
            note = findings.warn if findings.reproducible else findings.problem
            note(
                f"two episodes of {task.id} differ under one seed and the same actions, from {gap}",
                mend="draw from self.np_random alone, which reset(seed=...) seeds, and from no "
                "clock",
            )
            return
        if gap := first.first_difference(other):
            findings.self_contained = False
            findings.problem(
                f"an episode of {task.id} depends on the global state of random or np.random, from "
                f"{gap}: workers that inherit one state play the same episodes",
                mend="draw from self.np_random, which reset(seed=...) seeds",
            )
            return


def check_reset(findings: Findings) -> None:
    """reset() keeps the task."""
    for task in findings.tasks(2):
        before = findings.play(task)
        findings.clock.require(1, SHORT + 5)
        seed_global_generators(0)
        with naming(task.id):
            env = findings.family.make(task)
            if _task_is_lost(findings, env, task):
                return
            play(env, steps=5, seed=findings.seed + 1, close=False)
            env.reset()
            after = play(env, steps=SHORT, seed=findings.seed)
        if findings.reproducible and (gap := before.first_difference(after, _ROUNDING)):
            findings.problem(
                f"{task.id} plays differently after another reset, from {gap}",
                mend="reset() must keep the task and start from nothing but the seed: put "
                "everything back that step() changes, and draw no task",
            )
            return


def _compare_spaces(findings: Findings, env: gymnasium.Env, task: Task, seen: set[str]) -> None:
    for name in ("observation_space", "action_space"):
        made, declared = getattr(env, name), getattr(findings.family, name)
        if made != declared and name not in seen:
            seen.add(name)
            findings.problem(
                f"{name} of {task.id} is {made}, that of the family {declared}",
                mend="give all tasks the same spaces: pad observations, and take bounds that "
                "hold for every task",
            )


def _check_type(
    findings: Findings, observation: object, space: gymnasium.Space, task: Task, seen: set[str]
) -> None:
    what = None
    if not isinstance(observation, np.ndarray):
        what = f"a {type(observation).__name__}, not an array"
    elif observation.dtype != space.dtype:
        what = f"{observation.dtype}, while the space is {space.dtype}"
    elif observation.shape != space.shape:
        what = f"of shape {observation.shape}, while the space's is {space.shape}"
    if what and "type" not in seen:
        seen.add("type")
        findings.problem(
            f"the observation that reset() of {task.id} returns is {what}",
            mend=f"return np.asarray(observation, np.{space.dtype}) of shape {space.shape}",
        )


def _task_is_lost(findings: Findings, env: gymnasium.Env, task: Task) -> bool:
    """Whether a reset changes what the environment itself says of its task."""
    names = [name for name in task.parameters if _says(env, name) == task.parameters[name]]
    env.reset(seed=findings.seed)
    env.reset()
    said = getattr(env, "task", task)
    lost = [
        f"{name} is {_says(env, name)}"
        for name in names
        if _says(env, name) != task.parameters[name]
    ]
    if isinstance(said, Task) and said != task:
        lost.append(f"env.task is {said.id}")
    if lost:
        findings.problem(
            f"reset() changes the task: after it, {' and '.join(lost)} in an environment of "
            f"{task.id}",
            mend="reset() must keep the task: it draws none and puts no parameter back",
        )
    return bool(lost)


def _says(env: gymnasium.Env, name: str) -> object:
    """The attribute of that name; `None` where there is none, or it is no number or text."""
    value = getattr(env.unwrapped, name, None) if name.isidentifier() else None
    return value if isinstance(value, int | float | str) else None
