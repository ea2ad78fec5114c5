"""Errors that the gate decides from: fair to generators that draw, and fooled by none."""

import pytest
import torch

from metarl_gan.generator import Generated
from metarl_gan.held_out_errors import held_out_errors
from metarl_gan.transition_space import Rows
from tests.agents.toys import stream

N_ROWS = 20_000


def rows_of(changes, rewards, terminated=None, valid=None):
    """Rows `[tasks, rows]` of given outcomes; conditions do not matter."""
    shape = changes.shape[:2]
    nothing = torch.zeros(*shape, 1)
    return Rows(
        states=nothing,
        actions=nothing,
        changes=changes,
        rewards=rewards,
        terminated=nothing if terminated is None else terminated,
        valid=torch.ones(shape, dtype=torch.bool) if valid is None else valid,
    )


def says(changes, rewards, probability=1e-9):
    logit = torch.as_tensor(probability).logit().float()
    return Generated(
        changes=changes, rewards=rewards, terminated_logits=logit.expand(*changes.shape[:2], 1)
    )


def test_of_a_deterministic_generator_it_is_the_squared_error():
    changes = torch.tensor([[[1.0, 0.0], [0.0, 2.0], [9.0, 9.0]]])
    rewards = torch.tensor([[[1.0], [3.0], [9.0]]])
    rows = rows_of(changes, rewards, valid=torch.tensor([[True, True, False]]))
    made = says(torch.zeros(1, 3, 2), torch.ones(1, 3, 1))
    errors = held_out_errors(rows, made, made)
    # Components: (1 + 0) / 2 and (0 + 4) / 2; rewards: 0 and 4. The last row is not valid.
    assert errors.next_state.tolist() == pytest.approx([(0.5 + 2.0) / 2])
    assert errors.reward.tolist() == pytest.approx([2.0])
    assert errors.terminated.tolist() == pytest.approx([0.0], abs=1e-6)


@pytest.mark.parametrize("spread", [0.1, 0.5, 0.9])
def test_of_draws_from_the_true_distribution_it_is_nothing(spread):
    """However wide that is, short of all that there is."""
    rng = stream()
    known = torch.randn(2, N_ROWS, 1, generator=rng) * (1 - spread**2) ** 0.5

    def outcome():
        return known + spread * torch.randn(2, N_ROWS, 1, generator=rng)

    errors = held_out_errors(
        rows_of(outcome(), outcome()), says(outcome(), outcome()), says(outcome(), outcome())
    )
    assert errors.next_state.tolist() == pytest.approx([0.0, 0.0], abs=0.03)
    assert errors.reward.tolist() == pytest.approx([0.0, 0.0], abs=0.03)


def test_of_the_mean_it_is_what_chance_leaves_and_a_bias_adds_its_square():
    rng = stream()
    real = 0.5 * torch.randn(1, N_ROWS, 1, generator=rng)
    mean = says(torch.zeros_like(real), torch.zeros_like(real))
    errors = held_out_errors(rows_of(real, real), mean, mean)
    assert errors.reward.item() == pytest.approx(0.25, abs=0.01)

    def biased():
        return 0.3 + 0.5 * torch.randn(1, N_ROWS, 1, generator=rng)

    draws = says(biased(), biased()), says(biased(), biased())
    errors = held_out_errors(rows_of(real, real), *draws)
    assert errors.next_state.item() == pytest.approx(0.09, abs=0.02)


def test_of_one_that_draws_from_everything_it_is_the_whole_distance():
    """Calibrated, but it says nothing of the task: as bad as a random guess."""
    draws = [torch.randn(1, N_ROWS, 1, generator=stream(seed)) for seed in range(3)]
    real, *made = draws
    errors = held_out_errors(rows_of(real, real), *(says(drawn, drawn) for drawn in made))
    assert errors.next_state.item() == pytest.approx(2.0, abs=0.05)


def test_one_that_spreads_too_little_is_not_better_than_it_is():
    """Draws nearer to each other than outcomes are: what is missing of the variance counts."""
    rng = stream()
    real, first, second = (
        scale * torch.randn(1, N_ROWS, 1, generator=rng) for scale in (0.8, 0.4, 0.4)
    )
    errors = held_out_errors(rows_of(real, real), says(first, first), says(second, second))
    assert errors.reward.item() == pytest.approx(0.64 - 0.16, abs=0.02)


@pytest.mark.parametrize(("n_ends", "probability", "expected"), [
    (0, 0.5, 0.25 / 0.05),  # a variance of 0 counts as 0.05
    (50, 0.5, 0.25 / 0.25),
    (50, 1e-9, 0.5 / 0.25),
    (10, 0.1, 0.09 / 0.09),
])  # fmt: skip
def test_an_end_counts_beside_how_often_it_happens(n_ends, probability, expected):
    ends = (torch.arange(100) < n_ends).float().view(1, 100, 1)
    nothing = torch.zeros(1, 100, 1)
    made = says(nothing, nothing, probability)
    errors = held_out_errors(rows_of(nothing, nothing, ends), made, made)
    assert errors.terminated.item() == pytest.approx(expected, rel=1e-4)


def test_what_is_no_number_stays_none():
    real = torch.zeros(1, 4, 1)
    broken = says(real, real.clone().fill_(torch.nan))
    assert held_out_errors(rows_of(real, real), broken, broken).worst.isnan().all()


def test_no_rows_give_no_error_and_no_nan():
    """`infer` says that nothing is known of such a task."""
    real = torch.ones(1, 4, 1)
    rows = rows_of(real, real, valid=torch.zeros(1, 4, dtype=torch.bool))
    made = says(real, real)
    assert held_out_errors(rows, made, made).worst.tolist() == [0.0]
