"""What `metarl-gan bench learners` times: the same work by either, and whole meta-iterations."""

import pytest
import torch

from metarl_gan import bench_learners, bench_timing
from metarl_gan.bench_learners import MetaGradients, measure_iteration, measure_meta_gradients
from metarl_gan.envs import make_family


@pytest.fixture(autouse=True)
def one_round(monkeypatch):
    monkeypatch.setattr(bench_timing, "MIN_ROUNDS", 1)


@pytest.mark.parametrize("name", ["auto", "looped", "batched"])
def test_the_sequential_loop_has_the_same_gradient_as_ours(name):
    gradients = MetaGradients(3, 2000)
    expected, found = gradients.sequential(), gradients.ours(name, 2)()
    assert set(found) == {f"parameters.{parameter}" for parameter in expected}
    for parameter, value in expected.items():
        assert value.abs().max() > 1e-4
        torch.testing.assert_close(
            found[f"parameters.{parameter}"], value, rtol=1e-4, atol=1e-6, msg=parameter
        )


@pytest.mark.parametrize("threads", [(1,), (1, 2)])
def test_ours_is_held_against_the_faster_sequential_loop(threads):
    found = measure_meta_gradients(2, 5, seconds=0.0, threads=threads)
    assert {one.transitions for one in found.timings} == {2 * 2 * 5}
    loops = [one for one in found.timings if one.name.startswith("sequential loop")]
    ours = [one.name for one in found.timings if one.name.startswith("ours")]
    assert len(loops) == len(ours) == len(threads)
    fastest = min(loops, key=lambda one: one.wall_microseconds.median)
    assert [(ratio.of, ratio.to) for ratio in found.ratios] == [
        (fastest.name, name) for name in ours
    ]


def test_all_tasks_at_once_are_left_out_where_they_take_gigabytes(monkeypatch):
    monkeypatch.setattr(bench_learners, "MOST_ROWS_AT_ONCE", 10)
    for n_samples, there in ((5, True), (6, False)):
        found = measure_meta_gradients(2, n_samples, seconds=0.0, threads=(1,))
        assert any("at once" in one.name for one in found.timings) == there


def test_a_meta_iteration_is_timed_whole_and_by_phases(monkeypatch):
    monkeypatch.setattr(bench_timing, "LEAST_SECONDS", 0.0)  # one call, one round
    family = make_family("point-goal")
    found = measure_iteration(
        family, seconds=0.0, most_seconds=1.0, n_tasks=2, n_steps=350, threads=(1,)
    )
    [timing] = found.timings
    # Three episodes of 100 steps fit, for support and for query.
    assert timing.transitions == 2 * 2 * 3 * 100
    whole, *phases = found.comparisons.values()
    assert len(phases) == 5
    assert min(phase.min for phase in phases) > 0
    # One round: its phases are all there is to it.
    assert sum(phase.median for phase in phases) == pytest.approx(whole.median, rel=0.05)
    assert "at most 1" in next(iter(found.comparisons))
