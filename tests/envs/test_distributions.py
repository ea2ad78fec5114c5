import math
from typing import Any, cast

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metarl_gan.envs import Choice, FamilyError, LogUniform, Uniform

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


def test_bounds_and_units():
    choice = Choice([3, 1, 2], unit="kg")
    assert (choice.low, choice.high, choice.unit) == (1.0, 3.0, "kg")
    names = Choice(["a", "b", "c"])
    assert (names.low, names.high, names.unit) == (0.0, 2.0, "")
    assert Uniform(0.0, 1.0, unit="m").unit == "m"
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
        (lambda: Choice(["a", "b"]).normalise("c"), "not among"),
        (lambda: Uniform(0.0, 1.0).normalise("c"), "takes numbers"),
        (lambda: LogUniform(1.0, 2.0).normalise(-1.0), "logarithm"),
    ],
)
def test_nonsense_is_refused_with_a_reason(build, message):
    with pytest.raises(FamilyError, match=message):
        build()
