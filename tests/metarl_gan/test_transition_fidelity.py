"""Errors after one and many steps, terminations: by hand, on generators that are known."""

import math

import gymnasium
import numpy as np
import pytest
import torch

from metarl_gan.envs.transitions import Transitions
from metarl_gan.transition_fidelity import (
    Windows,
    draw_rows,
    draw_windows,
    k_step_errors,
    terminal_scores,
)
from metarl_gan.transition_space import TransitionSpace


def stream(seed=0):
    return torch.Generator().manual_seed(seed)


def windows(n_tasks=2, n_windows=3, length=6, size=2, valid=None):
    """A point that moves by its action; the reward is its first component."""
    actions = torch.randn(n_tasks, n_windows, length, size, generator=stream())
    next_states = actions.cumsum(2)
    return Windows(
        states=next_states - actions,
        actions=actions,
        next_states=next_states,
        rewards=next_states[..., 0],
        valid=torch.ones(n_tasks, n_windows, length, dtype=torch.bool) if valid is None else valid,
    )


def test_a_perfect_generator_makes_no_error():
    found = k_step_errors(lambda s, a: (s + a, (s + a)[..., 0]), windows(), (1, 2, 6))
    assert found.state.shape == (3, 2, 2)
    assert found.reward.shape == (3, 2)
    assert float(found.state.max()) == pytest.approx(0.0, abs=1e-10)
    assert float(found.reward.max()) == pytest.approx(0.0, abs=1e-10)


def test_drift_adds_up_from_step_to_step():
    """Off by 0.1 and 0.3 more in every step: (0.1 k)² and (0.3 k)² after k, from own states."""
    drift = torch.tensor([0.1, -0.3])

    def step(states, actions):
        following = states + actions + drift
        return following, following[..., 0] + 1.0

    found = k_step_errors(step, windows(), (1, 2, 5))
    for index, k in enumerate((1, 2, 5)):
        expected = torch.tensor([(0.1 * k) ** 2, (0.3 * k) ** 2]).expand(2, 2)
        torch.testing.assert_close(found.state[index], expected)
        torch.testing.assert_close(found.reward[index], torch.full((2,), (0.1 * k + 1) ** 2))


def test_what_lies_beyond_an_episode_s_end_counts_nothing():
    valid = torch.ones(2, 3, 6, dtype=torch.bool)
    valid[0, 0, 2:] = False
    valid[1, :, 3:] = False
    real = windows(valid=valid)
    real.next_states[~valid] = torch.nan
    off = torch.tensor([1.0, 2.0, 4.0])[None, :, None]
    # Each window's generator is off by its own amount from the first step on, and stays so.
    found = k_step_errors(
        lambda s, a: (s + a + off * (s == real.states[:, :, 0]), (s + a)[..., 0]), real, (2, 3, 9)
    )
    torch.testing.assert_close(found.state[0], torch.full((2, 2), 7.0))
    assert found.state[1, 0].tolist() == pytest.approx([10.0, 10.0])
    assert found.state[1, 1].tolist() == pytest.approx([7.0, 7.0])
    assert found.state[2].isnan().all(), "no window is 9 steps long"
    found = k_step_errors(lambda s, a: (s + a, (s + a)[..., 0]), real, (4,))
    assert found.state[0].isnan().any(-1).tolist() == [False, True]
    assert found.reward[0].isnan().tolist() == [False, True]


def episodes(n_tasks=2, n_episodes=3, n_time=8):
    """Ragged episodes; the reward tells which row it is."""
    shape = (n_tasks, n_episodes, n_time)
    length = torch.randint(1, n_time + 1, shape[:2], generator=stream(3)).unsqueeze(-1)
    valid = torch.arange(n_time) < length
    observations = torch.randn(*shape, 2, generator=stream(1))
    nothing = torch.zeros(shape)
    return Transitions(
        observations=observations,
        actions=torch.randn(*shape, 1, generator=stream(2)),
        rewards=torch.arange(nothing.numel()).reshape(shape).float(),
        next_observations=torch.cat([observations[:, :, 1:], observations[:, :, :1] + 9], dim=2),
        terminated=nothing > 0,
        truncated=nothing > 0,
        valid=valid,
        log_probs=nothing,
        generated=nothing > 0,
    )


@pytest.fixture
def space():
    box = gymnasium.spaces.Box(-np.inf, np.inf, (2,), np.float32)
    return TransitionSpace(box, gymnasium.spaces.Box(-5, 5, (1,), np.float32), residual=True)


def test_windows_are_parts_of_one_episode(space):
    space.update(episodes())
    batch = episodes()
    found = draw_windows(space, batch, 50, 4, stream())
    assert found.valid.shape == (2, 50, 4)
    assert found.valid[:, :, 0].all(), "a window begins at a real transition"
    rewards = space.reward.denormalise(found.rewards.unsqueeze(-1)).squeeze(-1).round().long()
    for task in range(2):
        starts = set()
        for window in range(50):
            rows = rewards[task, window]
            inside = found.valid[task, window]
            assert inside.tolist() == sorted(inside.tolist(), reverse=True)
            n_inside = int(inside.sum())
            assert rows[inside].tolist() == list(range(int(rows[0]), int(rows[0]) + n_inside))
            assert int(rows[0]) // 24 == task
            assert len(set((rows[inside] // 8).tolist())) == 1, "of one episode"
            remaining = batch.valid.flatten()[rows[0] : 8 * (int(rows[0]) // 8 + 1)]
            assert n_inside == min(4, int(remaining.sum()))
            starts.add(int(rows[0]))
        assert len(starts) > 5
    flat = batch.next_observations.flatten(0, 2)
    torch.testing.assert_close(
        space.state.denormalise(found.next_states[0, 0, 0]), flat[rewards[0, 0, 0]]
    )


def test_rows_are_distinct_and_valid(space):
    batch = episodes()
    space.update(batch)
    rows = space.rows(batch)
    fewest = int(batch.valid.flatten(1).sum(1).min())
    for asked, given in ((4, 4), (1000, fewest)):
        found = draw_rows(rows, asked, stream())
        assert found.valid.shape == (2, given)
        assert found.valid.all()
        assert found.states.shape == (2, given, 2)
        for task in range(2):
            assert len(set(found.rewards[task, :, 0].tolist())) == given


def test_terminations_on_a_table():
    truth = torch.tensor([[True, True, True, False, False, False]])
    probabilities = torch.tensor([[0.9, 0.5, 0.2, 0.8, 0.1, 0.0]])
    found = terminal_scores(probabilities, truth)
    assert (found.transitions, found.real, found.predicted) == (6, 3, 3)
    assert found.expected == pytest.approx(2.5)
    assert found.precision == pytest.approx(2 / 3)
    assert found.recall == pytest.approx(2 / 3)


def test_without_terminations_there_is_no_recall():
    found = terminal_scores(torch.tensor([0.6, 0.1]), torch.tensor([False, False]))
    assert found.real == 0
    assert found.precision == 0.0
    assert math.isnan(found.recall)
    found = terminal_scores(torch.tensor([0.2, 0.1]), torch.tensor([False, True]))
    assert math.isnan(found.precision)
    assert found.recall == 0.0
