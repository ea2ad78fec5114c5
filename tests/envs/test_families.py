"""What holds for every built-in family, and the figures their docstrings state."""

from functools import cache
from importlib import import_module
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces

from metarl_gan.envs import check_family, list_families, make_family
from metarl_gan.envs.checks.trace import play
from metarl_gan.envs.registry import _factories

FAMILIES = {
    "acrobot-physics": "ood",
    "ant-direction": "test",
    "ant-direction-interpolation": "ood",
    "ant-forward-backward": "train",
    "ant-goal": "ood",
    "ant-goal-interpolation": "ood",
    "cartpole-physics": "ood",
    "half-cheetah-direction": "train",
    "half-cheetah-velocity": "ood",
    "half-cheetah-velocity-extrapolation": "ood",
    "half-cheetah-velocity-interpolation": "ood",
    "hopper-physics": "ood",
    "humanoid-direction": "test",
    "pendulum-physics": "ood",
    "point-goal": "ood",
    "point-slip": "ood",
    "point-sparse": "ood",
    "walker2d-physics": "ood",
}
"""The built-in families, each with the last split it has."""


def first_actions(space: gymnasium.Space, n: int) -> np.ndarray:
    """What the floor "zero_action" plays: no action, or the first of a few."""
    return np.zeros((n, *(space.shape or ())), space.dtype)


def random_actions(space: Any, n: int, rng: np.random.Generator) -> np.ndarray:
    if isinstance(space, spaces.Discrete):
        return rng.integers(space.n, size=n)
    return rng.uniform(space.low, space.high, (n, *space.shape)).astype(np.float32)


@cache
def mean_return(name: str, policy: str) -> float:
    """Over a hundred tasks, fewer where they hardly differ and a step takes long."""
    family, n_tasks = make_family(name), 40 if name.startswith("ant") else 100
    venv = family.make_vec(family.sample(n_tasks, seed=0))
    rng = np.random.default_rng(0)
    total, running = np.zeros(n_tasks), np.ones(n_tasks, bool)
    venv.reset(seed=0)
    while running.any():
        actions = first_actions(family.action_space, n_tasks)
        if policy == "random":
            actions = random_actions(family.action_space, n_tasks, rng)
        _, rewards, terminated, truncated, _ = venv.step(actions)
        total += rewards
        running &= ~(terminated | truncated)
    return float(total.mean())


def test_these_are_the_built_in_families():
    assert set(FAMILIES) <= set(list_families())


@pytest.mark.parametrize("name", FAMILIES)
def test_every_built_in_family_passes_the_check_of_a_users(name):
    report = check_family(name)
    assert set(report.parameter_effects) == set(make_family(name).parameters)
    assert min(report.parameter_effects.values()) > 0
    assert not report.warnings


@pytest.mark.parametrize(("name", "last"), FAMILIES.items())
def test_splits_are_what_the_family_can_have(name, last):
    family = make_family(name)
    assert family.splits[0] == "train"
    assert family.splits[-1] == last
    ids = [{task.id for task in family.sample(200, split=s, seed=0)} for s in family.splits]
    assert len(set.union(*ids)) == sum(map(len, ids))


@pytest.mark.parametrize("name", FAMILIES)
def test_docstrings_say_what_a_user_must_know(name):
    module, _, attribute = str(_factories[name]).partition(":")
    text = str(getattr(import_module(module), attribute).__doc__)
    inherited = "The rest as in" in text
    assert "- Task" in text
    for word in ("Observation", "Reward", "Source", "Return per episode", "horizon"):
        assert inherited or word in text, word


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize("policy", ["zero_action", "random"])
def test_floors_are_what_is_stated(name, policy):
    # The bounds allow for which hundred episodes were drawn.
    floor = make_family(name).floors[policy]
    assert abs(mean_return(name, policy) - floor) < max(12.0, 0.12 * abs(floor))


def test_levels_are_of_the_ranges_that_they_were_measured_on():
    family = make_family("half-cheetah-velocity-extrapolation")
    for split in ("train", "test"):
        assert family.levels(split) == (family.floors, family.reference)
    assert family.levels("ood") == ({}, None)
    two = make_family("half-cheetah-direction")
    assert two.levels("train") == ({"zero_action": 0.0, "random": -20.0}, 1664.0)


@pytest.mark.parametrize(
    ("name", "policy", "published", "slack"),
    [
        ("point-goal", "zero_action", -39.7, 4.0),
        ("point-goal", "random", -60.7, 7.0),
        ("half-cheetah-velocity", "zero_action", -303.0, 30.0),
        ("half-cheetah-velocity", "random", -332.0, 55.0),
        ("half-cheetah-direction", "zero_action", 0.0, 2.0),
        ("half-cheetah-direction", "random", -12.0, 15.0),
        ("ant-forward-backward", "zero_action", 199.0, 3.0),
        ("ant-forward-backward", "random", -21.0, 20.0),
        ("point-sparse", "zero_action", 0.0, 0.0),
    ],
)
def test_floors_agree_with_published_ones(name, policy, published, slack):
    assert abs(mean_return(name, policy) - published) <= slack


def test_who_stands_still_pays_for_the_goals_distance():
    """Published for goals 2.12 m away: 527 in 200 steps."""
    family = make_family("ant-goal")
    angles = np.linspace(0.0, 2 * np.pi, 40, endpoint=False)
    venv = family.make_vec([family.task(angle=float(a), radius=2.12) for a in angles])
    venv.reset(seed=0)
    total = sum(venv.step(np.zeros((40, 8), np.float32))[1].mean() for _ in range(200))
    assert abs(total + 527) < 20


@pytest.mark.parametrize("name", FAMILIES)
def test_native_and_looped_play_the_same_episode(name):
    """Also after a reset without a seed, and each row as an environment of its own."""
    family = make_family(name)
    tasks = family.sample(2, seed=2)
    native, looped = family.make_vec(tasks), family.make_vec(tasks, backend="sync")
    rng = np.random.default_rng(0)
    for seed in (4, None):
        np.testing.assert_allclose(native.reset(seed=seed)[0], looped.reset(seed=seed)[0])
        for _ in range(60):
            actions = random_actions(family.action_space, 2, rng)
            for ours, theirs in zip(
                native.step(actions)[:4], looped.step(actions)[:4], strict=True
            ):
                np.testing.assert_allclose(ours, theirs, rtol=1e-6, atol=1e-6)
    single = play(family.make(tasks[0]), steps=60, seed=4)
    assert single.difference(play(family.make_vec(tasks[:1]), steps=60, seed=4)) < 1e-5


@pytest.mark.parametrize("name", FAMILIES)
def test_observations_do_not_tell_the_task(name):
    """One seed starts all tasks alike, so that a difference could only come from the task."""
    family = make_family(name)
    first, second = family.sample(2, seed=0)
    observations = [family.make(task).reset(seed=1)[0] for task in (first, second)]
    np.testing.assert_array_equal(*observations)


@pytest.mark.parametrize("name", FAMILIES)
def test_descriptors_are_scaled(name):
    descriptors = np.stack([task.descriptor for task in make_family(name).sample(200, seed=0)])
    assert np.abs(descriptors).max() <= 1
    assert descriptors.std(axis=0).min() > 0.3


def test_half_cheetah_direction_explains_its_single_split():
    family = make_family("half-cheetah-direction")
    assert family.splits == ("train",)
    assert [task.parameters["direction"] for task in family.sample(2, seed=0)] in ([1, -1], [-1, 1])
    with pytest.raises(ValueError, match=r"split 'test' does not exist here.*split='train'"):
        family.sample(1, split="test", seed=0)
