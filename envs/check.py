"""Whether a task family is fit to learn on: every problem at once."""

import warnings
from dataclasses import dataclass, field

import gymnasium
import numpy as np
from gymnasium import spaces
from gymnasium.utils.env_checker import check_env

from metarl_gan.envs.errors import FamilyError
from metarl_gan.envs.family import TaskFamily
from metarl_gan.envs.registry import make_family
from metarl_gan.envs.task import Task
from metarl_gan.envs.trace import Trace, play

_TASKS_PER_SPLIT = 100
_STEPS = 50
_TOLERANCE = 1e-4


@dataclass(frozen=True, kw_only=True)
class FamilyReport:
    """What `check_family` saw of a family that passed.

    Attributes:
        family: Its name.
        checks: What was checked, in words.
        parameter_effects: Per declared parameter, by how much at most it changed an observation
            or a reward of a seeded rollout.
    """

    family: str
    checks: tuple[str, ...]
    parameter_effects: dict[str, float]

    def __str__(self) -> str:
        lines = [f"{self.family}: {len(self.checks)} checks passed"]
        lines += [f"  {check}" for check in self.checks]
        effects = self.parameter_effects.items()
        return "\n".join([*lines, *(f"  parameter {name}: {by:.3g}" for name, by in effects)])


@dataclass(kw_only=True)
class _Findings:
    """What the checks of one family add to."""

    family: TaskFamily
    seed: int
    problems: list[str] = field(default_factory=list)
    effects: dict[str, float] = field(default_factory=dict)

    def play(self, task: Task, *, steps: int = _STEPS, vectorised: bool = False) -> Trace:
        family = self.family
        if vectorised:
            return play(family.make_vec([task]), steps=steps, seed=self.seed)
        return play(family.make(task), steps=steps, seed=self.seed)


def check_family(family: TaskFamily | str, *, seed: int = 0) -> FamilyReport:
    """Play a few episodes of a few tasks, and say what is wrong with the family.

    Args:
        family: A family, or what `make_family` takes.
        seed: Seed of tasks, environments and actions.

    Returns:
        A report, when nothing was found.

    Raises:
        FamilyError: With every problem found: unsupported spaces; splits that overlap; an
            environment that fails Gymnasium's `check_env`, forgets its task on reset, differs
            between two runs of one seed, leaves its spaces, gives NaN, or never ends; a declared
            parameter that changes nothing; `make` and `make_vec` that disagree.
    """
    family = make_family(family)
    findings = _Findings(family=family, seed=seed)
    done: list[str] = []
    for check in (_check_spaces, *_CHECKS):
        name = (check.__doc__ or "").strip().rstrip(".")
        try:
            check(findings)
        except Exception as error:  # noqa: BLE001 - a user's environment may raise anything
            findings.problems.append(f"{name}: {type(error).__name__}: {error}")
        done.append(name)
        if check is _check_spaces and findings.problems:
            break  # nothing else can run
    if findings.problems:
        listed = "\n".join(f"  {i}. {text}" for i, text in enumerate(findings.problems, 1))
        raise FamilyError(
            f"family {family.name!r} has {len(findings.problems)} problem(s):\n{listed}"
        )
    return FamilyReport(family=family.name, checks=tuple(done), parameter_effects=findings.effects)


def _check_spaces(findings: _Findings) -> None:
    """Spaces are supported."""
    observation, action = findings.family.observation_space, findings.family.action_space
    if not isinstance(observation, spaces.Box) or len(observation.shape) != 1:
        findings.problems.append(
            f"observation space {observation} is not supported; give a 1-D Box "
            "(gymnasium.wrappers.FlattenObservation makes one)"
        )
    if not isinstance(action, spaces.Discrete) and not (
        isinstance(action, spaces.Box) and len(action.shape) == 1
    ):
        findings.problems.append(
            f"action space {action} is not supported; give a 1-D Box or a Discrete"
        )


def _check_splits(findings: _Findings) -> None:
    """Splits are disjoint, and the same arguments give the same tasks."""
    family, seen = findings.family, {}
    for split in family.splits:
        tasks = family.sample(_TASKS_PER_SPLIT, split=split, seed=findings.seed)
        again = family.sample(_TASKS_PER_SPLIT, split=split, seed=findings.seed)
        if tasks != again:
            findings.problems.append(f"sample(split={split!r}) gives other tasks each time")
        for task in tasks:
            if seen.setdefault(task.id, split) != split:
                findings.problems.append(f"task {task.id} is in {seen[task.id]!r} and {split!r}")
                break


