"""The energy score by hand, and that it is least for the outcomes' own distribution."""

import torch

from metarl_gan.generators.energy_score import SOFTNESS, energy_score
from tests.agents.toys import stream


def soft(distance):
    return (distance**2 + SOFTNESS**2) ** 0.5 - SOFTNESS


def score(draws, outcome):
    """Of scalars."""
    draws, outcome = torch.tensor(draws), torch.tensor(outcome)
    return float(energy_score(draws.reshape(1, -1, 1, 1), outcome.reshape(1, 1, 1)))


def test_three_draws_by_hand():
    outcome = 1.0
    near = (soft(1.0) + soft(0.5) + soft(2.0)) / 3
    apart = (soft(0.5) + soft(3.0) + soft(2.5)) / 3
    assert abs(score([0.0, 0.5, 3.0], outcome) - (near - apart / 2)) < 1e-6
    assert score([1.0, 1.0], outcome) == 0.0


def test_distances_are_those_of_vectors_row_by_row():
    draws = torch.tensor([[[[3.0, 4.0], [0.0, 0.0]], [[3.0, 4.0], [0.0, 1.0]]]])
    outcome = torch.tensor([[[0.0, 0.0], [0.0, 0.0]]])
    expected = torch.tensor([[soft(5.0), 0.5 * soft(1.0) - 0.5 * soft(1.0)]])
    torch.testing.assert_close(energy_score(draws, outcome), expected)


def test_draws_that_coincide_have_a_gradient_that_is_a_number():
    draws = torch.zeros(1, 3, 1, 2, requires_grad=True)
    energy_score(draws, torch.zeros(1, 1, 2)).sum().backward()
    assert draws.grad is not None
    assert not draws.grad.any()


def test_how_often_each_outcome_comes_is_what_scores_best():
    """Outcomes are 1 in three of ten rows and -1 else; candidates draw 1 with probability p."""
    n_rows, rng = 40_000, stream(0)
    outcome = torch.where(torch.rand(1, n_rows, 1, generator=rng) < 0.3, 1.0, -1.0)

    def mean_score(p, *, scale=1.0):
        chance = torch.rand(1, 2, n_rows, 1, generator=rng)
        return float(energy_score(torch.where(chance < p, scale, -scale), outcome).mean())

    scores = {p: mean_score(p) for p in (0.0, 0.15, 0.3, 0.5, 1.0)}
    assert min(scores, key=lambda p: scores[p]) == 0.3
    # The mean, -0.4, and outcomes drawn half as far.
    mean = float(energy_score(torch.full((1, 2, n_rows, 1), -0.4), outcome).mean())
    assert scores[0.3] < min(mean, mean_score(0.3, scale=0.5)) - 0.02
