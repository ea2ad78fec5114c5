"""The oracle is told the task, and nothing changes it."""

import numpy as np
import pytest

from metarl_gan.methods.oracle import Oracle
from tests.metarl_gan.solvable import LinearQuadraticPoint, TwoArmedBandit
from tests.metarl_gan.tiny import Walk, steer, walk

POINT = {
    "tasks_at_once": 64,
    "ppo.learning_rate": 1e-2,
    "ppo.hidden_sizes": (16,),
    "ppo.minibatches": 1,
}
TINY = {"tasks_at_once": 4, "ppo.epochs": 1}
TINY_SAC = {"algorithm": "sac", "tasks_at_once": 4, "sac.random_steps": 20, "sac.batch_size": 8}


def curve(trained, family, *, episodes=2, seed=3, n_tasks=20):
    tasks = family.sample(n_tasks, split="test", seed=seed)
    return trained.adaptation_curve(tasks, episodes, seed=seed, scored_episodes=1)


def test_earns_what_one_earns_who_knows_the_task(tmp_path):
    family = LinearQuadraticPoint(horizon=3)
    oracle = Oracle("oracle", POINT)
    trained = oracle.train(family, seed=0, max_real_steps=6_000, folder=tmp_path)
    found = curve(trained, family)
    best = np.mean([family.best_return(task) for task in found.tasks])
    idle = np.mean([family.idle_return(task) for task in found.tasks])
    assert (found.returns[:, 0].mean() - idle) / (best - idle) > 0.98


def test_is_as_good_before_as_after_and_plays_no_support(tmp_path):
    family = walk()
    trained = Oracle("o", TINY).train(family, seed=0, max_real_steps=100, folder=tmp_path)
    Walk.total_steps = 0
    found = curve(trained, family, episodes=3, n_tasks=2)
    assert found.returns.shape == (2, 4)
    assert (found.returns == found.returns[:, :1]).all()
    assert found.real_steps == Walk.total_steps


@pytest.mark.parametrize("settings", [TINY, TINY_SAC], ids=["ppo", "sac"])
def test_every_step_counts_and_what_is_trained_is_only_loaded(settings, tmp_path):
    family, method = walk(), Oracle("oracle", settings)
    Walk.total_steps = 0
    trained = method.train(family, seed=0, max_real_steps=101, folder=tmp_path)
    assert 60 < trained.real_steps <= 101
    assert trained.real_steps + trained.validation_real_steps == Walk.total_steps
    Walk.total_steps = 0
    loaded = method.train(family, seed=0, max_real_steps=101, folder=tmp_path)
    assert Walk.total_steps == 0
    assert np.array_equal(curve(loaded, family).returns, curve(trained, family).returns)


def test_what_it_cannot_serve_it_says():
    bandit = TwoArmedBandit()
    assert Oracle("oracle", {}).objection(bandit) is None
    assert "continuous" in (Oracle("oracle", {"algorithm": "sac"}).objection(bandit) or "")
    assert Oracle("oracle", {"algorithm": "sac"}).objection(walk()) is None
    assert Oracle("oracle", {}).objection(steer()) is None