def _check_environment(findings: _Findings) -> None:
    """Every split's environment passes Gymnasium's check_env in the family's spaces."""
    family = findings.family
    for split in family.splits:
        [task] = family.sample(1, split=split, seed=findings.seed)
        env = family.make(task)
        for name in ("observation_space", "action_space"):
            made, declared = getattr(env, name), getattr(family, name)
            if made != declared:
                findings.problems.append(
                    f"{name} of {task.id} is {made}, that of the family {declared}; all tasks "
                    "must share their spaces"
                )
        _run_check_env(findings, env, task)
        env.close()


def _run_check_env(findings: _Findings, env: gymnasium.Env, task: Task) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # advice on infinite bounds and wrappers
        try:
            check_env(env, skip_render_check=True)
        except Exception as error:  # noqa: BLE001 - it asserts, environments raise anything
            findings.problems.append(f"check_env of {task.id}: {type(error).__name__}: {error}")


def _check_values(findings: _Findings) -> None:
    """Observations and rewards are finite and in their spaces, and episodes end in time."""
    family = findings.family
    for task in family.sample(2, seed=findings.seed):
        rollout = findings.play(task, steps=family.horizon)
        where = f"in a random episode of {task.id}"
        if not (np.isfinite(rollout.observations).all() and np.isfinite(rollout.rewards).all()):
            findings.problems.append(f"NaN or infinity at step {rollout.first_bad()} {where}")
        elif not rollout.inside(family.observation_space):
            findings.problems.append(f"observations leave {family.observation_space} {where}")
        if not rollout.ended:
            findings.problems.append(
                f"no end after {family.horizon} steps, the horizon, {where}; wrap the environment "
                f"in gymnasium.wrappers.TimeLimit(env, {family.horizon})"
            )


def _check_determinism(findings: _Findings) -> None:
    """A seed fixes the episode, and reset keeps the task."""
    [task] = findings.family.sample(1, seed=findings.seed)
    env = findings.family.make(task)
    first = play(env, steps=_STEPS, seed=findings.seed, close=False)
    env.reset()
    again = play(env, steps=_STEPS, seed=findings.seed)
    other = findings.play(task)
    if first.difference(other) > 0:
        findings.problems.append(
            f"two environments of {task.id} differ under one seed; draw from self.np_random only"
        )
    elif first.difference(again) > 0:
        findings.problems.append(
            f"{task.id} plays differently after another reset; reset() must keep the task and "
            "start from nothing but the seed"
        )


def _check_parameters(findings: _Findings) -> None:
    """Each declared parameter changes a seeded rollout."""
    family = findings.family
    [base] = family.sample(1, seed=findings.seed)
    before = findings.play(base)
    for name, range_ in family.parameters.items():
        others = [range_.sample(np.random.default_rng(seed)) for seed in range(20)]
        values = [value for value in others if value != base.parameters[name]]
        if not values:
            continue  # a single choice has nothing to differ from
        farthest = max(
            values, key=lambda v: abs(range_.normalise(v) - range_.normalise(base.parameters[name]))
        )
        task = family.task(**{**base.parameters, name: farthest})
        findings.effects[name] = before.difference(findings.play(task))
        if findings.effects[name] == 0:
            findings.problems.append(
                f"parameter {name!r} changes nothing: {base.parameters[name]} and {farthest} give "
                f"the same {_STEPS} steps; is it read after the environment is built?"
            )


def _check_vectorised(findings: _Findings) -> None:
    """make_vec agrees with make, and freezes what has ended."""
    family = findings.family
    tasks = family.sample(2, seed=findings.seed)
    single, batched = (
        findings.play(tasks[0], steps=10),
        findings.play(tasks[0], steps=10, vectorised=True),
    )
    if single.difference(batched) > _TOLERANCE:
        findings.problems.append(
            f"make and make_vec disagree by {single.difference(batched):.3g} within 10 steps of "
            f"{tasks[0].id} under one seed"
        )
    venv = family.make_vec(tasks, envs_per_task=2)
    if not play(venv, steps=family.horizon, seed=findings.seed, close=False).ended:
        findings.problems.append(f"make_vec: episodes are longer than {family.horizon} steps")
    else:
        actions = np.stack([family.action_space.sample() for _ in range(venv.num_envs)])
        _, rewards, terminated, truncated, _ = venv.step(actions)
        if rewards.any() or terminated.any() or truncated.any():
            findings.problems.append(
                "make_vec: environments that have ended go on; they must stay frozen until reset"
            )
    venv.close()


_CHECKS = (
    _check_splits,
    _check_environment,
    _check_values,
    _check_determinism,
    _check_parameters,
    _check_vectorised,
)
