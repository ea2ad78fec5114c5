"""Buffers of real and generated rows: the share holds, and a share of 0 is the real rows alone."""

import numpy as np
import pytest
import torch
from gymnasium import spaces
from stable_baselines3.common.buffers import ReplayBuffer, RolloutBuffer

from metarl_gan.agents.global_streams import global_streams
from metarl_gan.learners.mixed_replay_buffer import MixedReplayBuffer, transition_rows
from metarl_gan.learners.mixed_rollout_buffer import MixedRolloutBuffer, RolloutRows
from tests.agents.toys import random_episodes

OBSERVATIONS = spaces.Box(-np.inf, np.inf, (3,), np.float32)
ACTIONS = spaces.Box(-1.0, 1.0, (2,), np.float32)
GENERATED = 100.0
"""Reward of every generated row."""


def step(buffer, reward, *, n=1, generated=False, done=False, cut=False):
    infos = [{"generated": generated, "TimeLimit.truncated": cut} for _ in range(n)]
    values = np.full((n, 3), reward, np.float32)
    actions, rewards = np.full((n, 2), 0.5, np.float32), np.full(n, reward, np.float32)
    buffer.add(values, values + 1, actions, rewards, np.full(n, done), infos)


def filled(share, *, n_real=8, n_generated=8, size=50):
    buffer = MixedReplayBuffer(size, OBSERVATIONS, ACTIONS, device="cpu", share=share)
    for row in range(n_real):
        step(buffer, float(row))
    for _ in range(n_generated):
        step(buffer, GENERATED, generated=True)
    return buffer


@pytest.mark.parametrize(("share", "expected"), [(0.0, 0), (0.25, 16), (0.37, 24), (1.0, 64)])
def test_a_sample_has_the_share(share, expected):
    rewards = filled(share).sample(64).rewards
    assert rewards.shape == (64, 1)
    assert int((rewards == GENERATED).sum()) == expected


def test_a_share_of_zero_is_the_plain_buffer_to_the_bit():
    plain = ReplayBuffer(50, OBSERVATIONS, ACTIONS, device="cpu")
    for row in range(8):
        step(plain, float(row))
    samples = []
    for buffer in (plain, filled(0.0, n_generated=8)):
        with global_streams(3):
            samples.append(buffer.sample(32))
    for ours, theirs in zip(*samples, strict=True):
        assert ours is theirs or torch.equal(ours, theirs)


def test_where_one_kind_is_missing_there_is_the_other():
    assert (filled(0.5, n_generated=0).sample(10).rewards < 8).all()
    assert (filled(0.5, n_real=0).sample(10).rewards == GENERATED).all()


def test_steps_of_several_environments_are_rows_and_time_limits_are_no_ends():
    buffer = MixedReplayBuffer(50, OBSERVATIONS, ACTIONS, device="cpu", n_envs=3, share=0.5)
    step(buffer, 1.0, n=3, done=True, cut=True)
    step(buffer, GENERATED, n=3, generated=True, done=True)
    assert (buffer.size(), buffer.generated.size()) == (3, 3)
    sample = buffer.sample(8)
    assert torch.equal(sample.dones == 1, sample.rewards == GENERATED)
    buffer.reset()
    assert (buffer.size(), buffer.generated.size()) == (0, 0)


def test_whole_batches_go_in_at_once_and_the_oldest_make_room():
    batch = random_episodes((2, 2, 6))
    rows = transition_rows(batch)
    n = batch.n_valid()
    buffer = MixedReplayBuffer(n, OBSERVATIONS, ACTIONS, device="cpu")
    buffer.extend(batch, generated=True)
    assert (buffer.size(), buffer.generated.size()) == (0, n)
    for name in ("observations", "next_observations", "rewards"):
        np.testing.assert_array_equal(getattr(buffer.generated, name)[:, 0], getattr(rows, name))
    np.testing.assert_array_equal(buffer.generated.dones[:, 0], rows.terminated)
    small = MixedReplayBuffer(5, OBSERVATIONS, ACTIONS, device="cpu")
    step(small, 7.0)
    small.extend(batch, generated=False)
    assert small.full
    assert sorted(small.rewards[:, 0].tolist()) == sorted(rows.rewards[-5:].tolist())


def test_what_makes_no_sense_is_refused():
    with pytest.raises(ValueError, match=r"share is 1\.5"):
        filled(1.5)
    with pytest.raises(ValueError, match="optimize_memory_usage"):
        MixedReplayBuffer(5, OBSERVATIONS, ACTIONS, optimize_memory_usage=True)


def rows(n, value=None):
    """Rows that are told apart by their values."""
    values = torch.arange(float(n)) if value is None else torch.full((n,), value)
    return RolloutRows(
        observations=values.unsqueeze(-1).expand(n, 3),
        actions=torch.zeros(n, 2),
        log_probs=values / 10,
        values=values,
        advantages=values / 2,
    )


def epoch(buffer, batch_size):
    with global_streams(2):
        return list(buffer.get(batch_size))


def test_real_rollouts_alone_come_as_from_the_plain_buffer():
    plain = RolloutBuffer(10, OBSERVATIONS, ACTIONS, device="cpu")
    for row in range(10):
        given = rows(10)
        plain.add(
            given.observations[row].numpy(),
            np.zeros(2),
            np.zeros(1),
            np.zeros(1),
            given.values[row],
            given.log_probs[row : row + 1],
        )
    plain.advantages[:, 0] = rows(10).advantages
    plain.returns[:, 0] = rows(10).values + rows(10).advantages
    for other in (None, rows(30, GENERATED)):
        ours = epoch(MixedRolloutBuffer(OBSERVATIONS, ACTIONS, rows(10), other, share=0.0), 4)
        theirs = epoch(plain, 4)
        assert len(ours) == len(theirs) == 3
        for our, their in zip(ours, theirs, strict=True):
            for one, two in zip(our, their, strict=True):
                assert torch.equal(one, two)


def test_minibatches_of_rollouts_have_the_share_and_all_rows_get_their_turn():
    buffer = MixedRolloutBuffer(OBSERVATIONS, ACTIONS, rows(10), rows(30, GENERATED), share=0.25)
    batches = epoch(buffer, 8)
    assert [len(batch.old_values) for batch in batches] == [8] * 5
    for batch in batches:
        assert int((batch.old_values == GENERATED).sum()) == 2
        torch.testing.assert_close(batch.returns, batch.old_values + batch.advantages)
    real = torch.cat([batch.old_values for batch in batches])
    counts = torch.bincount(real[real < 10].long(), minlength=10)
    assert counts.tolist() == [3] * 10  # 30 real rows are wanted of 10
    (whole,) = epoch(buffer, None)
    assert int((whole.old_values == GENERATED).sum()) == 10
