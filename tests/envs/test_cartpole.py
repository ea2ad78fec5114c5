from typing import Any

import gymnasium
import numpy as np
import pytest

from metarl_gan.envs import make_family
from tests.envs.classic import assert_exact, play_both
from tests.envs.episodes import FLOOR_POLICIES, random_action, returns

GYMNASIUMS = {
    "gravity": 9.8,
    "masscart": 1.0,
    "masspole": 0.1,
    "length": 0.5,
    "force_mag": 10.0,
}


def balance(venv, observations, rng):
    """The way of one who knows which way the motor turns."""
    lean = observations @ np.array([0.1, 0.3, 3.0, 1.0])
    return (lean * np.sign(venv.parameter("force_mag")) > 0).astype(int)


def balance_one_way(venv, observations, rng):
    return (observations @ np.array([0.1, 0.3, 3.0, 1.0]) > 0).astype(int)


def run_away(venv, observations, rng):
    """Leans the pole and follows it, until the cart is too far from the middle."""
    lean = observations @ np.array([0.0, 0.0, 3.0, 1.0]) - 0.1
    return (lean * np.sign(venv.parameter("force_mag")) > 0).astype(int)


def test_one_step_by_hand():
    """A level pole of half length 0.6 and 0.1 kg on 0.9 kg, pushed by -8 N: 1 kg in all.

    temp = -8; θ'' = 8 / (0.6 (4/3 - 0.1)) = 10.8108; x'' = -8 - 0.06 θ'' = -8.6486.
    """
    family = make_family("cartpole-physics")
    task = family.task(gravity=7.0, masscart=0.9, masspole=0.1, length=0.6, force_mag=-8.0)
    venv: Any = family.make_vec([task])
    venv.reset(seed=0)
    venv._states[:] = 0.0
    observation, rewards, terminated, truncated, _ = venv.step(np.array([1]))
    np.testing.assert_allclose(observation, [[0, -0.02 * 8.648649, 0, 0.02 * 10.810811]], rtol=1e-6)
    assert (rewards[0], terminated[0], truncated[0]) == (1.0, False, False)


@pytest.mark.parametrize("split", ["train", "ood"])
@pytest.mark.parametrize("policy", [random_action, balance_one_way, run_away])
def test_batched_poles_move_as_gymnasiums_own(split, policy):
    family = make_family("cartpole-physics")
    tasks = family.sample(10, split=split, seed=0)
    both = play_both(family.make_vec(tasks), [family.make(task) for task in tasks], policy)
    assert_exact(both)
    assert both.terminated.any()
    if policy is run_away:
        assert (np.abs(both.last[both.terminated, 0]) > 2.4).mean() > 0.9
    if policy is balance_one_way:  # some stand to the end, and are cut there
        assert (both.lengths[~both.terminated] == 500).all()
        assert not both.terminated.all()


def test_gymnasiums_own_numbers_give_gymnasiums_own_environment():
    family = make_family("cartpole-physics")
    venv = family.make_vec([family.task(**GYMNASIUMS)], 4)
    originals: list[Any] = [gymnasium.make("CartPole-v1") for _ in range(4)]
    assert_exact(play_both(venv, originals, random_action))
    made: Any = family.make(venv.tasks[0])
    for env in (made.unwrapped, originals[0].unwrapped):
        numbers = (env.total_mass, env.polemass_length, env.tau, env.kinematics_integrator)
        assert numbers == (1.1, 0.05, 0.02, "euler")


def test_what_gymnasium_derives_follows_the_task():
    family = make_family("cartpole-physics")
    first, second = (family.task(**{**GYMNASIUMS, "masspole": mass}) for mass in (0.2, 0.4))
    env: Any = family.make(first)
    assert (env.unwrapped.total_mass, env.unwrapped.polemass_length) == (1.2, 0.1)
    assert family.retask(env, second)
    assert (env.unwrapped.total_mass, env.unwrapped.polemass_length) == (1.4, 0.2)
    assert env.task == second
    changed = play_both(family.make_vec([second]), [env], random_action)
    assert_exact(changed)


@pytest.mark.parametrize("split", ["train", "test"])
def test_who_knows_the_motor_reaches_the_reference(split):
    family = make_family("cartpole-physics")
    assert family.reference == 500
    assert returns(family, balance, split=split).min() == 500


def test_no_policy_does_for_both_motors():
    """The same one falls at once where the motor is reversed."""
    family = make_family("cartpole-physics")
    venv = family.make_vec(family.sample(100, seed=0), 2)
    reversed_motor = venv.parameter("force_mag") < 0
    total = returns(family, balance_one_way)
    assert total[~reversed_motor].min() == 500
    assert total[reversed_motor].mean() == pytest.approx(11, abs=1)
    assert 0.4 < reversed_motor.mean() < 0.6


@pytest.mark.parametrize("policy", ["zero_action", "random"])
def test_floors_are_what_is_stated(policy):
    family = make_family("cartpole-physics")
    mean = returns(family, FLOOR_POLICIES[policy], n_tasks=500).mean()
    assert mean == pytest.approx(family.floors[policy], rel=0.05)
