"""The numbers that a comparison comes to: aggregates over seeds and tasks, method by method."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import fmean
from typing import Any, Self

import numpy as np

from metarl_gan.comparison.measures import (
    Band,
    Reached,
    Sooner,
    cvar_over_tasks,
    improvement_interval,
    learning_band,
    performance_profile,
    reached,
    sooner,
)
from metarl_gan.comparison.results import (
    Expected,
    MethodResult,
    Results,
    inequalities,
    missing_jobs,
    unspent,
)
from metarl_gan.comparison.scale import Scale, scale_of
from metarl_gan.config_error import require
from metarl_gan.methods.method import LearningPoint
from metarl_gan.shared_tasks import returns_on_shared_tasks
from metarl_gan.statistics import (
    BOOTSTRAP_SEED,
    FloatArray,
    Interval,
    paired_difference_interval,
    stratified_bootstrap_interval,
)

PROFILE_POINTS = 101


@dataclass(frozen=True, kw_only=True)
class MethodSummary:
    """One method. Tuples are over 0..episodes real episodes.

    Args:
        name: of the method.
        seeds: that it has results of.
        returns: interquartile means over seeds and tasks.
        scores: the same of normalised scores; `None` where the family knows no scale.
        cvar: mean over seeds of the mean of each one's worst quarter of the tasks.
        difference: to the baseline, paired by seed and task; `None` for the baseline itself, and
            where the two share no seed.
        improvement: probability of improvement over the baseline; `None` for the baseline itself.
        profile: share of seeds × tasks above each score (or return, without a scale) after the
            last real episode.
        learning: validation return by real steps of training; `None` for a method that learns
            nothing before it meets the new task.
        reached: for each threshold, how soon validation came there.
        sooner: for each threshold, how many times fewer real steps than the baseline that took;
            `None` for the baseline itself and for methods that learn nothing beforehand.
        spent: mean over seeds of real steps and seconds, by name.
    """

    name: str
    seeds: tuple[int, ...]
    returns: tuple[Interval, ...]
    scores: tuple[Interval, ...] | None
    cvar: tuple[Interval, ...]
    difference: tuple[Interval, ...] | None
    improvement: tuple[Interval, ...] | None
    profile: Band
    learning: Band | None
    reached: tuple[Reached, ...]
    sooner: tuple[Sooner | None, ...] | None
    spent: Mapping[str, float]


@dataclass(frozen=True, kw_only=True)
class ComparisonSummary:
    """All methods, and what stands in the way of comparing them.

    Args:
        family: name of the task family.
        split: of the held-out tasks.
        tasks: how many of these every result holds.
        dropped: how many others some result lacks.
        scored_episodes: that each return is the mean of.
        budget_real_steps: of training, for each method with each seed.
        baseline: the method that others are held against.
        methods: in the order of the plan.
        scale: of normalised scores; `None` where the family knows none.
        floors: returns of agents that learn nothing, by name.
        reference: a return worth comparing with, where the family knows one.
        unequal: what makes the comparison unequal, in lines; empty if fair.
        unspent: which methods left some of their budget, in lines.
        missing: which results are missing, in lines.
        command: of the comparison.
        versions: of what the results depend on; several where results differ.
    """

    family: str
    split: str
    tasks: int
    dropped: int
    scored_episodes: int
    budget_real_steps: int
    baseline: str
    methods: tuple[MethodSummary, ...]
    scale: Scale | None
    floors: Mapping[str, float]
    reference: float | None
    unequal: tuple[str, ...]
    unspent: tuple[str, ...]
    missing: tuple[str, ...]
    command: str
    versions: tuple[Mapping[str, str], ...]

    @property
    def episodes(self) -> int:
        """The largest number of real episodes adapted on."""
        return len(self.methods[0].returns) - 1

    @classmethod
    def of(cls, results: Results, expected: Expected) -> Self:
        """Aggregate results by method, as `read_results` returns them.

        Raises:
            ConfigError: for a baseline that there are no results of.
            ReportError: when they were not evaluated on the same tasks in the same way.
        """
        every = [result for of_one in results.values() for result in of_one]
        baseline = expected.baseline or next(iter(results))
        require(baseline in results, "baseline", baseline, f"one of {', '.join(results)}")
        rows = returns_on_shared_tasks({(r.method, r.seed): r.report for r in every})
        report, tasks = every[0].report, len(next(iter(rows.values())))
        scale = scale_of(report.floors, report.reference)
        by_method = {
            name: {result.seed: rows[name, result.seed] for result in of_one}
            for name, of_one in results.items()
        }
        context = _Context(
            returns=by_method,
            baseline=baseline,
            scale=scale,
            profile_at=_profile_at(list(rows.values()), scale),
            thresholds=expected.thresholds or (scale.thresholds() if scale else ()),
            baseline_curves=[result.learning_curve for result in results[baseline]],
            budget_real_steps=every[0].budget,
        )
        commands = dict.fromkeys(result.command for result in every)
        versions = {str(result.versions): result.versions for result in every}
        return cls(
            family=report.family,
            split=report.split,
            tasks=tasks,
            dropped=len(report.task_ids) + len(report.dropped_tasks) - tasks,
            scored_episodes=int(str(every[0].evaluation["scored_episodes"])),
            budget_real_steps=every[0].budget,
            baseline=baseline,
            methods=tuple(_summarise(of_one, context) for of_one in results.values()),
            scale=scale,
            floors=report.floors,
            reference=report.reference,
            unequal=inequalities(results),
            unspent=unspent(results),
            missing=missing_jobs(results, expected),
            command=expected.command or " && ".join(commands),
            versions=tuple(versions.values()),
        )

    def as_json(self) -> dict[str, Any]:
        """Plain data, intervals and bands as mappings."""
        return {**asdict(self), "fair": not self.unequal}


@dataclass(frozen=True, kw_only=True)
class _Context:
    """What all methods are summarised with; returns by method and seed."""

    returns: Mapping[str, Mapping[int, FloatArray]]
    baseline: str
    scale: Scale | None
    profile_at: FloatArray
    thresholds: tuple[float, ...]
    baseline_curves: Sequence[Sequence[LearningPoint]]
    budget_real_steps: int

    def scored(self, returns: FloatArray) -> FloatArray:
        """Normalised where the family knows how."""
        return returns if self.scale is None else self.scale.score(returns)


def _profile_at(rows: Sequence[FloatArray], scale: Scale | None) -> FloatArray:
    """The scores that profiles are drawn at: from the least of any method to the greatest."""
    last = np.concatenate([returns[:, -1] for returns in rows])
    values = last if scale is None else scale.score(last)
    low, high = float(values.min()), float(values.max())
    margin = 0.02 * (high - low) or 0.5
    return np.linspace(low - margin, high + margin, PROFILE_POINTS)


def _summarise(results: Sequence[MethodResult], context: _Context) -> MethodSummary:
    name = results[0].method
    ours, theirs = context.returns[name], context.returns[context.baseline]
    returns = np.stack(list(ours.values()))
    curves = [result.learning_curve for result in results]
    other = None if name == context.baseline else theirs
    return MethodSummary(
        name=name,
        seeds=tuple(ours),
        returns=_intervals(returns),
        scores=None if context.scale is None else _intervals(context.scale.score(returns)),
        cvar=tuple(cvar_over_tasks(values, rng=_rng()) for values in np.moveaxis(returns, -1, 0)),
        difference=None if other is None else _differences(ours, other),
        improvement=None if other is None else _improvements(returns, other),
        profile=performance_profile(
            context.scored(returns[..., -1]), context.profile_at, rng=_rng()
        ),
        learning=learning_band(curves, rng=_rng()),
        reached=tuple(reached(curves, threshold) for threshold in context.thresholds),
        sooner=None if other is None else _sooner(curves, context),
        spent={unit: fmean(result.spent[unit] for result in results) for unit in results[0].spent},
    )


def _intervals(returns: FloatArray) -> tuple[Interval, ...]:
    return tuple(
        stratified_bootstrap_interval(values, rng=_rng()) for values in np.moveaxis(returns, -1, 0)
    )


def _differences(
    ours: Mapping[int, FloatArray], theirs: Mapping[int, FloatArray]
) -> tuple[Interval, ...] | None:
    """Paired by the seeds that both have; `None` if there is none."""
    seeds = [seed for seed in ours if seed in theirs]
    if not seeds:
        return None
    a, b = (np.stack([returns[seed] for seed in seeds]) for returns in (ours, theirs))
    return tuple(
        paired_difference_interval(a[..., episode], b[..., episode], rng=_rng())
        for episode in range(a.shape[-1])
    )


def _improvements(ours: FloatArray, theirs: Mapping[int, FloatArray]) -> tuple[Interval, ...]:
    b = np.stack(list(theirs.values()))
    return tuple(
        improvement_interval(ours[..., episode], b[..., episode], rng=_rng())
        for episode in range(ours.shape[-1])
    )


def _sooner(
    curves: Sequence[Sequence[LearningPoint]], context: _Context
) -> tuple[Sooner | None, ...] | None:
    if not all(curves) or not all(context.baseline_curves):
        return None
    return tuple(
        sooner(
            curves,
            context.baseline_curves,
            threshold,
            budget_real_steps=context.budget_real_steps,
            rng=_rng(),
        )
        for threshold in context.thresholds
    )


def _rng() -> np.random.Generator:
    return np.random.default_rng(BOOTSTRAP_SEED)
