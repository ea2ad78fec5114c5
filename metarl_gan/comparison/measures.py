"""Measures of a comparison over runs and tasks, with their bootstrap intervals.

Definitions follow Agarwal et al. (NeurIPS 2021, arXiv 2108.13264) and rliable: scores are
`[runs, tasks]`, runs are resampled within each task, intervals are percentiles.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from statistics import median

import numpy as np
from numpy.typing import ArrayLike

from metarl_gan.methods.method import LearningPoint
from metarl_gan.statistics import (
    FloatArray,
    Interval,
    conditional_value_at_risk,
    interquartile_mean,
    probability_of_improvement,
    resample_runs,
    score_matrix,
    stratified_bootstrap_interval,
)

RESAMPLES = 2000
TAIL = 0.25
"""Share of a run's tasks that count as its worst (alpha of the CVaR)."""
LEARNING_POINTS = 50


@dataclass(frozen=True, kw_only=True)
class Band:
    """A line and its pointwise 95 % interval, `[points]` each."""

    x: FloatArray
    values: FloatArray
    low: FloatArray
    high: FloatArray


@dataclass(frozen=True, kw_only=True)
class Reached:
    """How soon a method's validation return came to a threshold.

    Args:
        threshold: in the unit of returns.
        seeds: that came there.
        of: seeds in all.
        real_steps: median over all seeds, where those that never came count as infinite; `None`
            where that is infinite.
        seconds: the same by the clock of training.
    """

    threshold: float
    seeds: int
    of: int
    real_steps: float | None
    seconds: float | None


@dataclass(frozen=True, kw_only=True)
class Sooner:
    """How many times fewer real steps than the baseline a method took to come to a threshold.

    Args:
        ratio: of the medians over seeds, the baseline's by the method's; 0 where the method's
            median never came there.
        at_least: the baseline's median never came there: its whole budget was taken instead.
    """

    ratio: Interval
    at_least: bool


def cvar_over_tasks(
    scores: ArrayLike, *, rng: np.random.Generator, fraction: float = TAIL
) -> Interval:
    """Mean over runs of each run's mean over its worst `fraction` of the tasks (CVaR).

    Of each run by itself: which tasks are bad for it is part of its risk. So runs are resampled
    whole: runs that were put together of tasks of several would have the worst of each. With one
    run tasks are resampled, as elsewhere.

    Args:
        scores: `[runs, tasks]`.
        rng: source of the resampling.
        fraction: in (0, 1]; at least one task is taken.
    """
    matrix = score_matrix(scores)

    def worst(tasks: FloatArray) -> FloatArray:
        return np.asarray(conditional_value_at_risk(tasks, fraction))

    if len(matrix) == 1:
        return stratified_bootstrap_interval(matrix, worst, rng=rng, resamples=RESAMPLES)
    # A column of one stratum: each run with its one number.
    by_run = worst(matrix)[:, np.newaxis]
    mean = partial(np.mean, axis=-1)
    return stratified_bootstrap_interval(by_run, mean, rng=rng, resamples=RESAMPLES)


def performance_profile(
    scores: ArrayLike, thresholds: ArrayLike, *, rng: np.random.Generator
) -> Band:
    """Share of runs × tasks that score above each threshold (eq. 2 of the paper).

    Args:
        scores: `[runs, tasks]`.
        thresholds: `[points]`.
        rng: source of the resampling.
    """
    matrix, x = score_matrix(scores), np.asarray(thresholds, dtype=np.float64)
    resampled = resample_runs(matrix, RESAMPLES, rng)
    shares = np.stack([(resampled > threshold).mean(axis=-1) for threshold in x])
    low, high = np.percentile(shares, [2.5, 97.5], axis=-1)
    values = np.array([(matrix > threshold).mean() for threshold in x])
    return Band(x=x, values=values, low=low, high=high)


def improvement_interval(
    ours: ArrayLike, theirs: ArrayLike, *, rng: np.random.Generator
) -> Interval:
    """Probability of improvement (see `probability_of_improvement`) with its interval.

    Runs of either side are resampled within each task; where both sides have one run, tasks are.

    Args:
        ours: `[runs, tasks]`; the number of runs may differ from `theirs`.
        theirs: the same tasks.
        rng: source of the resampling.
    """
    estimate = probability_of_improvement(ours, theirs)
    a, b = score_matrix(ours), score_matrix(theirs)
    difference = a[:, None, :] - b[None, :, :]
    wins = (difference > 0) + 0.5 * (difference == 0)
    if len(a) == len(b) == 1:
        samples = resample_runs(wins[0], RESAMPLES, rng).mean(axis=-1)
    else:
        # How often each run was drawn for each task says all of a resample.
        drawn = (_drawn(len(a), a.shape[1], rng), _drawn(len(b), b.shape[1], rng))
        samples = np.einsum("rti,ijt,rtj->rt", drawn[0], wins, drawn[1], optimize=True).mean(-1)
    low, high = np.percentile(samples, [2.5, 97.5])
    return Interval(estimate=estimate, low=float(low), high=float(high))


