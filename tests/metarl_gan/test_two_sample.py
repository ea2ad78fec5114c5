"""Two-sample test and coverage: by hand, then on distributions that are known."""

import math
from itertools import product

import pytest
import torch

from metarl_gan.two_sample import density_and_coverage, energy_test, expected_coverage


def stream(seed=0):
    return torch.Generator().manual_seed(seed)


def normal(n_tasks, n_rows, size=3, seed=0):
    return torch.randn(n_tasks, n_rows, size, generator=stream(seed))


def test_energy_distance_by_hand():
    real = torch.tensor([[[0.0], [1.0], [4.0]]])
    generated = torch.tensor([[[2.0], [1.0], [7.0]]])
    # Over pairs of different rows: |x-y| 1+7+1+6+2+3 = 20, |x-x'| 2(1+4+3) = 16,
    # |y-y'| 2(1+5+6) = 24, each by 6.
    found = energy_test(real, generated, 10, stream())
    assert float(found.distance[0]) == pytest.approx((2 * 20 - 16 - 24) / 6)
    shifted = energy_test(real, real + 10.0, 10, stream())
    # |x-y| 9+6+11+7+14+13 = 60.
    assert float(shifted.distance[0]) == pytest.approx((2 * 60 - 16 - 16) / 6)


def test_permutations_swap_rows_of_the_pair():
    """Against swapping by hand: all 16 of 4 rows, many of them drawn."""
    real, generated = normal(1, 4, seed=1), normal(1, 4, seed=2) + 0.5
    swapped = []
    for mask in product([False, True], repeat=4):
        swap = torch.tensor(mask)[None, :, None]
        ours, theirs = torch.where(swap, generated, real), torch.where(swap, real, generated)
        swapped.append(float(energy_test(ours, theirs, 1, stream()).distance[0]))
    exact = sum(value >= swapped[0] - 1e-9 for value in swapped) / 16
    found = energy_test(real, generated, 20_000, stream())
    assert float(found.p_value[0]) == pytest.approx(exact, abs=0.015)
    assert float(found.overall_p_value) == pytest.approx(exact, abs=0.015)


def test_a_shift_is_found_and_equality_is_not():
    real, same = normal(200, 40, seed=1), normal(200, 40, seed=2)
    equal = energy_test(real, same, 199, stream())
    # p-values of a true hypothesis are uniform: mean 0.5 with deviation 0.29 / sqrt(200).
    assert float(equal.p_value.mean()) == pytest.approx(0.5, abs=0.07)
    assert float((equal.p_value <= 0.1).double().mean()) == pytest.approx(0.1, abs=0.07)
    assert float(equal.overall_p_value) > 0.01
    assert float(equal.overall_distance) == pytest.approx(0.0, abs=0.01)
    moved = energy_test(real, same + 1.0, 199, stream())
    assert float(moved.p_value.max()) <= 0.05
    assert float(moved.overall_p_value) == pytest.approx(1 / 200)
    wider = energy_test(real[:20], 2.0 * same[:20], 199, stream())
    assert float(wider.overall_p_value) == pytest.approx(1 / 200)


def test_all_tasks_together_find_what_none_does_alone():
    real, generated = normal(30, 20, seed=1), normal(30, 20, seed=2) + 0.25
    found = energy_test(real, generated, 199, stream())
    assert float(found.p_value.median()) > 0.05
    assert float(found.overall_p_value) < 0.01
    assert float(found.overall_distance) == pytest.approx(float(found.distance.mean()))


