"""Measures of a comparison, by hand; intervals against scipy's bootstrap."""

import numpy as np
import pytest
from scipy import stats

from metarl_gan.comparison.measures import (
    cvar_over_tasks,
    improvement_interval,
    learning_band,
    performance_profile,
    reached,
    sooner,
)
from metarl_gan.methods.method import LearningPoint
from metarl_gan.statistics import interquartile_mean, mean, stratified_bootstrap_interval


def rng(seed=0):
    return np.random.default_rng(seed)


def curve(*points):
    return [
        LearningPoint(real_steps=steps, seconds=steps / 10, validation_return=score)
        for steps, score in points
    ]


def test_iqm_of_eight_numbers_by_hand():
    # 2 seeds × 4 tasks; the middle four of 0 1 2 4 6 7 8 90 are 2 4 6 7.
    scores = [[0, 90, 2, 7], [8, 1, 6, 4]]
    assert stratified_bootstrap_interval(scores, rng=rng()).estimate == pytest.approx(19 / 4)


def test_intervals_agree_with_scipy():
    """A single task: its runs are resampled, as scipy resamples a sample."""
    values = rng(1).normal(size=(12, 1))
    ours = stratified_bootstrap_interval(values, mean, rng=rng(), resamples=20_000)
    theirs = stats.bootstrap(
        (values[:, 0],), np.mean, n_resamples=20_000, method="percentile", rng=rng(2)
    ).confidence_interval
    assert ours.low == pytest.approx(theirs.low, abs=0.02)
    assert ours.high == pytest.approx(theirs.high, abs=0.02)


def test_strata_agree_with_scipy():
    """Three tasks, each resampled by itself: the mean of the three samples' means."""
    values = rng(3).normal([0.0, 50.0, 100.0], size=(8, 3))
    ours = stratified_bootstrap_interval(values, mean, rng=rng(), resamples=20_000)
    theirs = stats.bootstrap(
        tuple(values.T),
        lambda *tasks, axis: np.mean([np.mean(task, axis=axis) for task in tasks], axis=0),
        n_resamples=20_000,
        method="percentile",
        rng=rng(4),
    ).confidence_interval
    assert ours.low == pytest.approx(theirs.low, abs=0.02)
    assert ours.high == pytest.approx(theirs.high, abs=0.02)


def test_cvar_is_over_the_tasks_of_each_run():
    # The worst quarter of eight tasks: 0 and 0 with one seed, 1 and 2 with the other.
    scores = np.array([[0, 9, 0, 9, 4, 6, 3, 7], [10, 1, 2, 9, 4, 6, 3, 7]])
    assert cvar_over_tasks(scores, rng=rng()).estimate == pytest.approx((0 + 1.5) / 2)
    assert cvar_over_tasks(scores, rng=rng(), fraction=1.0).estimate == pytest.approx(40 / 8)
    # Of three tasks a quarter is one.
    assert cvar_over_tasks([[3.0, 1.0, 2.0]], rng=rng()).estimate == 1.0


def test_cvar_resamples_runs_whole():
    # Another task is the worst of each: put together, both would be, or neither.
    interval = cvar_over_tasks([[0.0, 50.0, 50.0], [50.0, 2.0, 50.0]], rng=rng())
    assert (interval.low, interval.estimate, interval.high) == (0.0, 1.0, 2.0)


def test_the_interval_of_the_cvar_is_about_its_estimate_where_runs_differ():
    # Each run fails on tasks of its own.
    scores = 10.0 + np.stack([np.roll(np.arange(40.0), 8 * run) for run in range(5)])
    interval = cvar_over_tasks(scores, rng=rng())
    assert interval.low <= interval.estimate <= interval.high


def test_the_interval_of_the_cvar_is_about_its_estimate():
    scores = rng(8).normal(size=(10, 40))
    interval = cvar_over_tasks(scores, rng=rng())
    assert interval.low < interval.estimate - 0.05
    assert interval.estimate + 0.05 < interval.high


def test_profile_by_hand():
    scores = [[0.0, 1.0], [2.0, 3.0]]
    band = performance_profile(scores, [-1.0, 0.0, 0.5, 1.0, 2.5, 3.0], rng=rng())
    assert band.values.tolist() == [1.0, 0.75, 0.75, 0.5, 0.25, 0.0]
    assert (band.low <= band.values).all()
    assert (band.values <= band.high).all()
    # Task 1 is above 0.5 with both seeds, task 0 with one of two: from 1/2 to all.
    assert (band.low[2], band.high[2]) == (0.5, 1.0)


