"""Reptile over Stable-Baselines3 solves what can be solved exactly, to its known optimum."""

import numpy as np
import pytest

from metarl_gan.agents.collector import collect
from metarl_gan.data_augmentation import NoAugmentation
from metarl_gan.trainer import Trainer
from tests.agents.toys import stream
from tests.metarl_gan import tiny
from tests.metarl_gan.solvable import LinearQuadraticPoint, TwoArmedBandit

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
ON_POLICY = {
    **DQN,
    "learner.sb3_batch_size": 8,
    "learner.sb3_lr": 0.003,
    # A policy that got sure of an arm never pulls the other: it has to stay curious, and the outer
    # loop must not go far towards those that are sure.
    "learner.entropy_bonus": 0.1,
    "learner.reptile_step": 0.2,
    "sampler.tasks_per_batch": 8,
}
SAC = {
    **DQN,
    "learner.sb3_algorithm": "SAC",
    "learner.inner_steps": 1,
    "learner.sb3_updates": 200,
    "learner.reptile_step": 0.3,
    "policy.hidden_sizes": (32,),
    "sampler.support_episodes": 32,
    "sampler.tasks_per_batch": 4,
}
TD3 = {**SAC, "learner.sb3_algorithm": "TD3", "learner.sb3_updates": 400, "learner.sb3_lr": 0.003}


def trained(family, settings, iterations):
    components = tiny.tiny_components(family, **settings)
    trainer = Trainer(components, family)
    for _ in range(iterations):
        trainer.meta_iteration()
    trainer.close()
    return components


@pytest.mark.parametrize(
    "settings",
    [
        pytest.param(DQN, id="DQN"),
        *(
            pytest.param(
                {**ON_POLICY, "learner.sb3_algorithm": name}, id=name, marks=pytest.mark.slow
            )
            for name in ("PPO", "A2C")
        ),
    ],
)
def test_the_bandit_is_solved_after_two_episodes(settings):
    family = TwoArmedBandit(4)
    components = trained(family, settings, 5)
    curve = tiny.curve(components, family, n_tasks=12)
    best = np.mean([family.best_return(task) for task in curve.tasks])
    before, _, after = curve.returns.mean(0)
    # The initial policy does not know the task; the rare support of one arm alone tells nothing.
    assert before < 0.75 * best
    assert after > 0.95 * best


def lost(components, family):
    """Of what one loses who never learns which task it is, what is lost after 32 episodes."""
    learner, tasks = components.meta_learner, family.sample(8, split="test", seed=5)

    def play(parameters, n_episodes, *, deterministic):
        venv = family.make_vec(tasks, n_episodes)
        return collect(
            venv, components.policy, parameters, stream(1), seed=1, deterministic=deterministic
        ).batch

    support = play(learner.initial_policy(len(tasks)), 32, deterministic=False)
    mixture = NoAugmentation(components.config).mix(support, stream())
    adapted = learner.adapt(mixture, len(tasks)).parameters
    returns = play(adapted, 1, deterministic=True).returns().mean(-1).numpy()
    best, idle = (
        np.array([value(task) for task in tasks])
        for value in (family.best_return, family.idle_return)
    )
    assert (returns <= best + 1e-6).all()
    return float((best - returns).sum() / (best - idle).sum())


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize(("settings", "iterations"), [(SAC, 2), (TD3, 5)], ids=["SAC", "TD3"])
def test_a_step_of_known_cost_is_solved(settings, iterations):
    family = LinearQuadraticPoint(1)
    before = lost(trained(family, settings, 0), family)
    assert lost(trained(family, settings, iterations), family) < min(0.2, before)
