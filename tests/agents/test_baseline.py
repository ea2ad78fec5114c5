import pytest
import torch

from metarl_gan.agents.baseline import fit_linear_values
from metarl_gan.envs.transitions import Transitions
from tests.agents.toys import episodes, random_episodes, stream

NO, YES = False, True


def tensor(values):
    return torch.tensor(values, dtype=torch.float64)


def chain(states, rewards, following, terminated):
    """One task with one episode over states that are numbers."""
    return episodes(
        tensor([[[[state] for state in states]]]),
        tensor([[rewards]]),
        next_observations=tensor([[[[state] for state in following]]]),
        terminated=torch.tensor([[terminated]]),
    )


@pytest.mark.parametrize("trace", [0.0, 0.5, 0.95])
def test_a_chain_that_terminates_has_the_values_of_the_hand(trace):
    # 0 -> 1 -> 2 -> end with rewards 1, 2, 4: V = 1 + .5 * (2 + .5 * 4), 2 + .5 * 4, 4.
    batch = chain([0.0, 1, 2], [1.0, 2, 4], [1.0, 2, 3], [NO, NO, YES])
    values, next_values = fit_linear_values(batch, discount=0.5, trace=trace, ridge=1e-10)
    assert values.flatten().tolist() == pytest.approx([3.0, 4.0, 4.0], abs=1e-6)
    assert next_values.flatten().tolist()[:2] == pytest.approx([4.0, 4.0], abs=1e-6)


@pytest.mark.parametrize("trace", [0.0, 0.95])
def test_a_loop_that_a_time_limit_cuts_has_the_values_of_the_endless_loop(trace):
    # 0 -> 1 -> 0 with rewards 1, 0: V(0) = 1 + .9 V(1), V(1) = .9 V(0), hence 1 / .19, .9 / .19.
    batch = chain([0.0, 1, 0, 1, 0], [1.0, 0, 1, 0, 1], [1.0, 0, 1, 0, 1], [NO] * 5)
    values, next_values = fit_linear_values(batch, discount=0.9, trace=trace, ridge=1e-10)
    first, second = 1 / 0.19, 0.9 / 0.19
    expected = [first, second, first, second, first]
    assert values.flatten().tolist() == pytest.approx(expected, abs=1e-5)
    assert next_values.flatten().tolist() == pytest.approx([*expected[1:], second], abs=1e-5)


@pytest.mark.parametrize(
    ("n_steps", "drifts", "tolerance"),
    [(5, NO, 0.01), (50, NO, 0.01), (20, YES, 0.15), (100, YES, 0.03), (400, YES, 0.03)],
)
def test_a_constant_reward_is_worth_the_same_however_long_the_episode(n_steps, drifts, tolerance):
    # A regression on the truncated returns would say at most 2 * n_steps, and less near the end.
    # A state that drifts throughout looks like a clock, which must not matter either.
    noise = torch.randn(1, 1, n_steps + 1, 1, generator=stream(), dtype=torch.float64)
    clock = torch.linspace(0.0, 1.0, n_steps + 1, dtype=torch.float64).view(1, 1, -1, 1)
    states = clock if drifts else noise
    batch = episodes(
        states[:, :, :-1],
        torch.full((1, 1, n_steps), 2.0, dtype=torch.float64),
        next_observations=states[:, :, 1:],
    )
    values, next_values = fit_linear_values(batch, discount=0.99)
    assert (values / 200 - 1).abs().max() < tolerance
    assert (next_values / 200 - 1).abs().max() < tolerance


def test_rows_after_the_end_are_no_evidence():
    short = chain([0.0, 1, 2], [1.0, 2, 4], [1.0, 2, 3], [NO, NO, YES])
    garbage = tensor([[[[70.0], [-80.0]]]])
    padded = episodes(
        torch.cat([short.observations, garbage], dim=2),
        torch.cat([short.rewards, tensor([[[1e3, -1e3]]])], dim=2),
        next_observations=torch.cat([short.next_observations, garbage], dim=2),
        terminated=torch.tensor([[[NO, NO, YES, NO, NO]]]),
        valid=torch.tensor([[[YES, YES, YES, NO, NO]]]),
    )
    expected, _ = fit_linear_values(short, discount=0.5)
    values, _ = fit_linear_values(padded, discount=0.5)
    torch.testing.assert_close(values[..., :3], expected)


def test_a_termination_passes_nothing_on_where_a_truncation_does():
    ends = chain([0.0, 0.0], [1.0, 1.0], [0.0, 0.0], [NO, YES])
    goes_on = chain([0.0, 0.0], [1.0, 1.0], [0.0, 0.0], [NO, NO])
    # One state: ended in half of the steps it is worth 1 + .5 * .5 * V = 4/3, else 1 + .5 V = 2.
    values, _ = fit_linear_values(ends, discount=0.5, trace=0.0, ridge=1e-9)
    assert values.flatten().tolist() == pytest.approx([4 / 3] * 2, abs=1e-5)
    values, _ = fit_linear_values(goes_on, discount=0.5, trace=0.0, ridge=1e-9)
    assert values.flatten().tolist() == pytest.approx([2.0] * 2, abs=1e-5)


def test_states_that_look_alike_are_weighted_by_discounted_traces():
    # One feature, traces 1 and 1 + .5 * .5: V (1 * (1 - .5) + 1.25 * 1) = 1 * 0 + 1.25 * 7.
    batch = chain([0.0, 0.0], [0.0, 7.0], [0.0, 0.0], [NO, YES])
    values, _ = fit_linear_values(batch, discount=0.5, trace=0.5, ridge=1e-9)
    assert values.flatten().tolist() == pytest.approx([5.0] * 2, abs=1e-5)


def test_all_tasks_at_once_equal_a_loop_over_tasks():
    batch = random_episodes((4, 3, 12), dtype=torch.float64)
    values, next_values = fit_linear_values(batch, discount=0.97)
    for task in range(batch.n_tasks):
        alone, next_alone = fit_linear_values(batch.select(task), discount=0.97)
        torch.testing.assert_close(alone[0], values[task], rtol=1e-9, atol=1e-9)
        torch.testing.assert_close(next_alone[0], next_values[task], rtol=1e-9, atol=1e-9)


def test_a_component_that_never_changes_does_no_harm():
    batch = random_episodes((2, 3, 12))
    still = torch.cat([batch.observations, torch.full((2, 3, 12, 1), 3.0)], dim=-1)
    after = torch.cat([batch.next_observations, torch.full((2, 3, 12, 1), 3.0)], dim=-1)
    padded = Transitions(**{**vars(batch), "observations": still, "next_observations": after})
    found = fit_linear_values(padded, discount=0.97)
    for value, expected in zip(found, fit_linear_values(batch, discount=0.97), strict=True):
        torch.testing.assert_close(value, expected, rtol=1e-4, atol=1e-4)
