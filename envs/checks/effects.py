"""Checks that tasks differ: each from the others, and by each parameter."""

import itertools

import numpy as np

from metarl_gan.envs.checks.findings import (
    SHORT,
    WAYS_OF_HOLDING,
    Findings,
    OutOfTimeError,
    extremes,
)
from metarl_gan.envs.checks.trace import Trace
from metarl_gan.envs.distributions import Distribution
from metarl_gan.envs.task import Task

_TASKS = 6
_WAYS = 24  # of playing two tasks before they are said to be the same
_BASES = 4  # tasks in which a parameter is varied
_FAINT = 1e-6  # a smaller effect may be rounding


def check_tasks_differ(findings: Findings) -> None:
    """Any two tasks can be told apart by playing them."""
    family = findings.family
    tasks = findings.of_every_split(-(-_TASKS // len(family.splits)))
    pairs = list(itertools.combinations(dict.fromkeys(tasks), 2))
    alike, paid, last_told = list(pairs), set(), 0
    for way in range(_WAYS):
        steps = SHORT if way == 0 else family.horizon
        involved = dict.fromkeys(itertools.chain.from_iterable(alike))
        traces = {task: findings.play(task, steps=steps, way=way) for task in involved}
        left = [pair for pair in alike if not traces[pair[0]].difference(traces[pair[1]])]
        last_told = way if len(left) < len(alike) else last_told
        alike = left
        paid.update(pair for pair in alike if _pays(traces[pair[0]]))
    # Where others were told apart late, these may be told apart where no random action led.
    if last_told < WAYS_OF_HOLDING:
        _report_alike(findings, [pair for pair in alike if pair in paid], proven=True)
    if len(alike) == len(pairs):
        _report_alike(findings, [pair for pair in alike if pair not in paid], proven=False)


def check_parameters(findings: Findings) -> None:
    """Each declared parameter changes a seeded episode."""
    bases = findings.tasks(_BASES)
    unknown: dict[str, OutOfTimeError] = {}
    for name, range_ in findings.family.parameters.items():
        if len(extremes(range_)) < 2:
            continue  # a single choice has nothing to differ from
        try:
            by, pays = _vary(findings, bases, name, range_)
        except OutOfTimeError as reason:
            unknown[name] = reason
            continue
        findings.effects[name] = by
        if by <= _FAINT:
            _report_idle(findings, name, range_, pays=pays)
    if unknown:
        names = ", ".join(map(repr, unknown))
        raise OutOfTimeError(f"not known of {names}: {next(iter(unknown.values()))}")


def _vary(
    findings: Findings, bases: list[Task], name: str, range_: Distribution
) -> tuple[float, bool]:
    """The largest effect of one parameter, and whether any reward was seen meanwhile.

    The obvious first: one base, both extremes, a short episode of noise. A friction may matter
    only beside a smaller one, a limit only where it is reached, and the ends of a full turn are
    one: other bases, held actions, long episodes, and values in between.
    """
    largest, pays = 0.0, False
    ends = extremes(range_)
    rng = np.random.default_rng(findings.seed)
    for way in range(_WAYS):
        base = bases[way // WAYS_OF_HOLDING % len(bases)]
        steps = SHORT if way == 0 else findings.family.horizon
        values = ends if way % 2 == 0 else [ends[0], range_.sample(rng)]
        one, other = (
            findings.play(findings.varied(base, name, value), steps=steps, way=way)
            for value in values
        )
        by = one.gap(other) if one.gap(other) > 0 else one.difference(other)
        largest, pays = max(largest, by), pays or _pays(one) or _pays(other)
        if largest > _FAINT:
            break
    return largest, pays


def _pays(trace: Trace) -> bool:
    """Whether the reward varied: one that never does may wait where no random action leads."""
    return trace.steps > 0 and bool((trace.rewards != trace.rewards[0]).any())


def _report_idle(findings: Findings, name: str, range_: Distribution, *, pays: bool) -> None:
    by = findings.effects[name]
    played = f"{_WAYS} pairs of episodes with the same seeds and actions"
    ends = " and ".join(
        f"{value:.6g}" if isinstance(value, float) else repr(value) for value in extremes(range_)
    )
    if by > 0:
        findings.warn(
            f"parameter {name!r} changes next to nothing: by {by:.1g} at most, {ends} in {played}",
            mend="widen its range, or leave it out",
        )
    elif pays:
        findings.problem(
            f"parameter {name!r} changes nothing: {ends} give the same observations and rewards "
            f"in {played}",
            mend="see where the environment reads it: one that it copies when it is built has to "
            "be a constructor argument (give a callable make(**parameters))",
        )
    else:
        findings.warn(
            f"parameter {name!r} was not seen to change anything: {ends} in {played}, none of "
            "which met a reward",
            mend="make sure of it with actions that reach one",
        )


def _report_alike(findings: Findings, alike: list[tuple[Task, Task]], *, proven: bool) -> None:
    if not alike:
        return
    first, second = alike[0]
    more = f" (and {len(alike) - 1} more pairs)" if len(alike) > 1 else ""
    what = (
        f"tasks {first.id} and {second.id}{more} play identically: the same observations and "
        f"rewards in {_WAYS} episodes with the same seeds and actions"
    )
    if proven:
        findings.problem(
            what,
            mend="make(task) must apply the task, and reset() must not draw another one; tasks "
            "that are the same must not have different ids",
        )
    else:
        findings.warn(
            f"{what}, none of which met a reward",
            mend="make sure that they differ with actions that reach one",
        )
