"""What holds for every built-in family, and the figures their docstrings state."""

from typing import Any

import numpy as np
import pytest

from metarl_gan.envs import check_family, list_families, make_family
from metarl_gan.envs.trace import play

FAMILIES = ["half-cheetah-direction", "half-cheetah-velocity", "pendulum-physics", "point-goal"]


def episode_return(name, policy, n_tasks=50, envs_per_task=2):
    family = make_family(name)
    venv = family.make_vec(family.sample(n_tasks, seed=0), envs_per_task)
    rng = np.random.default_rng(0)
    space: Any = family.action_space
    total = np.zeros(venv.num_envs)
    terminated = truncated = np.zeros(venv.num_envs, bool)
    venv.reset(seed=0)
    for _ in range(family.horizon):
        actions = np.zeros((venv.num_envs, *space.shape), np.float32)
        if policy == "random":
            actions = rng.uniform(space.low, space.high, actions.shape).astype(np.float32)
        _, rewards, terminated, truncated, _ = venv.step(actions)
        total += rewards
    assert truncated.all()
    assert not terminated.any()
    return total.mean()


def test_these_are_the_built_in_families():
    assert set(FAMILIES) <= set(list_families())


@pytest.mark.parametrize("name", FAMILIES)
def test_every_built_in_family_passes_the_check_of_a_users(name):
    report = check_family(name)
    assert set(report.parameter_effects) == set(make_family(name).parameters)
    assert min(report.parameter_effects.values()) > 0.01


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize("policy", ["zero_action", "random"])
def test_floors_are_what_is_stated(name, policy):
    # The bounds allow for which hundred episodes were drawn.
    slack = (
        5.0 if name == "half-cheetah-direction" else 0.12 * abs(make_family(name).floors[policy])
    )
    assert abs(episode_return(name, policy) - make_family(name).floors[policy]) < slack


@pytest.mark.parametrize(
    ("name", "policy", "published", "slack"),
    [
        ("point-goal", "zero_action", -39.7, 4.0),
        ("point-goal", "random", -60.7, 7.0),
        ("half-cheetah-velocity", "zero_action", -303.0, 30.0),
        ("half-cheetah-velocity", "random", -332.0, 40.0),
        ("half-cheetah-direction", "zero_action", 0.0, 2.0),
        ("half-cheetah-direction", "random", -12.0, 15.0),
    ],
)
def test_floors_agree_with_published_ones(name, policy, published, slack):
    assert abs(episode_return(name, policy) - published) < slack


@pytest.mark.parametrize("name", FAMILIES)
def test_make_and_make_vec_agree_over_an_episode(name):
    """Under one seed, alone and as a single row."""
    family = make_family(name)
    [task] = family.sample(1, seed=2)
    single = play(family.make(task), steps=family.horizon, seed=4)
    batched = play(family.make_vec([task]), steps=family.horizon, seed=4)
    assert single.difference(batched) < 1e-5
    assert single.ended
    assert len(single.rewards) == family.horizon


@pytest.mark.parametrize("name", FAMILIES)
def test_splits_are_disjoint(name):
    family = make_family(name)
    ids = [{task.id for task in family.sample(200, split=s, seed=0)} for s in family.splits]
    assert len(set.union(*ids)) == sum(map(len, ids))


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
