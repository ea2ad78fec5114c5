import pytest
import torch

from metarl_gan.agents.returns import (
    discounted_returns,
    generalised_advantages,
    normalise_over_rows,
)

NO, YES = False, True


def advantages(rewards, values, next_values, terminated, valid):
    return generalised_advantages(
        torch.tensor(rewards),
        torch.tensor(values),
        torch.tensor(next_values),
        torch.tensor(terminated),
        torch.tensor(valid),
        discount=0.5,
        gae_lambda=0.5,
    ).tolist()


def test_advantages_by_hand_of_an_episode_that_terminates():
    # deltas: 1 + .5*4 - 2 = 1; 2 + .5*6 - 4 = 1; 3 - 6 = -3 (the 100 ahead is worth nothing).
    # backwards with decay .25: -3; 1 - .75 = .25; 1 + .0625.
    found = advantages([1.0, 2, 3], [2.0, 4, 6], [4.0, 6, 100], [NO, NO, YES], [YES] * 3)
    assert found == [1.0625, 0.25, -3.0]


def test_truncation_bootstraps_the_value_of_the_final_observation():
    # The last delta is 3 + .5*100 - 6 = 47: then 1 + 47/4 = 12.75; 1 + 12.75/4.
    found = advantages([1.0, 2, 3], [2.0, 4, 6], [4.0, 6, 100], [NO, NO, NO], [YES] * 3)
    assert found == [4.1875, 12.75, 47.0]


def test_rows_after_an_episode_get_nothing_and_pass_nothing_on():
    rewards, values = [[1.0, 2, 50, 50], [1.0, 2, 3, 4]], [[2.0, 4, 70, 70], [0.0] * 4]
    next_values = [[4.0, 8, 70, 70], [0.0] * 4]
    valid = [[YES, YES, NO, NO], [YES] * 4]
    found = advantages(rewards, values, next_values, [[NO] * 4] * 2, valid)
    # deltas 1 and 2 + .5*8 - 4 = 2; hence 1 + .5.
    assert found[0] == [1.5, 2.0, 0.0, 0.0]
    # With all values 0 and decay .25 the advantages are discounted sums.
    assert found[1] == [1 + 2 / 4 + 3 / 16 + 4 / 64, 2 + 3 / 4 + 4 / 16, 3 + 4 / 4, 4.0]


def test_returns_by_hand():
    rewards = torch.tensor([[1.0, 2, 4], [1.0, 2, 50]])
    valid = torch.tensor([[YES, YES, YES], [YES, YES, NO]])
    assert discounted_returns(rewards, valid, 0.5).tolist() == [[3.0, 4.0, 4.0], [2.0, 2.0, 0.0]]
    final = torch.tensor([8.0, 8.0])
    found = discounted_returns(rewards, valid, 0.5, final).tolist()
    assert found == [[4.0, 6.0, 8.0], [4.0, 6.0, 0.0]]


def test_lambda_one_gives_returns_minus_values():
    generator = torch.Generator().manual_seed(0)
    rewards, values = torch.randn(2, 3, 7, generator=generator)
    following = torch.cat([values[:, 1:], torch.zeros(3, 1)], dim=-1)
    valid = torch.ones(3, 7, dtype=torch.bool)
    terminated = torch.zeros_like(valid)
    terminated[:, -1] = True
    found = generalised_advantages(
        rewards, values, following, terminated, valid, discount=0.9, gae_lambda=1.0
    )
    torch.testing.assert_close(found, discounted_returns(rewards, valid, 0.9) - values)


def test_normalisation_is_per_task_over_valid_rows():
    values = torch.tensor([[1.0, 3, 1000], [10.0, 20, 60]])
    valid = torch.tensor([[YES, YES, NO], [YES, YES, YES]])
    found = normalise_over_rows(values, valid)
    assert found[0].tolist() == pytest.approx([-1.0, 1.0, 0.0], abs=1e-5)
    # mean 30, deviations -20, -10, 30: variance 1400 / 3.
    expected = [value / (1400 / 3) ** 0.5 for value in (-20.0, -10.0, 30.0)]
    assert found[1].tolist() == pytest.approx(expected, abs=1e-5)


def test_normalisation_amplifies_no_noise():
    values = torch.tensor([[2.0, 2.0, 2.0], [0.0, 0.0, 7.0], [5.0, 5.0, 5.0]])
    valid = torch.tensor([[YES] * 3, [NO] * 3, [NO, NO, YES]])
    assert normalise_over_rows(values, valid).abs().max() == 0.0
