"""Whether a task family is fit to learn on: every problem at once."""

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np

from metarl_gan.envs.checks.effects import check_parameters, check_tasks_differ
from metarl_gan.envs.checks.environment import (
    check_environments,
    check_gymnasium_rules,
    check_reset,
    check_seeds,
    check_spaces,
)
from metarl_gan.envs.checks.findings import (
    N_DRAWN,
    SHORT,
    BrokenEnvironmentError,
    Clock,
    Findings,
    OutOfTimeError,
    naming,
)
from metarl_gan.envs.checks.leaks import check_leaks
from metarl_gan.envs.checks.other_process import OtherProcess
from metarl_gan.envs.checks.stepping import check_backends, check_ends
from metarl_gan.envs.checks.tasks import check_draws, check_other_process, check_splits
from metarl_gan.envs.checks.values import check_time_limit, check_values
from metarl_gan.envs.errors import FamilyError
from metarl_gan.envs.family import TaskFamily
from metarl_gan.envs.registry import make_family

Check = Callable[[Findings], None]

# Without reproducible episodes there is nothing that the last of these could compare.
_FIRST = (check_draws, check_splits, check_environments, check_gymnasium_rules, check_seeds)
_ALONE = (check_reset, check_values, check_time_limit)
_COMPARING = (check_parameters, check_tasks_differ)
_TOGETHER = (check_backends,)
_LAST = (check_ends, check_leaks, check_other_process)


@dataclass(frozen=True, kw_only=True)
class FamilyReport:
    """What `check_family` saw of a family that passed.

    Attributes:
        family: Its name.
        checks: What was checked, in words.
        warnings: What may be a mistake, and what to do if it is one.
        skipped: What was not checked, and why.
        parameter_effects: Per declared parameter, by how much at most it changed an observation
            or a reward of a seeded episode, where it was looked for.
    """

    family: str
    checks: tuple[str, ...]
    warnings: tuple[str, ...]
    skipped: tuple[str, ...]
    parameter_effects: dict[str, float]

    def __str__(self) -> str:
        effects = [f"parameter {name}: {by:.3g}" for name, by in self.parameter_effects.items()]
        head = f"{self.family}: {len(self.checks)} checks passed"
        return "\n".join(
            [
                head + (f", {len(self.warnings)} warning(s)" if self.warnings else ""),
                *(f"  {line}" for line in (*self.checks, *effects)),
                *_remarks(self.warnings, self.skipped),
            ]
        )


class FamilyCheckError(FamilyError):
    """A family that did not pass `check_family`.

    Attributes:
        problems: Every problem found: what, where, and how to mend it.
        warnings: What may be a mistake.
        skipped: What was not checked, and why.
    """

    def __init__(self, findings: Findings) -> None:
        self.problems = tuple(findings.problems)
        self.warnings = tuple(findings.warnings)
        self.skipped = tuple(findings.skipped)
        lines = [
            f"family {findings.family.name!r} has {len(self.problems)} problem(s):",
            *_numbered(self.problems),
            *_remarks(self.warnings, self.skipped),
        ]
        super().__init__("\n".join(lines))


def check_family(family: TaskFamily | str, *, seed: int = 0, seconds: float = 60.0) -> FamilyReport:
    """Play episodes of some tasks, and say everything that is wrong with the family.

    Args:
        family: A family, or what `make_family` takes.
        seed: Of tasks, environments and actions.
        seconds: About how long it may take. What would take longer is left out, and said so.

    Returns:
        A report, when nothing was found but what may be meant so (`warnings`).

    Raises:
        FamilyError: With every problem found. Of what is drawn: splits that overlap, tasks that
            repeat or depend on more than the seed. Of single environments: unsupported or
            differing spaces, what Gymnasium's `check_env` finds, an episode that a seed does not
            fix, a reset that changes the task, numbers that are not finite or leave their space,
            no time limit. Of tasks: two that are the same, parameters that do nothing. Of
            environments stepped together: rows that differ from single environments or keep
            something of their last task, on every backend.
    """
    family = make_family(family)
    elsewhere = OtherProcess(family, n_tasks=N_DRAWN, steps=SHORT, seed=seed)
    findings = Findings(family=family, seed=seed, clock=Clock(seconds=seconds), elsewhere=elsewhere)
    try:
        with _global_generators_kept():
            checks = _run(findings)
    finally:
        elsewhere.close()
    if findings.problems:
        raise FamilyCheckError(findings)
    return FamilyReport(
        family=family.name,
        checks=checks,
        warnings=tuple(findings.warnings),
        skipped=tuple(findings.skipped),
        parameter_effects=findings.effects,
    )


def _run(findings: Findings) -> tuple[str, ...]:
    """Run all checks that make sense; returns, in words, those that ran to their end."""
    broken: dict[str, list[str]] = {}
    done = _run_all(findings, (check_spaces,), broken)
    if not findings.problems:
        done += _run_all(findings, _FIRST, broken)
        comparing = _COMPARING if findings.reproducible else ()
        alike = findings.reproducible and findings.self_contained
        together = _TOGETHER if alike else ()
        findings.skipped += [
            f"{_words(check)} (a seed does not fix an episode)"
            for check in (*_COMPARING, *_TOGETHER)
            if check not in (*comparing, *together)
        ]
        done += _run_all(findings, (*_ALONE, *comparing, *together, *_LAST), broken)
    for why, where in broken.items():
        findings.problem(
            f"{why}, raised in {'; '.join(where)}",
            mend="tasks of every split must be playable with random actions; make(task), reset() "
            "and step() show the traceback",
        )
    return done


def _run_all(
    findings: Findings, checks: tuple[Check, ...], broken: dict[str, list[str]]
) -> tuple[str, ...]:
    done = []
    for check in checks:
        try:
            with naming(_words(check)):
                check(findings)
        except OutOfTimeError as reason:
            findings.skipped.append(f"{_words(check)} ({reason})")
        except BrokenEnvironmentError as error:
            # One mistake breaks many checks: say it once.
            places = broken.setdefault(error.why, [])
            if error.where not in places:
                places.append(error.where)
        else:
            done.append(_words(check))
    return tuple(done)


def _words(check: Check) -> str:
    return (check.__doc__ or "").strip().rstrip(".")


def _numbered(texts: tuple[str, ...]) -> list[str]:
    return [f"  {number}. {text}" for number, text in enumerate(texts, 1)]


def _remarks(warnings: tuple[str, ...], skipped: tuple[str, ...]) -> list[str]:
    return [f"  warning: {text}" for text in warnings] + [
        f"  not checked: {text}" for text in skipped
    ]


@contextmanager
def _global_generators_kept() -> Iterator[None]:
    """Put the state of Python's and numpy's global generators back afterwards."""
    python, numpy = random.getstate(), np.random.get_state()  # noqa: NPY002 - this one is meant
    try:
        yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)  # noqa: NPY002 - this one is meant