def test_what_both_are_conditioned_on_is_no_difference():
    """Equal states and actions, equal outcomes: not a trace of a difference."""
    rows = normal(2, 30)
    found = energy_test(rows, rows.clone(), 50, stream())
    assert found.distance.tolist() == [0.0, 0.0]
    assert found.p_value.tolist() == [1.0, 1.0]
    # The mean of a noisy outcome instead of draws, as a regression gives.
    noise = normal(2, 200, size=1, seed=3)
    states = normal(2, 200, seed=4)
    real = torch.cat([states, noise], dim=-1)
    blurred = torch.cat([states, torch.zeros_like(noise)], dim=-1)
    drawn = torch.cat([states, normal(2, 200, size=1, seed=5)], dim=-1)
    assert float(energy_test(real, blurred, 99, stream()).p_value.max()) == pytest.approx(0.01)
    assert float(energy_test(real, drawn, 99, stream()).p_value.min()) > 0.05


def test_nothing_can_be_said_of_one_row_or_of_what_is_no_number():
    found = energy_test(normal(2, 1), normal(2, 1), 9, stream())
    assert found.distance.isnan().all()
    assert found.overall_p_value.isnan()
    broken = normal(2, 10)
    broken[0, 0, 0] = torch.nan
    found = energy_test(normal(2, 10), broken, 9, stream())
    assert found.p_value.isnan().tolist() == [True, False]
    with pytest.raises(ValueError, match="differ; both must be"):
        energy_test(normal(2, 3), normal(2, 4), 9, stream())


def test_density_and_coverage_by_hand():
    real = torch.tensor([[[0.0], [1.0], [3.0], [10.0]]])
    # With k = 1 the balls reach 1, 1, 2 and 7: [-1, 1], [0, 2], [1, 5], [3, 17].
    generated = torch.tensor([[[0.5], [1.5], [-3.0]]])
    density, coverage = density_and_coverage(real, generated, 1)
    # 0.5 is in the first and the second, 1.5 in the second and the third, -3 in none.
    assert float(density[0]) == pytest.approx(4 / 3)
    assert float(coverage[0]) == pytest.approx(3 / 4)
    # With k = 2 they reach 3, 2, 3 and 9: [-3, 3], [-1, 3], [0, 6], [1, 19].
    density, coverage = density_and_coverage(real, generated, 2)
    assert float(density[0]) == pytest.approx((3 + 4 + 1) / (2 * 3))
    assert float(coverage[0]) == 1.0


def test_coverage_of_equal_distributions_is_as_expected():
    real, generated = normal(100, 60, seed=1), normal(100, 60, seed=2)
    density, coverage = density_and_coverage(real, generated, 5)
    assert float(density.mean()) == pytest.approx(1.0, abs=0.05)
    assert float(coverage.mean()) == pytest.approx(expected_coverage(60, 60, 5), abs=0.01)
    assert expected_coverage(60, 60, 5) == pytest.approx(0.97, abs=0.01)
    assert expected_coverage(3, 2, 1) == pytest.approx(1 - 2 / 4)


def test_collapsed_and_wide_generators_do_not_cover():
    real = normal(5, 100, seed=1)
    collapsed = torch.zeros_like(real)
    density, coverage = density_and_coverage(real, collapsed, 5)
    assert float(coverage.max()) < 0.2
    assert float(density.min()) > 0.5, "density alone does not see a collapse"
    density, coverage = density_and_coverage(real, collapsed + 50.0, 5)
    assert density.tolist() == coverage.tolist() == [0.0] * 5
    density, coverage = density_and_coverage(real, 20.0 * normal(5, 100, seed=2), 5)
    assert float(density.max()) < 0.1


def test_constant_outcomes_can_be_covered():
    constant = torch.ones(1, 8, 2)
    density, coverage = density_and_coverage(constant, constant, 3)
    assert float(coverage[0]) == 1.0
    assert float(density[0]) > 1.0
    assert density_and_coverage(constant, 2.0 * constant, 3)[1].tolist() == [0.0]


def test_too_few_rows_have_no_coverage():
    for value in density_and_coverage(normal(2, 1), normal(2, 1), 5):
        assert value.isnan().all()
    assert math.isnan(expected_coverage(1, 1, 5))
    density, coverage = density_and_coverage(normal(1, 3), torch.full((1, 3, 3), torch.nan), 5)
    assert density.isnan().all()
    assert coverage.isnan().all()
