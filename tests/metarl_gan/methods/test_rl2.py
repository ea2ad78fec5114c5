"""RL²: what it remembers, what it learns from that, and what it costs."""

import numpy as np
import pytest

from metarl_gan.config import ConfigError
from metarl_gan.methods.rl2 import Rl2
from tests.metarl_gan.solvable import TwoArmedBandit
from tests.metarl_gan.tiny import Walk, walk

BANDIT = {
    "episodes_per_trial": 3,
    "tasks_at_once": 64,
    "lstm_size": 16,
    "ppo.hidden_sizes": (16,),
    "ppo.learning_rate": 1e-2,
    "ppo.minibatches": 1,
}
TINY = {"episodes_per_trial": 2, "tasks_at_once": 4, "lstm_size": 4, "ppo.epochs": 1}


def curve(trained, family, *, episodes=2, seed=3, n_tasks=20):
    tasks = family.sample(n_tasks, split="test", seed=seed)
    return trained.adaptation_curve(tasks, episodes, seed=seed, scored_episodes=1)


def test_remembers_across_episodes_which_arm_pays(tmp_path):
    """One pull per episode: only memory of earlier episodes beats a half."""
    family = TwoArmedBandit(horizon=1)
    trained = Rl2("rl2", BANDIT).train(family, seed=0, max_real_steps=4_000, folder=tmp_path)
    returns = curve(trained, family, episodes=4).returns.mean(0)
    assert 0.2 < returns[0] < 0.8  # a new task is a guess: nothing is left of the last one
    assert returns[1:3].tolist() == [1.0, 1.0]
    assert returns[3:].mean() > 0.7  # beyond the episodes of training, too


def test_every_step_counts_and_the_budget_holds(tmp_path):
    Walk.total_steps = 0
    family = walk()
    trained = Rl2("rl2", TINY).train(family, seed=0, max_real_steps=200, folder=tmp_path)
    assert trained.real_steps <= 200
    assert trained.real_steps == trained.learning_curve[-1].real_steps
    assert trained.real_steps + trained.validation_real_steps == Walk.total_steps
    Walk.total_steps = 0
    assert curve(trained, family, n_tasks=3).real_steps == Walk.total_steps


def test_same_seed_same_result_and_what_is_trained_is_only_loaded(tmp_path):
    family, method = walk(), Rl2("rl2", TINY)
    plan = {"seed": 0, "max_real_steps": 200}
    trained = method.train(family, **plan, folder=tmp_path / "a")
    twin = method.train(family, **plan, folder=tmp_path / "b")
    Walk.total_steps = 0
    loaded = method.train(family, **plan, folder=tmp_path / "a")
    assert Walk.total_steps == 0
    assert loaded.learning_curve == trained.learning_curve
    assert loaded.real_steps == trained.real_steps
    expected = curve(trained, family).returns
    assert np.array_equal(curve(trained, family).returns, expected)
    assert np.array_equal(curve(twin, family).returns, expected)
    assert np.array_equal(curve(loaded, family).returns, expected)
    other = method.train(family, seed=1, max_real_steps=200, folder=tmp_path / "c")
    assert not np.array_equal(curve(other, family).returns, expected)


def test_a_folder_of_another_training_is_refused(tmp_path):
    method = Rl2("rl2", TINY)
    method.train(walk(), seed=0, max_real_steps=100, folder=tmp_path)
    with pytest.raises(ConfigError, match="another seed"):
        method.train(walk(), seed=1, max_real_steps=100, folder=tmp_path)


def test_a_budget_below_one_update_is_refused(tmp_path):
    method = Rl2("rl2", TINY)
    least = method.least_real_steps(walk())
    assert least == 4 * 2 * walk().horizon
    with pytest.raises(ConfigError, match=r"48 real steps.*47"):
        method.train(walk(), seed=0, max_real_steps=least - 1, folder=tmp_path)


def test_settings_are_checked_when_the_method_is_made():
    with pytest.raises(ConfigError, match=r"ppo\.epochs"):
        Rl2("rl2", {"ppo.epoch": 3})
    assert Rl2("rl2", {"ppo.epochs": "3"}).settings(walk())["ppo.epochs"] == 3
