"""Reptile over Stable-Baselines3 solves the bandit whose optimum is known."""

import numpy as np

from metarl_gan.trainer import Trainer
from tests.metarl_gan import tiny
from tests.metarl_gan.solvable import TwoArmedBandit

DQN = {
    "learner.algorithm": "sb3_reptile",
    "learner.sb3_algorithm": "DQN",
    "learner.sb3_exploration": 0.5,
    "learner.sb3_updates": 10,
    "learner.sb3_batch_size": 32,
    "learner.sb3_lr": 0.01,
    "learner.inner_steps": 5,
    "learner.discount": 0.1,  # a pull changes nothing of those to come
    "policy.hidden_sizes": (16,),
    "sampler.support_episodes": 2,
    "sampler.tasks_per_batch": 6,
    "generated": False,
}


def test_the_bandit_is_solved_after_two_episodes():
    family = TwoArmedBandit(4)
    components = tiny.tiny_components(family, **DQN)
    trainer = Trainer(components, family)
    for _ in range(5):
        trainer.meta_iteration()
    trainer.close()
    curve = tiny.curve(components, family, n_tasks=12)
    best = np.mean([family.best_return(task) for task in curve.tasks])
    before, _, after = curve.returns.mean(0)
    # The initial policy does not know the task; the rare support of one arm alone tells nothing.
    assert before < 0.75 * best
    assert after > 0.95 * best
