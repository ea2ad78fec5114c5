"""The families that learners are held against are what they say they are."""

import numpy as np
import pytest

from metarl_gan.envs import check_family
from tests.metarl_gan.solvable import LinearQuadraticPoint, TwoArmedBandit


def test_the_point_is_a_family_as_any_other():
    """The bandit is not: two tasks of the same best arm are one, which `check_family` tells."""
    check_family(LinearQuadraticPoint())


def play(family, tasks, act):
    """Returns by task of `act(observation, task)`."""
    returns = []
    for task in tasks:
        env = family.make(task)
        observation, total, ended, terminated = env.reset(seed=0)[0], 0.0, False, False
        while not ended:
            observation, reward, terminated, truncated, _ = env.step(act(observation, task))
            total, ended = total + float(reward), terminated or truncated
        assert terminated  # nothing follows that could be worth anything
        returns.append(total)
    return returns


@pytest.mark.parametrize("horizon", [1, 3])
def test_the_best_arm_earns_the_best_return_and_the_other_nothing(horizon):
    family = TwoArmedBandit(horizon)
    tasks = family.sample(6, split="train", seed=0)
    best = play(family, tasks, lambda _, task: family.best_arm(task))
    assert best == [family.best_return(task) for task in tasks] == [horizon] * 6
    assert play(family, tasks, lambda _, task: 1 - family.best_arm(task)) == [0.0] * 6
    assert {family.best_arm(task) for task in tasks} == {0, 1}


def test_the_riccati_gains_earn_the_best_return_and_no_others_more():
    family = LinearQuadraticPoint(4)
    tasks = family.sample(5, split="train", seed=0)
    goals = np.array([float(task.parameters["goal"]) for task in tasks])
    best = np.array([family.best_return(task) for task in tasks])

    def earned(gains):
        position, total = np.zeros(5), np.zeros(5)
        for gain in gains:
            action = gain * (goals - position)
            position = position + action
            total -= (position - goals) ** 2 + family.EFFORT * action**2
        return total

    gains = np.array(family.best_gains())
    np.testing.assert_allclose(earned(gains), best)
    # By hand: the last step minimises (e + a)² + a²/2, so goes 2/3 of the way.
    assert gains[-1] == pytest.approx(2 / 3)
    for index in range(4):
        for change in (-0.01, 0.01):
            assert (earned(gains + change * (np.arange(4) == index)) < best).all()

    def act(observation, task):
        gain = gains[4 - round(float(observation[1]) * 4)]
        return np.array([gain * (float(task.parameters["goal"]) - observation[0])], np.float32)

    np.testing.assert_allclose(play(family, tasks, act), best, rtol=1e-5)
    idle = play(family, tasks, lambda *_: np.zeros(1, np.float32))
    np.testing.assert_allclose(idle, [family.idle_return(task) for task in tasks], rtol=1e-5)
