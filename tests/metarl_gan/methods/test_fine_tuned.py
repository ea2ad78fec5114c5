"""Multi-task training, then fine-tuning to the task."""

import numpy as np
import pytest
import torch

from metarl_gan.agents.multi_task import FineTuning, MultiTaskLearner
from metarl_gan.agents.policies import make_policy
from metarl_gan.agents.policy_gradient import MixedRows, PolicyRows, policy_gradient
from metarl_gan.config import ConfigError
from metarl_gan.methods.fine_tuned import FineTuned
from tests.agents.toys import BANDITS, random_episodes, stream
from tests.metarl_gan.solvable import LinearQuadraticPoint, TwoArmedBandit
from tests.metarl_gan.tiny import Walk, walk

TINY = {
    "tasks_per_batch": 4,
    "epochs": 2,
    "step_sizes": (0.1, 1.0),
    "steps": (1, 3),
    "hidden_sizes": (8,),
}


def curve(trained, family, *, episodes=2, seed=3, n_tasks=20):
    tasks = family.sample(n_tasks, split="test", seed=seed)
    return trained.adaptation_curve(tasks, episodes, seed=seed, scored_episodes=1)


def test_fine_tuning_is_gradient_descent_on_each_task():
    policy = make_policy(BANDITS.observation_space, BANDITS.action_space, hidden_sizes=(4,))
    learner = MultiTaskLearner(
        policy, stream(), learning_rate=0.1, epochs=1, clip=0.2, max_grad_norm=1.0
    )
    batch = random_episodes((2, 3, 4), n_obs=1, n_choices=2)
    rows = PolicyRows.from_transitions(batch, discount=0.9, gae_lambda=0.9)
    start = learner.for_tasks(2)
    none = FineTuning(step_size=0.5, n_steps=0, clip=0.2).apply(policy, start, rows)
    once = FineTuning(step_size=0.5, n_steps=1, clip=0.2).apply(policy, start, rows)
    twice = FineTuning(step_size=0.5, n_steps=2, clip=0.2).apply(policy, start, rows)
    gradient = policy_gradient(policy, start, MixedRows(real=rows), 0.2)
    again = policy_gradient(policy, once, MixedRows(real=rows), 0.2)
    for name, value in start.items():
        assert torch.equal(none[name], value)
        torch.testing.assert_close(once[name], value - 0.5 * gradient[name])
        torch.testing.assert_close(twice[name], once[name] - 0.5 * again[name])


def test_one_policy_learns_what_is_best_for_all_and_fine_tuning_does_the_rest(tmp_path):
    """Arm 1 pays on half of the tasks: no policy that is not told the task earns more than 4."""
    family = TwoArmedBandit(horizon=8)
    settings = {
        "tasks_per_batch": 40,  # in a batch of few, one arm pays more often than the other
        "epochs": 10,
        "step_sizes": (1.0, 10.0),
        "steps": (5, 20),
        "hidden_sizes": (8,),
    }
    trained = FineTuned("f", settings).train(family, seed=0, max_real_steps=3200, folder=tmp_path)
    found = curve(trained, family, episodes=3).returns.mean(0)
    assert found[1] > found[0] + 2.0
    assert found[3] > 7.0


def test_learns_the_best_that_all_tasks_agree_on(tmp_path, monkeypatch):
    """All goals are on the right in these tasks: going there is learnt without being told."""
    family = LinearQuadraticPoint(horizon=3)
    tasks = [family.task(goal=goal) for goal in (0.6, 0.8)]
    monkeypatch.setattr(family, "sample", lambda n, *, split, seed: (tasks * n)[:n])
    settings = {
        "tasks_per_batch": 20,
        "learning_rate": 1e-2,
        "epochs": 10,
        "step_sizes": (0.001,),
        "steps": (1,),
    }
    method = FineTuned("f", settings)
    trained = method.train(family, seed=0, max_real_steps=6_000, folder=tmp_path)
    returns = trained.adaptation_curve(tasks, 0, seed=0, scored_episodes=1).returns[:, 0]
    idle = [family.idle_return(task) for task in tasks]
    best = [family.best_return(task) for task in tasks]
    assert ((returns - idle) / (np.array(best) - idle) > 0.8).all()


def test_every_step_counts_and_what_is_trained_is_only_loaded(tmp_path):
    family, method = walk(), FineTuned("f", TINY)
    Walk.total_steps = 0
    trained = method.train(family, seed=0, max_real_steps=300, folder=tmp_path / "a")
    # Episodes end early: as long as an update fits if none did, there is another.
    assert 300 - 24 < trained.real_steps <= 300
    assert trained.learning_curve[-1].real_steps == trained.real_steps
    spent = Walk.total_steps
    assert trained.real_steps + trained.validation_real_steps == spent
    loaded = method.train(family, seed=0, max_real_steps=300, folder=tmp_path / "a")
    assert Walk.total_steps == spent
    twin = method.train(family, seed=0, max_real_steps=300, folder=tmp_path / "b")
    Walk.total_steps = 0
    expected = curve(trained, family, n_tasks=3)
    assert expected.real_steps == Walk.total_steps
    for other in (loaded, twin):
        assert np.array_equal(curve(other, family, n_tasks=3).returns, expected.returns)


def test_what_cannot_be_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="24"):
        FineTuned("f", TINY).train(walk(), seed=0, max_real_steps=23, folder=tmp_path)
    with pytest.raises(ConfigError, match="steps"):
        FineTuned("f", {"steps": (0,)}).settings(walk())
