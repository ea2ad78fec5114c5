"""MiniGrid's observations of an image, a heading and a text: `make test-carl` installs it, too."""

from functools import partial

import numpy as np
import pytest

import metarl_gan
from metarl_gan.envs import Choice, ParametricFamily, check_family, flatten_observations
from tests.metarl_gan import tiny

pytest.importorskip(
    "minigrid", reason="MiniGrid is not installed here; `make test-carl` installs it"
)


def rooms():
    return ParametricFamily(
        "MiniGrid-DoorKey-5x5-v0",
        {"kwargs.size": Choice([5, 6, 7, 8])},
        horizon=30,
        name="rooms",
        wrapper=partial(flatten_observations, drop=("mission",)),
    )


def test_they_are_flattened():
    family = rooms()
    assert family.observation_space.shape == (4 + 7 * 7 * 3,)
    env = family.make(family.task(**{"kwargs.size": 6}))
    observation, _ = env.reset(seed=0)
    assert observation[:4].sum() == 1  # the heading
    assert set(np.unique(observation[4:])) <= set(range(11))  # kinds, colours and states of cells
    check_family(family)


def test_text_is_left_out_aloud():
    with pytest.warns(UserWarning, match="'mission' is text and left out"):
        family = ParametricFamily(
            "MiniGrid-Empty-5x5-v0",
            {"kwargs.size": Choice([5, 6])},
            horizon=9,
            wrapper=flatten_observations,
        )
    assert family.observation_space.shape == (151,)


def test_minigrid_is_trained_on(tmp_path):
    config = tiny.tiny_config(family="rooms", iterations=2)
    agent = metarl_gan.train(rooms(), config, out=tmp_path / "run", progress=False)
    assert agent.real_steps > 0
