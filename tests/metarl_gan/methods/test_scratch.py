"""Learning from scratch has the task's own episodes and nothing else."""

from pathlib import Path

import numpy as np
import pytest

from metarl_gan.config import ConfigError
from metarl_gan.methods.scratch import Scratch
from tests.metarl_gan.solvable import LinearQuadraticPoint, TwoArmedBandit
from tests.metarl_gan.tiny import HORIZON, Walk, faulty, walk

PPO = {"ppo.epochs": 2, "ppo.minibatches": 1}
SAC = {"algorithm": "sac", "sac.random_steps": 3, "sac.batch_size": 4}


def learnt(settings, family, *, tasks=None, episodes=2, seed=3, scored_episodes=2):
    trained = Scratch("scratch", settings).train(
        family, seed=0, max_real_steps=9, folder=Path("unused")
    )
    tasks = tasks or family.sample(3, split="test", seed=seed)
    return trained.adaptation_curve(tasks, episodes, seed=seed, scored_episodes=scored_episodes)


def test_nothing_is_learnt_before_the_task(tmp_path):
    Walk.total_steps = 0
    trained = Scratch("scratch", PPO).train(walk(), seed=0, max_real_steps=10, folder=tmp_path)
    assert Walk.total_steps == trained.real_steps == trained.validation_real_steps == 0
    assert list(trained.learning_curve) == []


@pytest.mark.parametrize("settings", [PPO, SAC], ids=["ppo", "sac"])
def test_every_step_counts(settings):
    Walk.total_steps = 0
    found = learnt(settings, walk())
    assert found.returns.shape == (3, 3)
    assert found.real_steps == Walk.total_steps
    assert not np.array_equal(found.returns[:, 0], found.returns[:, 2])  # something was learnt


def test_more_episodes_can_be_had():
    once = learnt(PPO, walk(), episodes=1).real_steps
    thrice = learnt({**PPO, "times_episodes": 3}, walk(), episodes=1).real_steps
    assert abs(thrice - once - 3 * 2 * HORIZON) <= 3 * 4 * HORIZON  # scored ones may end early
    assert thrice > once + HORIZON


def test_same_seed_same_result_whatever_the_other_tasks():
    family = walk()
    tasks = family.sample(2, split="test", seed=0)
    both = learnt(PPO, family, tasks=tasks)
    assert np.array_equal(learnt(PPO, family, tasks=tasks).returns, both.returns)
    assert np.array_equal(learnt(PPO, family, tasks=tasks[:1]).returns, both.returns[:1])


def test_ppo_finds_the_arm_that_pays():
    settings = {"times_episodes": 40, "ppo.learning_rate": 0.01, "ppo.minibatches": 1}
    found = learnt(settings, TwoArmedBandit(horizon=8), episodes=1)
    assert found.returns[:, 1].tolist() == [8.0] * 3


@pytest.mark.slow
@pytest.mark.parametrize(
    "settings",
    [
        {"times_episodes": 600, "ppo.discount": 1.0, "ppo.epochs": 4, "ppo.minibatches": 1},
        {"algorithm": "sac", "times_episodes": 200, "sac.discount": 1.0},
    ],
    ids=["ppo", "sac"],
)
def test_enough_episodes_solve_the_point(settings):
    family = LinearQuadraticPoint(horizon=3)
    task = family.task(goal=0.8)
    found = learnt(settings, family, tasks=[task], episodes=1)
    idle, best = family.idle_return(task), family.best_return(task)
    assert (found.returns[0, 1] - idle) / (best - idle) > 0.95


def test_a_broken_task_is_left_out():
    family = faulty()
    tasks = [family.task(goal=0.5, fault=fault) for fault in (0, 1)]
    found = learnt(PPO, family, tasks=tasks)
    assert found.tasks == (tasks[0],)
    assert [dropped.task_id for dropped in found.dropped] == [tasks[1].id]


def test_what_it_cannot_do_it_says():
    assert "continuous" in (Scratch("s", {"algorithm": "sac"}).objection(TwoArmedBandit()) or "")
    assert Scratch("s", {}).objection(TwoArmedBandit(horizon=2)) is None
    assert "single step" in (Scratch("s", {}).objection(TwoArmedBandit(horizon=1)) or "")
    with pytest.raises(ConfigError, match="anneal"):
        Scratch("s", {"ppo.anneal": True}).settings(walk())
