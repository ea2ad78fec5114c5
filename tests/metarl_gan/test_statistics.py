"""Aggregates and intervals: by hand, against rliable's published values, and by coverage."""

import numpy as np
import pytest

from metarl_gan.statistics import (
    StatisticsError,
    conditional_value_at_risk,
    interquartile_mean,
    mean,
    paired_difference_interval,
    probability_of_improvement,
    stratified_bootstrap_interval,
)

# Score matrices [runs, tasks] and their values, from rliable's tests/rliable/metrics_test.py.
RLIABLE_X = np.array([[1, 2], [2, 2], [1, 1], [2, 1]])
RLIABLE_Y = np.array([[1, 1], [2, 2], [3, 3]])


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def test_interquartile_mean_by_hand():
    # Eight values: two are cut off each end, (3 + 4 + 5 + 9) / 4 remains; the outliers have no say.
    assert interquartile_mean([9, 3, -1000, 5, 1, 4, 1000, 500]) == pytest.approx(21 / 4)
    # Five values: floor(5 / 4) = 1 is cut off each end.
    assert interquartile_mean([1, 2, 3, 7, 100]) == pytest.approx(4.0)
    assert interquartile_mean([1, 2, 6]) == pytest.approx(3.0)


def test_interquartile_mean_reduces_the_last_axis():
    values = rng().normal(size=(3, 5, 12))
    rows = interquartile_mean(values)
    assert rows.shape == (3, 5)
    assert rows[2, 4] == pytest.approx(float(interquartile_mean(values[2, 4])))


def test_agrees_with_the_published_values_of_rliable():
    assert interquartile_mean(RLIABLE_X.reshape(-1)) == 1.5
    assert interquartile_mean(RLIABLE_Y.reshape(-1)) == 2.0
    assert probability_of_improvement(RLIABLE_X, RLIABLE_Y) == pytest.approx(1 / 3)


def test_probability_of_improvement_counts_ties_half():
    assert probability_of_improvement([1.0, 2.0], [1.0, 2.0]) == 0.5
    # Task 0 is a win, task 1 a loss, task 2 a tie, task 3 a win.
    assert probability_of_improvement([2, 0, 5, 9], [1, 1, 5, 0]) == pytest.approx(2.5 / 4)
    with pytest.raises(StatisticsError, match="3 tasks and theirs has 2"):
        probability_of_improvement([1, 2, 3], [1, 2])


def test_conditional_value_at_risk_is_the_mean_of_the_worst():
    values = np.arange(40.0)[::-1]
    assert conditional_value_at_risk(values) == pytest.approx((0 + 1 + 2 + 3) / 4)
    assert conditional_value_at_risk([5.0, 7.0], 0.1) == 5.0
    assert conditional_value_at_risk([5.0, 7.0], 1.0) == 6.0
    with pytest.raises(StatisticsError, match=r"fraction is 1\.5"):
        conditional_value_at_risk([1.0], 1.5)


def test_runs_are_resampled_within_each_task():
    # Runs agree on every task, tasks differ wildly: resampling within tasks changes nothing,
    # resampling across tasks would.
    values = np.tile([0.0, 100.0, 10_000.0], (4, 1))
    interval = stratified_bootstrap_interval(values, mean, rng=rng())
    assert interval.low == interval.high == interval.estimate == pytest.approx(10_100 / 3)


def test_runs_are_resampled_independently_for_each_task():
    # Two runs that differ by the same amount on every task. Resampled per task, the mean's
    # spread shrinks with the number of tasks (sd 0.5 / sqrt(2 * 50)); resampled together it would
    # reach 0 and 1 in a quarter of the cases each.
    values = np.stack([np.zeros(50), np.ones(50)])
    interval = stratified_bootstrap_interval(values, mean, rng=rng())
    assert interval.estimate == 0.5
    assert interval.low == pytest.approx(0.5 - 1.96 * 0.05, abs=0.02)
    assert interval.high == pytest.approx(0.5 + 1.96 * 0.05, abs=0.02)


def test_one_run_resamples_tasks():
    values = rng(3).normal(size=400)
    interval = stratified_bootstrap_interval(values, mean, rng=rng())
    half_width = 1.96 * values.std() / np.sqrt(400)
    assert interval.low == pytest.approx(values.mean() - half_width, abs=0.02)
    assert interval.high == pytest.approx(values.mean() + half_width, abs=0.02)
    assert interval == stratified_bootstrap_interval(values[None, :], mean, rng=rng())


def test_interval_covers_the_truth_about_as_often_as_it_says():
    source = rng(1)
    covered = sum(
        not stratified_bootstrap_interval(
            source.normal(size=40), rng=source, confidence=0.9, resamples=300
        ).excludes(0.0)
        for _ in range(200)
    )
    assert 0.8 <= covered / 200 <= 0.97


def test_same_generator_state_gives_the_same_interval():
    values = rng(5).normal(size=(5, 40))
    first = stratified_bootstrap_interval(values, rng=rng(7))
    assert first == stratified_bootstrap_interval(values, rng=rng(7))
    assert first != stratified_bootstrap_interval(values, rng=rng(8))


def test_pairing_removes_what_both_arms_share():
    tasks = rng(2).normal(scale=100.0, size=40)
    noise = rng(3).normal(scale=0.1, size=40)
    difference = paired_difference_interval(tasks + 1.0 + noise, tasks, rng=rng())
    assert difference.estimate == pytest.approx(1.0, abs=0.1)
    assert difference.excludes(0.0)
    assert difference.high - difference.low < 0.2
    with pytest.raises(StatisticsError, match="same runs and tasks"):
        paired_difference_interval(tasks, tasks[:-1], rng=rng())


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([], "at least one value"),
        ([1.0, np.nan], "1 of 2 values are not finite"),
        (np.zeros((2, 2, 2)), r"expected \[runs, tasks\]"),
    ],
)
def test_values_without_an_interval_are_refused(values, message):
    with pytest.raises(StatisticsError, match=message):
        stratified_bootstrap_interval(values, rng=rng())
