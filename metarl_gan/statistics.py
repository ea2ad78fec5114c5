"""Robust aggregates of returns and their bootstrap intervals.

Definitions follow Agarwal et al., "Deep Reinforcement Learning at the Edge of the Statistical
Precipice" (NeurIPS 2021, arXiv 2108.13264) as implemented by rliable: score matrices are
`[runs, tasks]`, runs are resampled independently within each task, intervals are percentiles.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

FloatArray = NDArray[np.float64]
Statistic = Callable[[FloatArray], FloatArray]
"""Reduces the last axis of an array: `[..., values]` to `[...]`."""

BOOTSTRAP_SEED = 20211
"""Reports resample from this seed, so that a saved report shows the same interval when reloaded."""


class StatisticsError(ValueError):
    """Values of a shape or content no statistic can be computed from."""


@dataclass(frozen=True, kw_only=True)
class Interval:
    """A point estimate with its confidence interval, in the unit of the values it came from."""

    estimate: float
    low: float
    high: float

    def excludes(self, value: float) -> bool:
        """Whether `value` lies outside the interval."""
        return not self.low <= value <= self.high


def interquartile_mean(values: ArrayLike) -> FloatArray:
    """Mean of the middle half of the last axis: a quarter is cut off each end.

    Equals rliable's `aggregate_iqm` on a flattened score matrix; as there, the number cut off is
    rounded down, so three values or fewer give their mean.

    Args:
        values: `[..., values]`.

    Returns:
        `[...]`; a zero-dimensional array for a vector.
    """
    # scipy.stats takes longer to import than the whole command-line help may take.
    from scipy.stats import trim_mean

    return np.asarray(trim_mean(_non_empty(values), proportiontocut=0.25, axis=-1))


def mean(values: ArrayLike) -> FloatArray:
    """Plain mean of the last axis, in the form `stratified_bootstrap_interval` takes."""
    return np.asarray(_non_empty(values).mean(axis=-1))


def conditional_value_at_risk(values: ArrayLike, fraction: float = 0.1) -> FloatArray:
    """Mean of the worst (lowest) `fraction` of the last axis, at least one value (CVaR).

    Args:
        values: `[..., values]`.
        fraction: the share of values that count as the tail, in (0, 1].

    Raises:
        StatisticsError: for a fraction outside (0, 1] or no values.
    """
    if not 0.0 < fraction <= 1.0:
        raise StatisticsError(f"fraction is {fraction}; it must lie in (0, 1], e.g. 0.1")
    array = np.sort(_non_empty(values), axis=-1)
    # The tolerance keeps 0.1 * 40 = 4.000000000000001 from becoming five values.
    count = max(1, int(np.ceil(fraction * array.shape[-1] - 1e-9)))
    return np.asarray(array[..., :count].mean(axis=-1))


def probability_of_improvement(ours: ArrayLike, theirs: ArrayLike) -> float:
    """Chance that a random run of ours beats a random run of theirs, averaged over tasks.

    A tie counts one half (the Mann-Whitney U statistic divided by the number of pairs).

    Args:
        ours: `[runs, tasks]` or `[tasks]` (one run); the number of runs may differ from `theirs`.
        theirs: the same, with the same number of tasks.

    Raises:
        StatisticsError: when the numbers of tasks differ.
    """
    a, b = score_matrix(ours), score_matrix(theirs)
    if a.shape[1] != b.shape[1]:
        raise StatisticsError(
            f"ours has {a.shape[1]} tasks and theirs has {b.shape[1]}; compare the same tasks"
        )
    difference = a[:, None, :] - b[None, :, :]
    wins = (difference > 0).astype(np.float64) + 0.5 * (difference == 0)
    return float(wins.mean())


def stratified_bootstrap_interval(
    values: ArrayLike,
    statistic: Statistic = interquartile_mean,
    *,
    rng: np.random.Generator,
    confidence: float = 0.95,
    resamples: int = 2000,
) -> Interval:
    """Percentile-bootstrap interval of `statistic` over all runs and tasks.

    With several runs, runs are resampled with replacement, independently for each task (tasks are
    the strata). With one run there is nothing to resample within a task, so tasks are resampled:
    the interval then speaks of other tasks of the family rather than of other runs.

    Args:
        values: `[runs, tasks]`, or `[tasks]` for one run.
        statistic: reduces the last axis; sees every resample flattened to `runs * tasks` values.
        rng: source of the resampling.
        confidence: coverage, in (0, 1).
        resamples: number of bootstrap resamples.

    Raises:
        StatisticsError: for values that are empty, not finite or of another rank, or settings
            outside their ranges.
    """
    scores = score_matrix(values)
    if not 0.0 < confidence < 1.0:
        raise StatisticsError(f"confidence is {confidence}; it must lie in (0, 1), e.g. 0.95")
    if resamples < 1:
        raise StatisticsError(f"resamples is {resamples}; it must be at least 1")
    samples = statistic(resample_runs(scores, resamples, rng))
    tail = 100.0 * (1.0 - confidence) / 2.0
    low, high = np.percentile(samples, [tail, 100.0 - tail])
    return Interval(estimate=float(statistic(scores.reshape(-1))), low=float(low), high=float(high))


def paired_difference_interval(
    ours: ArrayLike,
    theirs: ArrayLike,
    statistic: Statistic = interquartile_mean,
    *,
    rng: np.random.Generator,
    confidence: float = 0.95,
    resamples: int = 2000,
) -> Interval:
    """Interval of `statistic` of the differences `ours - theirs`, paired by run (seed) and task.

    What both share (an easy task, a lucky seed) cancels before anything is resampled. The
    estimate is the statistic of the differences, which for a trimmed mean is not the difference
    of the two statistics.

    Args:
        ours: `[runs, tasks]` or `[tasks]`.
        theirs: the same shape, the same runs and tasks in the same order.
        statistic: reduces the last axis.
        rng: source of the resampling.
        confidence: coverage, in (0, 1).
        resamples: number of bootstrap resamples.

    Raises:
        StatisticsError: when the shapes differ, and as `stratified_bootstrap_interval` does.
    """
    a, b = score_matrix(ours), score_matrix(theirs)
    if a.shape != b.shape:
        raise StatisticsError(
            f"ours has shape {a.shape} and theirs {b.shape}; a paired difference needs the same "
            "runs and tasks in both"
        )
    return stratified_bootstrap_interval(
        a - b, statistic, rng=rng, confidence=confidence, resamples=resamples
    )


def resample_runs(scores: FloatArray, resamples: int, rng: np.random.Generator) -> FloatArray:
    """Bootstrap resamples of `[runs, tasks]`, flattened to `[resamples, runs * tasks]`.

    Runs are drawn for each task by itself; a single run has its tasks drawn instead.
    """
    runs, tasks = scores.shape
    if runs == 1:
        return scores[0][rng.integers(tasks, size=(resamples, tasks))]
    chosen_runs = rng.integers(runs, size=(resamples, runs, tasks))
    return scores[chosen_runs, np.arange(tasks)].reshape(resamples, runs * tasks)


def _non_empty(values: ArrayLike) -> FloatArray:
    array = np.asarray(values, dtype=np.float64)
    if array.ndim == 0 or array.size == 0:
        raise StatisticsError(f"values have shape {array.shape}; at least one value is needed")
    return array


def score_matrix(values: ArrayLike) -> FloatArray:
    """Values as a finite `[runs, tasks]` matrix; a vector is one run."""
    array = np.atleast_2d(_non_empty(values))
    if array.ndim != 2:
        raise StatisticsError(
            f"values have shape {array.shape}; expected [runs, tasks], or [tasks] for one run"
        )
    if not np.isfinite(array).all():
        count = int((~np.isfinite(array)).sum())
        raise StatisticsError(
            f"{count} of {array.size} values are not finite; leave out the tasks they belong to"
        )
    return array
