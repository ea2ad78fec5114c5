import math

import numpy as np
import pytest

from metarl_gan.envs import FamilyError, make_family
from metarl_gan.envs.families.point_sparse import _reward
from tests.envs.episodes import FLOOR_POLICIES, returns


def goals_of(venv):
    if venv.tasks[0].family == "point-goal":
        return np.stack([venv.parameter("x"), venv.parameter("y")], axis=-1)
    angles = venv.parameter("angle")
    return np.stack([np.cos(angles), np.sin(angles)], axis=-1)


def oracle(venv, observations, rng):
    """The way of one who knows the goal: as fast as it goes, then stay."""
    return ((goals_of(venv) - observations) / 0.1).astype(np.float32)


def test_point_goal_by_hand():
    family = make_family("point-goal")
    venv = family.make_vec([family.task(x=0.3, y=-0.4)])
    observation, _ = venv.reset(seed=0)
    assert observation.tolist() == [[0, 0]]
    observation, rewards, *_ = venv.step(np.array([[0.0, 0.0]], np.float32))
    assert rewards[0] == pytest.approx(-0.5)
    observation, rewards, *_ = venv.step(np.array([[3.0, -0.5]], np.float32))
    np.testing.assert_allclose(observation, [[0.1, -0.05]], rtol=1e-6)
    assert rewards[0] == pytest.approx(-np.hypot(0.2, 0.35))


def test_point_sparse_by_hand():
    """The goal is (0, 1): nothing up to 0.79 of the way, 1 - d from 0.81 on, also beyond it."""
    family = make_family("point-sparse")
    venv = family.make_vec([family.task(angle=math.pi / 2)])
    observation, _ = venv.reset(seed=0)
    assert observation.tolist() == [[0, 0]]
    for _ in range(7):
        observation, rewards, terminated, _, _ = venv.step(np.array([[0.0, 1.0]], np.float32))
        assert (rewards[0], terminated[0]) == (0.0, False)
    np.testing.assert_allclose(observation, [[0.0, 0.7]], rtol=1e-6)
    paid = []
    for move in (0.9, 0.2, 1.9, 0.4, 0.0, 1.0):  # clipped to 1: to 0.79, 0.81, 0.91, 0.95, 1.05
        _, rewards, terminated, truncated, _ = venv.step(np.array([[0.0, move]], np.float32))
        paid.append(float(rewards[0]))
        assert not terminated[0]
        assert not truncated[0]
    np.testing.assert_allclose(paid, [0, 0.81, 0.91, 0.95, 0.95, 0.95], rtol=1e-6)


def test_the_edge_of_the_goal_is_paid():
    assert _reward(np.array([0.0, 0.2, np.nextafter(0.2, 1.0)])).tolist() == [1.0, 0.8, 0.0]


@pytest.mark.parametrize(
    ("name", "options", "slack"),
    [("point-goal", {}, 0.15), ("point-sparse", {}, 0.1), ("point-sparse", {"horizon": 20}, 0.1)],
)
@pytest.mark.parametrize("split", ["train", "test"])
def test_who_knows_the_goal_reaches_the_reference(name, options, slack, split):
    family = make_family(name, **options)
    mean = returns(family, oracle, split=split, n_tasks=500, envs_per_task=1).mean()
    assert mean == pytest.approx(family.reference, abs=slack)


@pytest.mark.parametrize("options", [{}, {"horizon": 20}])
@pytest.mark.parametrize("policy", ["zero_action", "random"])
def test_floors_of_point_sparse_are_what_is_stated(options, policy):
    family = make_family("point-sparse", **options)
    mean = returns(family, FLOOR_POLICIES[policy], n_tasks=500).mean()
    assert mean == pytest.approx(family.floors[policy], abs=0.3)


def test_goals_out_of_distribution_lie_where_no_other_does():
    goals = make_family("point-goal").sample(200, split="ood", seed=0)
    far = [max(abs(float(goal.parameters[name])) for name in "xy") for goal in goals]
    assert 0.5 < min(far) <= max(far) <= 0.75
    angles = [
        float(task.parameters["angle"])
        for task in make_family("point-sparse").sample(200, split="ood", seed=0)
    ]
    assert math.pi < min(angles) <= max(angles) <= 2 * math.pi


def test_horizon_of_point_sparse():
    family = make_family("point-sparse", horizon=7)
    assert (family.horizon, family.floors, family.reference) == (7, {}, None)
    venv = family.make_vec(family.sample(2, seed=0))
    venv.reset(seed=0)
    for step in range(7):
        *_, truncated, _ = venv.step(np.zeros((2, 2), np.float32))
        assert truncated.tolist() == [step == 6] * 2
    with pytest.raises(FamilyError, match="horizon is 0"):
        make_family("point-sparse", horizon=0)
