import math
from typing import Any, cast

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metarl_gan.envs import Choice, DiskRadius, FamilyError, LogUniform, TaskSpace, Uniform, Union

bounds = st.tuples(
    st.floats(-1e6, 1e6, allow_subnormal=False), st.floats(1e-3, 1e6, allow_subnormal=False)
)


def test_normalisation_by_hand():
    assert [Uniform(5.0, 15.0).normalise(value) for value in (5, 10, 15, 20)] == [-1, 0, 1, 2]
    assert LogUniform(0.1, 10.0).normalise(1.0) == pytest.approx(0.0)
    assert LogUniform(0.1, 10.0).normalise(10.0) == pytest.approx(1.0)
    assert [Choice([-1, 1]).normalise(value) for value in (-1, 1)] == [-1, 1]
    assert [Choice([1, 2, 5]).normalise(value) for value in (1, 2, 3, 5)] == [-1, -0.5, 0, 1]
    assert [Choice(["ice", "mud", "sand"]).normalise(v) for v in ("ice", "mud", "sand")] == [
        -1,
        0,
        1,
    ]
    assert Choice([7.0]).normalise(7.0) == 0
    assert [DiskRadius(1.0, 3.0).normalise(value) for value in (1, 2, 3, 0)] == [-1, 0, 1, -2]
    gap = Union([Uniform(3.0, 4.0), Uniform(0.0, 1.0)])
    assert [gap.normalise(value) for value in (0, 1, 2, 3, 4)] == [-1, -0.5, 0, 0.5, 1]
    scales = Union([LogUniform(0.1, 0.2), LogUniform(5.0, 10.0)])
    assert scales.normalise(1.0) == pytest.approx(0.0)


def test_bounds_and_units():
    choice = Choice([3, 1, 2], unit="kg")
    assert (choice.low, choice.high, choice.unit) == (1.0, 3.0, "kg")
    names = Choice(["a", "b", "c"])
    assert (names.low, names.high, names.unit) == (0.0, 2.0, "")
    assert Uniform(0.0, 1.0, unit="m").unit == "m"
    gap = Union([Uniform(3.0, 3.5, unit="m/s"), Uniform(0.0, 0.5, unit="m/s")])
    assert (gap.low, gap.high, gap.unit) == (0.0, 3.5, "m/s")
    assert Choice([1, 2]) == Choice((1, 2))
    assert Choice([1, 2]) != Choice([1, 2, 3])


@settings(max_examples=30, deadline=None)
@given(bounds, st.integers(0, 1000))
def test_uniform_draws_are_inside_and_reproducible(bound, seed):
    distribution = Uniform(bound[0], bound[0] + bound[1])
    draw = distribution.sample(np.random.default_rng(seed))
    assert distribution.contains(draw)
    assert draw == distribution.sample(np.random.default_rng(seed))
    assert -1 <= distribution.normalise(draw) <= 1


@settings(max_examples=30, deadline=None)
@given(st.floats(1e-6, 1e3), st.floats(1.1, 1e3), st.integers(0, 1000))
def test_log_uniform_draws_are_inside(low, factor, seed):
    distribution = LogUniform(low, low * factor)
    draw = distribution.sample(np.random.default_rng(seed))
    assert distribution.contains(draw)
    assert -1 - 1e-9 <= distribution.normalise(draw) <= 1 + 1e-9


@settings(max_examples=30, deadline=None)
@given(st.floats(0.0, 1e3, allow_subnormal=False), st.floats(1e-3, 1e3), st.integers(0, 1000))
def test_radii_are_inside(low, width, seed):
    distribution = DiskRadius(low, low + width)
    draw = distribution.sample(np.random.default_rng(seed))
    assert distribution.contains(draw)
    assert draw == distribution.sample(np.random.default_rng(seed))
    assert -1 - 1e-9 <= distribution.normalise(draw) <= 1 + 1e-9


@settings(max_examples=30, deadline=None)
@given(bounds, st.floats(1e-3, 1e3), st.integers(0, 1000))
def test_draws_of_a_union_are_in_one_of_its_ranges(bound, gap, seed):
    low, width = bound
    above = low + width + gap
    distribution = Union([Uniform(low, low + width), Uniform(above, above + width)])
    draw = distribution.sample(np.random.default_rng(seed))
    assert low <= draw <= low + width or above <= draw <= above + width
    assert distribution.contains(draw)
    assert not distribution.contains(low + width + gap / 2)
    assert -1 - 1e-9 <= distribution.normalise(draw) <= 1 + 1e-9


def test_bounds_that_six_digits_do_not_write_hold():
    narrow = [Uniform(1 / 3, 1 / 3 + 1e-9), DiskRadius(2 / 3, 2 / 3 + 1e-9)]
    for distribution in [*narrow, Union([Uniform(1 / 3, 1 / 3 + 1e-9), Uniform(2 / 3, 0.7)])]:
        draws = [distribution.sample(np.random.default_rng(seed)) for seed in range(20)]
        assert all(distribution.contains(draw) for draw in draws)