def _drawn(n_runs: int, n_tasks: int, rng: np.random.Generator) -> FloatArray:
    """Shares `[resamples, tasks, runs]` of each run in bootstrap draws of `n_runs` runs."""
    counts = rng.multinomial(n_runs, np.full(n_runs, 1 / n_runs), size=(RESAMPLES, n_tasks))
    return np.asarray(counts / n_runs)


def learning_band(
    curves: Sequence[Sequence[LearningPoint]], *, rng: np.random.Generator
) -> Band | None:
    """Validation return by real steps: interquartile mean over seeds.

    Curves are interpolated between their points, and shown where every one of them has some; those
    that have no real step in common, as where episodes end early and there are few points, as one
    point: where they end, at the mean of their real steps.

    Args:
        curves: one per seed; empty ones are left out.
        rng: source of the resampling.

    Returns:
        `None` where all curves are empty.
    """
    known = [curve for curve in curves if curve]
    if not known:
        return None
    first = max(curve[0].real_steps for curve in known)
    last = min(curve[-1].real_steps for curve in known)
    if first > last:
        x = np.array([float(np.mean([curve[-1].real_steps for curve in known]))])
        values = np.array([[curve[-1].validation_return] for curve in known])
    else:
        x = np.unique(np.linspace(first, last, LEARNING_POINTS))
        values = np.stack(
            [
                np.interp(x, [p.real_steps for p in curve], [p.validation_return for p in curve])
                for curve in known
            ]
        )
    samples = interquartile_mean(
        values[rng.integers(len(known), size=(RESAMPLES, len(known)))].swapaxes(1, 2)
    )
    low, high = np.percentile(samples, [2.5, 97.5], axis=0)
    return Band(x=x, values=interquartile_mean(values.T), low=low, high=high)


def reached(curves: Sequence[Sequence[LearningPoint]], threshold: float) -> Reached:
    """When validation returns first were at `threshold` or above, over the curves of all seeds."""
    firsts = [
        next((point for point in curve if point.validation_return >= threshold), None)
        for curve in curves
    ]
    return Reached(
        threshold=threshold,
        seeds=sum(first is not None for first in firsts),
        of=len(curves),
        real_steps=_median([None if first is None else first.real_steps for first in firsts]),
        seconds=_median([None if first is None else first.seconds for first in firsts]),
    )


def sooner(
    ours: Sequence[Sequence[LearningPoint]],
    theirs: Sequence[Sequence[LearningPoint]],
    threshold: float,
    *,
    budget_real_steps: int,
    rng: np.random.Generator,
) -> Sooner | None:
    """Ratio of real steps to a threshold, with an interval: seeds of both sides are resampled.

    As good as the validations are close: a threshold is reached where it was first seen to be.

    Args:
        ours: curves of the method, one per seed.
        theirs: curves of the baseline.
        threshold: in the unit of returns.
        budget_real_steps: what seeds of the baseline that never came there count with.
        rng: source of the resampling.

    Returns:
        `None` where neither side's median came there.
    """
    never = reached(theirs, threshold).real_steps is None
    if never and reached(ours, threshold).real_steps is None:
        return None
    sides = (
        np.array([_real_steps_to(threshold, curve, otherwise=np.inf) for curve in ours]),
        np.array(
            [_real_steps_to(threshold, curve, otherwise=budget_real_steps) for curve in theirs]
        ),
    )
    mine, others = (
        np.median(side[rng.integers(len(side), size=(RESAMPLES, len(side)))], axis=-1)
        for side in sides
    )
    low, high = np.percentile(others / mine, [2.5, 97.5])
    estimate = float(np.median(sides[1]) / np.median(sides[0]))
    ratio = Interval(estimate=estimate, low=float(low), high=float(high))
    return Sooner(ratio=ratio, at_least=never)


def _real_steps_to(threshold: float, curve: Sequence[LearningPoint], *, otherwise: float) -> float:
    there = (point.real_steps for point in curve if point.validation_return >= threshold)
    return float(next(there, otherwise))


def _median(values: Sequence[float | None]) -> float | None:
    """Of values of which those that are none count as infinite."""
    middle = median(np.inf if value is None else float(value) for value in values)
    return middle if np.isfinite(middle) else None