def test_probability_of_improvement_by_hand_with_ties():
    # Task 0: 2 against {1, 2} and 1 against {1, 2}: 1 + ½ + ½ + 0 = 2 of 4.
    # Task 1: 5 against {5, 0} and 9 against {5, 0}: ½ + 1 + 1 + 1 = 3½ of 4.
    ours, theirs = [[2, 5], [1, 9]], [[1, 5], [2, 0]]
    interval = improvement_interval(ours, theirs, rng=rng())
    assert interval.estimate == pytest.approx(5.5 / 8)
    assert 0 <= interval.low < interval.estimate < interval.high <= 1


def test_improvement_that_never_fails_is_certain():
    interval = improvement_interval(np.ones((3, 4)), np.zeros((2, 4)), rng=rng())
    assert (interval.low, interval.estimate, interval.high) == (1.0, 1.0, 1.0)


def test_interval_of_the_probability_by_brute_force():
    ours, theirs = rng(5).normal(0.5, size=(5, 3)), rng(6).normal(size=(4, 3))
    source, samples = rng(7), []
    for _ in range(1000):
        a = np.stack([source.choice(ours[:, task], 5) for task in range(3)])
        b = np.stack([source.choice(theirs[:, task], 4) for task in range(3)])
        samples.append((a[:, :, None] > b[:, None, :]).mean())
    low, high = np.percentile(samples, [2.5, 97.5])
    interval = improvement_interval(ours, theirs, rng=rng())
    assert interval.low == pytest.approx(low, abs=0.04)
    assert interval.high == pytest.approx(high, abs=0.04)


def test_one_run_each_resamples_tasks():
    ours, theirs = [[1.0, 1.0, 0.0, 0.0]], [[0.0, 0.0, 1.0, 1.0]]
    interval = improvement_interval(ours, theirs, rng=rng())
    assert interval.estimate == 0.5
    assert interval.low < 0.2 < 0.8 < interval.high


def test_when_a_threshold_was_reached():
    curves = [
        curve((100, -9.0), (200, -5.0), (300, -7.0)),  # -6 at 200
        curve((100, -6.0)),  # at 100
        curve((150, -8.0), (400, -7.5)),  # never
    ]
    found = reached(curves, -6.0)
    assert (found.seeds, found.of, found.real_steps, found.seconds) == (2, 3, 200.0, 20.0)
    # Most never got there: the median is none.
    assert reached([*curves, []], -5.5).real_steps is None
    assert reached(curves, -1.0).seeds == 0


def test_learning_curves_are_interpolated_where_all_have_points():
    band = learning_band(
        [curve((100, 0.0), (300, 2.0)), curve((200, 4.0), (400, 6.0)), []], rng=rng()
    )
    assert band is not None
    assert (band.x[0], band.x[-1]) == (200, 300)
    # At 200: 1 and 4; at 300: 2 and 5.
    assert (band.values[0], band.values[-1]) == (2.5, 3.5)
    assert (band.low[0], band.high[0]) == (1.0, 4.0)
    assert learning_band([[], []], rng=rng()) is None
    # Nothing in common: their ends.
    band = learning_band([curve((1, 9.0), (2, 0.0)), curve((4, 1.0))], rng=rng())
    assert band is not None
    assert (band.x.tolist(), band.values.tolist()) == ([3.0], [0.5])
    assert (band.low.tolist(), band.high.tolist()) == ([0.0], [1.0])


def test_learning_band_is_over_seeds():
    flat = [curve((100, float(score)), (200, float(score))) for score in (0, 1, 2, 3, 40)]
    band = learning_band(flat, rng=rng())
    assert band is not None
    assert band.values.tolist() == pytest.approx([float(interquartile_mean([0, 1, 2, 3, 40]))] * 50)


def test_how_many_times_sooner():
    ours = [curve((100, -6.0)), curve((200, -5.0)), curve((300, -4.0))]
    theirs = [curve((300, -9.0), (900, -6.0)), curve((800, -5.0)), curve((700, -3.0))]
    found = sooner(ours, theirs, -6.0, budget_real_steps=1000, rng=rng())
    # Medians are 200 and 800.
    assert found
    assert (found.ratio.estimate, found.at_least) == (4.0, False)
    # Medians of three draws are any of the three: from 700 by 300 to 900 by 100.
    assert found.ratio.low == pytest.approx(7 / 3)
    assert found.ratio.high == pytest.approx(9.0)


def test_who_never_came_there_took_the_whole_budget_at_least():
    never, soon = [curve((900, -9.0))] * 3, [curve((100, -6.0))] * 3
    found = sooner(soon, never, -6.0, budget_real_steps=1000, rng=rng())
    assert found
    assert (found.ratio.estimate, found.at_least) == (10.0, True)
    found = sooner(never, soon, -6.0, budget_real_steps=1000, rng=rng())
    assert found
    assert (found.ratio.estimate, found.ratio.high, found.at_least) == (0.0, 0.0, False)
    assert sooner(never, never, -6.0, budget_real_steps=1000, rng=rng()) is None
