"""`point-slip`: the rules by hand, and that its mean step lies."""

import math

import numpy as np
import pytest

from metarl_gan.envs import make_family
from tests.envs.episodes import returns


def start(envs=1, *, angle=0.0, gap=1.0, seed=0):
    """A vector environment of one task, reset; at angle 0 "ahead" is along the first axis."""
    family = make_family("point-slip")
    venv = family.make_vec([family.task(angle=angle, gap=gap)], envs)
    assert not venv.reset(seed=seed)[0].any()
    return venv


def move(venv, ahead, aside=0.0):
    return venv.step(np.full((venv.num_envs, 2), (ahead, aside), np.float32))


def walk(sign):
    """Along the slippery line, `sign` of ahead, to where the pay no longer grows; then stay."""

    def policy(venv, observations, rng):
        angles = venv.parameter("angle")
        way = (sign * np.stack([np.cos(angles), np.sin(angles)], axis=-1) - observations) / 0.1
        return (way / np.maximum(1.0, np.abs(way).max(-1, keepdims=True))).astype(np.float32)

    return policy


def test_back_and_aside_is_firm_and_pays_as_stated():
    venv = start()
    paid, observation = [], np.empty(0)
    for ahead, aside in [(0, 0), (-1, 0), (0, 3), (-0.5, -1)]:
        observation, rewards, terminated, _, _ = move(venv, ahead, aside)
        paid.append(float(rewards[0]))
        assert not terminated[0]
    np.testing.assert_allclose(observation, [[-0.15, 0.0]], atol=1e-6)
    np.testing.assert_allclose(paid, [1.0, 1.1, 1.1, 1.15], rtol=1e-6)
    for _ in range(12):
        _, rewards, *_ = move(venv, -1)
    assert rewards[0] == 2.0


def test_a_full_step_ahead_slips_to_one_side_or_the_other_and_only_the_next_step_pays_for_it():
    venv = start(400)
    observations, rewards, *_ = move(venv, 1)
    np.testing.assert_allclose(observations[:, 0], 0.1, rtol=1e-6)
    np.testing.assert_allclose(np.abs(observations[:, 1]), 1.0, rtol=1e-6)
    assert 160 < (observations[:, 1] > 0).sum() < 240
    np.testing.assert_allclose(rewards, 1.2, rtol=1e-6)
    observations, rewards, terminated, truncated, _ = move(venv, -1, 1)
    assert not observations.any()
    np.testing.assert_array_equal(rewards, -1.0)
    assert not terminated.any()
    assert not truncated.any()


def test_slips_are_as_frequent_as_the_step_is_fast():
    observations, rewards, *_ = move(start(4000), 0.3)
    slipped = np.abs(observations[:, 1]) > 0.5
    assert slipped.mean() == pytest.approx(0.3, abs=0.03)
    np.testing.assert_allclose(observations[~slipped, 1], 0.0, atol=1e-7)
    np.testing.assert_allclose(rewards, 1.06, rtol=1e-6)
    assert abs(observations[:, 1].mean()) < 0.04


def test_ahead_and_the_slip_turn_with_the_task():
    """Straight up is ahead: slips go left and right, as far as the task says."""
    observations, *_ = move(start(20, angle=math.pi / 2, gap=0.8), 0.0, 1.0)
    np.testing.assert_allclose(np.abs(observations), [[0.8, 0.1]] * 20, rtol=1e-6)
    assert set(np.sign(observations[:, 0])) == {-1.0, 1.0}


def test_ditches_can_be_walked_into_and_jumped():
    venv = start()
    for _ in range(6):
        move(venv, 0, 1)
    observations, rewards, *_ = move(venv, 0, 0.9)  # to 0.69, before the ditch
    assert rewards[0] == 1.0
    observations, rewards, *_ = move(venv, 0, 0.2)  # to 0.71, in it
    assert rewards[0] == 1.0
    np.testing.assert_allclose(observations, [[0.0, 0.71]], rtol=1e-6)
    observations, rewards, *_ = move(venv, 0, 1)
    assert rewards[0] == -1.0
    assert not observations.any()
    venv = start(40)
    for _ in range(4):
        move(venv, 0, 1)
    observations, *_ = move(venv, 1)  # from 0.4 to 1.4, beyond, or to -0.6, before
    assert {round(float(y), 3) for y in observations[:, 1]} == {1.4, -0.6}
    np.testing.assert_allclose(move(venv, -1)[1], 1.0, rtol=1e-6)


def test_episodes_differ_by_row_and_reset_and_repeat_with_the_seed():
    family = make_family("point-slip")
    venv = family.make_vec(family.sample(2, seed=0), 3)
    angles = venv.parameter("angle")
    ahead = 0.2 * np.stack([np.cos(angles), np.sin(angles)], -1).astype(np.float32)

    def episode(seed):
        venv.reset(seed=seed)
        return np.stack([venv.step(ahead)[0] for _ in range(20)])

    first, second, again = episode(1), episode(None), episode(1)
    np.testing.assert_array_equal(first, again)
    assert (first != second).any()
    assert (first[:, 0] != first[:, 1]).any()
    # Row 1 from seed 1 is row 0 from seed 2.
    np.testing.assert_array_equal(episode(2)[:, 0], first[:, 1])


@pytest.mark.parametrize("split", ["train", "test", "ood"])
def test_who_knows_walks_back_and_who_trusts_the_mean_falls(split):
    family = make_family("point-slip")
    assert returns(family, walk(-1), split=split).mean() == pytest.approx(family.reference, abs=0.3)
    assert returns(family, walk(1), split=split).max() < 7.5