def test_a_union_is_one_range_with_gaps():
    rng = np.random.default_rng(0)
    uniform = Union([Uniform(0.0, 1.0), Uniform(3.0, 6.0)])
    draws = np.array([uniform.sample(rng) for _ in range(4000)])
    assert abs(np.mean(draws < 2) - 0.25) < 0.03
    assert abs(np.mean(draws > 4.5) - 0.375) < 0.03
    # By logarithms, from 1 to 2 is as far as from 50 to 100.
    scales = Union([LogUniform(1.0, 2.0), LogUniform(50.0, 100.0)])
    assert abs(np.mean([scales.sample(rng) < 10 for _ in range(4000)]) - 0.5) < 0.03
    # The disk of radius 1 is an area of 1 π, the annulus from 2 to 3 one of 5 π.
    rings = Union([DiskRadius(0.0, 1.0), DiskRadius(2.0, 3.0)])
    assert abs(np.mean([rings.sample(rng) < 1.5 for _ in range(4000)]) - 1 / 6) < 0.03


def test_points_at_a_disk_radius_are_uniform_on_the_disk():
    rng = np.random.default_rng(0)
    draws = np.array([DiskRadius(0.0, 3.0).sample(rng) for _ in range(4000)])
    assert abs(np.mean(draws < 1.5) - 0.25) < 0.03  # half the radius, a quarter of the area
    ring = np.array([DiskRadius(1.0, 3.0).sample(rng) for _ in range(4000)])
    assert abs(np.mean(ring < 2.0) - 3 / 8) < 0.03  # (4 - 1) π of (9 - 1) π
    assert ring.min() >= 1


def test_ranges_with_gaps_leave_room_for_a_split():
    space = TaskSpace(
        parameters={"v": Union([Uniform(0.0, 0.5), Uniform(3.0, 3.5)])},
        overrides={"ood": {"v": Uniform(0.0, 3.5)}},
    )
    draws = {split: space.sample(200, split=split, seed=0) for split in space.splits}
    assert all(0.5 < float(draw["v"]) < 3 for draw in draws["ood"])
    for split in ("train", "test"):
        values = [float(draw["v"]) for draw in draws[split]]
        assert all(value <= 0.5 or value >= 3 for value in values)
        assert min(values) < 0.5 < 3 < max(values)


def test_ranges_read_well():
    assert Uniform(8.0, 12.0, unit="m/s^2").text == "8…12 m/s^2"
    assert DiskRadius(0.0, 3.0).text == "0…3"
    assert Choice(["ice", "mud"]).text == "ice | mud"
    gap = Union([Uniform(0.0, 0.5, unit="m/s"), Uniform(3.0, 3.5, unit="m/s")])
    assert gap.text == "0…0.5 | 3…3.5 m/s"


def test_log_uniform_has_its_median_at_the_geometric_mean():
    rng = np.random.default_rng(0)
    draws = [LogUniform(0.01, 100.0).sample(rng) for _ in range(2000)]
    assert abs(np.median(np.log10(draws))) < 0.1


def test_choices_are_equally_likely():
    rng = np.random.default_rng(0)
    draws = [Choice(["a", "b", "c"]).sample(rng) for _ in range(3000)]
    assert all(abs(draws.count(name) - 1000) < 120 for name in "abc")


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: Uniform(1.0, 1.0), "low < high"),
        (lambda: Uniform(2.0, 1.0), "low < high"),
        (lambda: Uniform(0.0, math.inf), "finite"),
        (lambda: Uniform(math.nan, 1.0), "finite"),
        (lambda: Uniform(cast("Any", "a"), 1.0), "finite"),
        (lambda: LogUniform(0.0, 1.0), "above 0"),
        (lambda: LogUniform(-1.0, 1.0), "above 0"),
        (lambda: Choice([]), "at least one"),
        (lambda: Choice("ice"), "list"),
        (lambda: Choice([1, 1]), "repeated"),
        (lambda: Choice([1, 1.0]), "repeated"),
        (lambda: Choice([1, "a"]), "all finite numbers or all str"),
        (lambda: Choice([math.nan]), "all finite numbers"),
        (lambda: DiskRadius(-1.0, 1.0), "at least 0"),
        (lambda: DiskRadius(1.0, 1.0), "low < high"),
        (lambda: Union([]), "at least one"),
        (lambda: Union(cast("Any", [Choice([1]), Choice([2])])), "one Choice"),
        (lambda: Union([Uniform(0.0, 1.0), LogUniform(2.0, 3.0)]), "one kind"),
        (lambda: Union([Uniform(0.0, 1.0, unit="m"), Uniform(2.0, 3.0)]), "one unit"),
        (lambda: Union([Uniform(1.0, 3.0), Uniform(0.0, 2.0)]), "overlap"),
        (lambda: Union([Uniform(0.0, 1.0)]).normalise("c"), "takes numbers"),
        (lambda: Choice(["a", "b"]).normalise("c"), "not among"),
        (lambda: Uniform(0.0, 1.0).normalise("c"), "takes numbers"),
        (lambda: LogUniform(1.0, 2.0).normalise(-1.0), "logarithm"),
    ],
)
def test_nonsense_is_refused_with_a_reason(build, message):
    with pytest.raises(FamilyError, match=message):
        build()
