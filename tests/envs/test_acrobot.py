from typing import Any

import gymnasium
import numpy as np
import pytest

from metarl_gan.envs import make_family
from tests.envs.classic import assert_exact, play_both
from tests.envs.episodes import random_action, returns

GYMNASIUMS = {
    "gravity": 9.8,
    "link_length_1": 1.0,
    "link_length_2": 1.0,
    "link_mass_1": 1.0,
    "link_mass_2": 1.0,
    "link_moi": 1.0,
    "torque": 1.0,
}


def pump(venv, observations, rng):
    """Torque against the first link's velocity feeds energy into the swing."""
    return np.where(observations[:, 4] > 0, 0, 2)


def test_one_step_by_hand():
    """Both links hang, moments 1.5, torque 2 for 0.2 s: too short for gravity to matter much.

    With l₁ = l₂ = 1, m = 1 and both centres in the middle: d₁ = 1/4 + 9/4 + 3 = 5.5,
    d₂ = 3/4 + 1.5 = 2.25, hence θ₂'' = 2 / (1/4 + 1.5 - 2.25² / 5.5) and θ₁'' = -d₂ θ₂'' / d₁.
    """
    family = make_family("acrobot-physics")
    physics = {**GYMNASIUMS, "gravity": 1e-6, "link_moi": 1.5, "torque": 2.0}
    venv: Any = family.make_vec([family.task(**physics)])
    venv.reset(seed=0)
    venv._states[:] = 0.0
    observation, rewards, terminated, _, _ = venv.step(np.array([2]))
    second = 2.0 / (1.75 - 2.25**2 / 5.5)
    speeds = 0.2 * np.array([-2.25 * second / 5.5, second])
    # What the velocities' own terms add within the step is of third order.
    np.testing.assert_allclose(observation[0, 4:], speeds, rtol=0.01)
    assert (rewards[0], terminated[0]) == (-1.0, False)


@pytest.mark.parametrize("gravity", [9.8, 3.0, 14.0])
def test_energy_is_conserved_under_any_gravity(gravity):
    """Without torque, along the equations of motion that Gymnasium's step integrates."""
    family = make_family("acrobot-physics")
    physics = {**GYMNASIUMS, "gravity": gravity, "link_length_1": 1.3, "link_mass_2": 0.7}
    env: Any = family.make(family.task(**physics)).unwrapped

    def energy(state):
        first, second, spin, turn = state
        com_1, com_2, length, mass_1, mass_2, moment = 0.65, 0.5, 1.3, 1.0, 0.7, 1.0
        both = spin + turn
        moving = 0.5 * (mass_1 * com_1**2 + moment) * spin**2 + 0.5 * moment * both**2
        moving += 0.5 * mass_2 * (length * spin) ** 2 + 0.5 * mass_2 * (com_2 * both) ** 2
        moving += mass_2 * length * com_2 * spin * both * np.cos(second)
        height = -(mass_1 * com_1 + mass_2 * length) * np.cos(first)
        return moving + gravity * (height - mass_2 * com_2 * np.cos(first + second))

    state = np.array([0.7, -1.1, 0.9, -2.0])
    slope = np.array(env._dsdt(np.array([*state, 0.0]))[:4])
    change = (energy(state + 1e-6 * slope) - energy(state - 1e-6 * slope)) / 2e-6
    assert abs(change) < 1e-6
    assert np.abs(slope[2:]).min() > 0.1


@pytest.mark.parametrize("split", ["train", "ood"])
@pytest.mark.parametrize("policy", [random_action, pump])
def test_batched_acrobots_move_as_gymnasiums_own(split, policy):
    family = make_family("acrobot-physics")
    tasks = family.sample(4, split=split, seed=1)
    both = play_both(family.make_vec(tasks), [family.make(task) for task in tasks], policy)
    assert_exact(both)
    assert both.terminated.all() if policy is pump else both.lengths.max() == 500


def test_gymnasiums_own_numbers_give_gymnasiums_own_environment():
    family = make_family("acrobot-physics")
    venv = family.make_vec([family.task(**GYMNASIUMS)], 2)
    originals = [gymnasium.make("Acrobot-v1") for _ in range(2)]
    assert_exact(play_both(venv, originals, random_action))


def test_set_tasks_leaves_nothing_of_the_tasks_before():
    family = make_family("acrobot-physics")
    before, after = family.sample(3, seed=0), family.sample(3, seed=1)
    native, looped = (family.make_vec(before, backend=name) for name in ("native", "sync"))
    for venv in (native, looped):
        venv.set_tasks(after)
        venv.reset(seed=5)
    for step in range(40):
        actions = np.full(3, step // 5 % 3)
        for left, right in zip(native.step(actions)[:4], looped.step(actions)[:4], strict=True):
            np.testing.assert_array_equal(left, right)


def test_angles_are_wrapped_from_any_number_of_turns():
    from metarl_gan.envs.families.acrobot import _wrapped

    angles = np.array([[-3.5 * np.pi, -np.pi, 0.1, np.pi, 3.5 * np.pi, 7.25 * np.pi]])
    wrapped = np.array([[0.5, -1.0, 0.1 / np.pi, 1.0, -0.5, -0.75]]) * np.pi
    np.testing.assert_allclose(_wrapped(angles), wrapped, atol=1e-12)


@pytest.mark.parametrize("split", ["train", "test"])
def test_who_pumps_energy_reaches_the_reference(split):
    family = make_family("acrobot-physics")
    mean = returns(family, pump, split=split, n_tasks=300, envs_per_task=1).mean()
    assert mean == pytest.approx(family.reference, abs=6)
