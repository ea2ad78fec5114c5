from typing import Any

import gymnasium
import numpy as np
import pytest

from metarl_gan.envs import make_family
from tests.envs.classic import assert_exact, play_both
from tests.envs.episodes import random_action, returns


def swing_up(venv, observations, rng):
    """The way of one who knows the physics: energy into the swing, then linear feedback."""
    g, m, length, limit = (venv.parameter(name) for name in ("g", "m", "l", "max_torque"))
    angle, speed = np.arctan2(observations[:, 1], observations[:, 0]), observations[:, 2]
    moment = m * length**2 / 3
    missing = m * g * length / 2 * (1 - np.cos(angle)) - moment * speed**2 / 2
    pumped = limit * np.where(speed < 0, -1, 1) * np.sign(missing)
    held = -moment * (3 * g / (2 * length) * np.sin(angle) + 4 * angle + 4 * speed)
    near = (np.abs(angle) < 1) & (np.abs(held) < 1.5 * limit)
    return np.clip(np.where(near, held, pumped), -2, 2).astype(np.float32)[:, None]


@pytest.mark.parametrize("split", ["train", "ood"])
@pytest.mark.parametrize("policy", [random_action, swing_up])
def test_batched_pendulums_swing_as_gymnasiums_own(split, policy):
    """Random torques are beyond every motor's strength at times."""
    family = make_family("pendulum-physics")
    tasks = family.sample(6, split=split, seed=0)
    both = play_both(family.make_vec(tasks), [family.make(task) for task in tasks], policy)
    assert_exact(both)
    assert both.lengths.tolist() == [200] * 6
    assert not both.terminated.any()


def test_gymnasiums_own_numbers_give_gymnasiums_own_environment():
    family = make_family("pendulum-physics")
    venv = family.make_vec([family.task(g=10.0, m=1.0, l=1.0, max_torque=2.0)], 3)
    originals: list[Any] = [gymnasium.make("Pendulum-v1") for _ in range(3)]
    assert_exact(play_both(venv, originals, random_action))


@pytest.mark.parametrize("split", ["train", "test"])
def test_who_knows_the_physics_reaches_the_reference(split):
    family = make_family("pendulum-physics")
    mean = returns(family, swing_up, split=split, n_tasks=500).mean()
    assert mean == pytest.approx(family.reference, abs=8)
